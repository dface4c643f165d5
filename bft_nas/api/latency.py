"""`bft_nas.measure_latency`: how long networks take for one image, kept with their run or trained network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bft_nas.api.run import Run
from bft_nas.api.trained import Trained, open_trained
from bft_nas.core.errors import UserError, one_line
from bft_nas.core.files import check_writable, is_file
from bft_nas.latency.networks import (
    RUNTIME_OF,
    Subject,
    checked_names,
    default_runtime,
    files_at,
    network_of_trained,
    networks_of_run,
)
from bft_nas.latency.single_stream import Rule
from bft_nas.record.card import CARD, write_card
from bft_nas.record.run_file import RUN_FILE
from bft_nas.record.run_folder import RUNS
from bft_nas.record.trained_folder import TRAINED, is_trained

if TYPE_CHECKING:
    from bft_nas.latency.measure import Measured, Watcher
    from bft_nas.record.latency import Latency

QUICK = Rule()


@dataclass(frozen=True)
class _Source:
    """What somebody named."""

    subjects: Sequence[Subject]
    keep: Callable[[Sequence[Latency]], None]


def measure_latency(
    *what: str | Path,
    runtimes: str | Sequence[str] = (),
    threads: int | Sequence[int] = (1,),
    queries: int = QUICK.queries,
    seconds: float = QUICK.seconds,
    runs: str | Path = RUNS,
    trained: str | Path = TRAINED,
    watcher: Watcher = lambda text, part: None,
) -> list[Measured]:
    """Measure networks in turns, one image at a time, as ``bft-nas latency`` does, and keep what came of it.

    Args:
        what: runs, of which the front, the references and what was confirmed are measured, trained networks, and
            exports, or files of these; by name or path.
        runtimes: ``pytorch`` or a name of `bft_nas.export.runtimes.RUNTIMES`, or several; by default ONNX Runtime
            where it is installed. A file is run by its own.
        threads: a number of threads, or several.
        queries: of each network at least; the rule of MLPerf has 1,024.
        seconds: in queries of each network at least.
        runs: where runs are.
        trained: where trained networks are.
        watcher: is told how far it is.

    Raises:
        UserError: something of it is not there, is no file of an export, needs what is not installed, or cannot keep
            what is measured of it.
        ExportError: a network cannot be written for a runtime.

    >>> [each.latency.text for each in measure_latency("mobile-50M")]  # doctest: +SKIP
    """
    asked = checked_names([runtimes] if isinstance(runtimes, str) else runtimes)
    names, counts = asked or (default_runtime(),), [threads] if isinstance(threads, int) else threads
    sources = [_source(str(each), Path(runs), Path(trained), asked) for each in dict.fromkeys(what)]
    from bft_nas.latency.measure import measure

    subjects = [subject for source in sources for subject in source.subjects]
    measured = measure(subjects, names, tuple(dict.fromkeys(counts)), Rule(queries, seconds), watcher=watcher)
    for source in sources:
        own = {id(subject) for subject in source.subjects}
        source.keep([each.latency for each in measured if id(each.subject) in own])
    return measured


def _source(name: str, runs: Path, trained: Path, asked: Sequence[str]) -> _Source:
    path = Path(name)
    files = files_at(path, asked)
    if files is not None:
        return _Source(files, lambda latencies: None)
    if is_trained(name, trained=trained) and not is_file(runs / name / RUN_FILE):
        network = open_trained(name, trained=trained)
        check_writable(network.folder)
        return _Source([network_of_trained(network)], partial(_keep, network))
    if not is_file(runs / name / RUN_FILE) and not is_file(path / RUN_FILE):
        known = ""
        with suppress(UserError):
            known = _known(runs)
        raise UserError(
            f"'{one_line(name)[:80]}': no run, trained network, export or file of one "
            f"({', '.join(RUNTIME_OF)}); expected one{known}"
        )
    run = Run.open(name, runs=runs)
    networks = networks_of_run(run)
    if not networks:
        raise UserError(f"run '{run.name}': no trained candidate yet; expected a run with a winner")
    check_writable(run.folder)
    return _Source(networks, run.record_latencies)


def _known(runs: Path) -> str:
    from bft_nas.record.run_folder import run_names

    names = run_names(runs)
    return f", such as {', '.join(names[-5:])}" if names else ""


def _keep(trained: Trained, latencies: Sequence[Latency]) -> None:
    trained.record_latencies(latencies)
    if is_file(trained.folder / CARD):
        write_card(trained)
        trained.report()
