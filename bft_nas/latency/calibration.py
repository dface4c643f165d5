"""Predictors for this machine: what a space's networks need of the table of layers is measured once, and kept."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bft_nas.core.errors import RunError, setting
from bft_nas.core.extras import require, version_of
from bft_nas.core.files import cache_folder, locks, write_text
from bft_nas.core.machine import processor_name
from bft_nas.core.units import format_percent
from bft_nas.latency.graphs import network_graph
from bft_nas.latency.layer_table import LayerTable, needed
from bft_nas.latency.measuring import measured_layers, shortest
from bft_nas.latency.operations import Operation, operations
from bft_nas.latency.prediction import Predictor
from bft_nas.network.architecture import Architecture
from bft_nas.space.space import SearchSpace

FORMAT = 1
"""Of the files, and of all that measuring depends on here."""
COVERING = 300
"""Networks drawn of a space, whose operations the table is to cover."""
FITTED = 30
"""Networks measured whole, where a space has so many."""
AT_ONCE = 10
"""Of them, interleaved."""

RUNTIMES: Mapping[str, str] = {"onnxruntime": "export"}
"""Those that have a table of layers, each with the extra that brings it; see `bft_nas.export.runtimes`."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Known:
    """What was measured on this machine so far."""

    table: LayerTable
    networks: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds of whole networks by the hash of their architecture."""

    def to_json(self) -> str:
        """A text for `read_known`."""
        return json.dumps({"table": self.table.to_dict(), "networks": dict(self.networks)})


def predictor_for(
    space: SearchSpace, budgets: Sequence[int], runtime: str, say: Say, folder: Path | None = None
) -> Predictor:
    """A predictor of a space's networks within budgets, in MACs, after measuring what is not known yet.

    Args:
        space: whose every family can stay within the smallest budget.
        budgets: in MACs.
        runtime: one of `RUNTIMES`.
        say: is told what is measured, and how far predictions are off.
        folder: of what was measured before; by default a folder of the user's caches.

    Raises:
        UserError: what the runtime needs is not installed.
    """
    require(RUNTIMES[runtime], f"{setting('latency_runtime')} {runtime}")
    drawn = list(_drawn(space, budgets, COVERING, seed=0))
    fitted = _different(_drawn(space, budgets, COVERING, seed=1), FITTED)
    place = (cache_folder("latency") if folder is None else folder) / f"{_key(runtime)}.json"
    known = read_known(place, runtime)
    if _layers_absent(known, drawn) or _networks_absent(known, fitted):
        with _alone(place, say):
            known = _measured(read_known(place, runtime), drawn, fitted, place, say)
    predictor = Predictor.of(known.table, [(net, known.networks[net.hash]) for net in fitted])
    say(
        f"latency: predicted for {predictor.text}; the median error on {predictor.networks} networks measured is "
        f"{format_percent(predictor.error, digits=1)}"
    )
    return predictor


def _drawn(space: SearchSpace, budgets: Sequence[int], count: int, seed: int) -> Iterator[Architecture]:
    """Networks drawn uniformly, the families by turns."""
    rng = random.Random(seed)
    for position in range(count):

        def suggest(name: str, values: Sequence[Any], position: int = position) -> Any:
            return values[position % len(values)] if name == "family" else rng.choice(values)

        yield space.propose_for(suggest, budgets).architecture


def _different(networks: Iterable[Architecture], most: int) -> list[Architecture]:
    """The first ones, each once: a small space has fewer."""
    found: dict[str, Architecture] = {}
    for net in networks:
        found.setdefault(net.hash, net)
        if len(found) == most:
            break
    return list(found.values())


def _measured(
    known: Known, drawn: Sequence[Architecture], fitted: Sequence[Architecture], place: Path, say: Say
) -> Known:
    """What is known and what it lacks, kept as soon as it is measured."""
    layers = _layers_absent(known, drawn)
    if layers:
        say(
            f"latency: {len(layers)} layers are timed once in {known.table.runtime}, a minute or two;"
            f" {place} keeps them"
        )
        known = Known(known.table.with_points(measured_layers(layers)), known.networks)
        _keep(place, known)
    networks = _networks_absent(known, fitted)
    if networks:
        known = Known(known.table, {**known.networks, **_timed(networks, known.table)})
        _keep(place, known)
    return known


def _layers_absent(known: Known, networks: Sequence[Architecture]) -> list[Operation]:
    return list(needed((each for net in networks for each in operations(net)), known.table))


def _networks_absent(known: Known, networks: Sequence[Architecture]) -> list[Architecture]:
    return [net for net in networks if net.hash not in known.networks]


def _timed(networks: Sequence[Architecture], table: LayerTable) -> dict[str, float]:
    found: dict[str, float] = {}
    for start in range(0, len(networks), AT_ONCE):
        some = networks[start : start + AT_ONCE]
        times = shortest([network_graph(net, table.form_of) for net in some])
        found.update(zip((net.hash for net in some), times, strict=True))
    return found


# What was measured before


def read_known(place: Path, runtime: str) -> Known:
    """What a file has; nothing where there is none, or none that can be read."""
    try:
        content = json.loads(place.read_text(encoding="utf-8"))
        table = LayerTable.from_dict(content["table"])
        return Known(table, {str(each): float(ms) for each, ms in content["networks"].items()})
    # Whatever is in the way of reading it, it is measured anew.
    except Exception:
        return Known(LayerTable(runtime, version_of(runtime), processor_name(), {}))


@contextmanager
def _alone(place: Path, say: Say) -> Iterator[None]:
    """While nobody else measures: who comes second would take the processor from the first, and has less to do then."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = place.with_suffix(".lock").open("w")
    except OSError:
        yield
        return
    with lock:
        if not locks(lock, fcntl.LOCK_EX):
            say("latency: waits for another search, which times layers")
            # A file system may have no locks.
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _keep(place: Path, known: Known) -> None:
    """Where it cannot be written, it is measured anew the next time."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_text(place, known.to_json())
    except (OSError, RunError):
        pass


def _key(runtime: str) -> str:
    what = json.dumps([FORMAT, runtime, version_of(runtime), processor_name(), os.uname().nodename])
    return f"{runtime}-{hashlib.sha256(what.encode()).hexdigest()[:12]}"
