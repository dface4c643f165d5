"""latency.json of a run or of a trained network: how long its networks take for one image, and on what. Needs no torch.

Latencies compare only where their `Setup` is the same; a table or an axis has those of one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bft_nas.core.errors import UserError, one_line
from bft_nas.core.files import write_text
from bft_nas.core.units import format_milliseconds, format_percent

if TYPE_CHECKING:
    import pandas as pd

LATENCY_FILE = "latency.json"
SETUP_COLUMN = "latency_on"
SHARE_COLUMN = "latency_share"
QUIET = 0.9
"""`Latency.share` from which a machine is taken to have done nothing else."""


@dataclass(frozen=True)
class Setup:
    """What latencies were measured on."""

    runtime: str
    version: str
    threads: int
    precision: str
    """``float32`` or ``int8``."""
    cpu: str
    cores: int
    """That the process could use."""

    @property
    def key(self) -> str:
        """What tells it from others, in an address."""
        return hashlib.sha256(json.dumps(astuple(self)).encode()).hexdigest()[:8]

    @property
    def text(self) -> str:
        """All of it, for people."""
        return f"{self.software}, {self.machine}"

    @property
    def software(self) -> str:
        """What of it is not the machine."""
        threads = f"{self.threads} thread{'' if self.threads == 1 else 's'}"
        return f"{self.runtime} {self.version}, {threads}, {self.precision}"

    @property
    def machine(self) -> str:
        """The machine, without its name."""
        return f"{self.cpu}, {self.cores} core{'' if self.cores == 1 else 's'}"


@dataclass(frozen=True)
class Latency:
    """How long one network takes for one image."""

    network: str
    """What people call it."""
    hash: str
    """Of its architecture."""
    setup: Setup
    p50: float
    """Seconds within which half of the queries were answered."""
    p90: float
    queries: int
    size: int | None
    """Bytes of the file that was run; None where there was none."""
    measured: str
    """When, in UTC."""
    share: float = 1.0
    """Of the time, that who measured had a core: well below 1, other work made latencies longer."""

    @property
    def text(self) -> str:
        """For people."""
        p90 = format_milliseconds(self.p90)
        found = f"{format_milliseconds(self.p50)} (90 % within {p90}) in {self.setup.text}"
        return f"{found}; {busy}" if (busy := busy_text(self.share)) else found


def busy_text(share: float) -> str:
    """That a machine did other work meanwhile, in words; empty where it did not. See `Latency.share`."""
    if share < QUIET:
        told = format_percent(share, 0)
        return f"measured beside other work, with a core for {told} of the time, and therefore too long"
    return ""


def read_latencies(folder: Path) -> tuple[Latency, ...]:
    """What was measured of the networks of a folder, the oldest first; UserError when it cannot be read."""
    path = folder / LATENCY_FILE
    try:
        return tuple(map(_read, json.loads(path.read_text(encoding="utf-8"))))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: expected latencies ({one_line(error)[:120]})") from None


def _read(row: dict[str, Any]) -> Latency:
    setup = {name: kind(row["setup"][name]) for name, kind in _SETUP.items()}
    size = row["size"]
    return Latency(
        str(row["network"]),
        str(row["hash"]),
        Setup(**setup),
        float(row["p50"]),
        float(row["p90"]),
        int(row["queries"]),
        None if size is None else int(size),
        str(row["measured"]),
        # Those of versions that did not look at it are taken to be of a machine that did nothing else.
        float(row.get("share", 1.0)),
    )


_SETUP: dict[str, type] = {
    "runtime": str,
    "version": str,
    "threads": int,
    "precision": str,
    "cpu": str,
    "cores": int,
}


def add_latencies(folder: Path, latencies: Iterable[Latency]) -> None:
    """Keep latencies beside those of other networks and setups; of the same ones, the new stand for the old."""
    kept = {(each.hash, each.setup): each for each in read_latencies(folder)}
    for each in latencies:
        kept.pop((each.hash, each.setup), None)
        kept[each.hash, each.setup] = each
    write_text(folder / LATENCY_FILE, json.dumps([asdict(each) for each in kept.values()], indent=1) + "\n")


def setups_of(latencies: Sequence[Latency]) -> tuple[Setup, ...]:
    """The setups in which any network was measured: that with most networks first, of equals the newest."""
    counts: dict[Setup, tuple[int, int]] = {}
    for place, each in enumerate(latencies):
        counts[each.setup] = (counts.get(each.setup, (0, 0))[0] + 1, place)
    return tuple(sorted(counts, key=lambda setup: counts[setup], reverse=True))


def with_latency(frame: pd.DataFrame, latencies: Sequence[Latency], key: str = "") -> pd.DataFrame:
    """Results, or references, with the latencies in one setup, by default the first of `setups_of`.

    The columns are `bft_nas.record.columns.LATENCY_COLUMNS`; there are none where nothing was measured.

    Args:
        frame: with the column ``hash``.
        latencies: of a run.
        key: of a setup.
    """
    setups = setups_of(latencies)
    setup = next((each for each in setups if each.key == key), next(iter(setups), None))
    if setup is None:
        return frame
    found = {each.hash: each for each in latencies if each.setup == setup}
    of_rows = [found.get(each) for each in frame["hash"]]
    nothing = float("nan")
    return frame.assign(
        latency=[nothing if each is None else each.p50 for each in of_rows],
        latency_p90=[nothing if each is None else each.p90 for each in of_rows],
        latency_on=["" if each is None else each.setup.text for each in of_rows],
        latency_share=[nothing if each is None else each.share for each in of_rows],
    )


def setup_on(frame: pd.DataFrame) -> str:
    """The setup of the latencies of results, or references, for people; empty where there are none."""
    return next((str(text) for text in frame.get(SETUP_COLUMN, ()) if text), "")


def busy_on(row: Mapping[Any, Any]) -> str:
    """That a machine did other work while the latency of a row was measured; empty where it did not."""
    return "" if (share := row.get(SHARE_COLUMN)) is None else busy_text(share)


def measured_on(frame: pd.DataFrame) -> str:
    """As `setup_on`, and how many of them were measured beside other work, where any was."""
    setup = setup_on(frame)
    shares = frame[SHARE_COLUMN].dropna() if setup else ()
    busy = sum(bool(busy_text(share)) for share in shares)
    return (
        f"{setup}; {busy} of {len(shares)} measured beside other work, and therefore too long"
        if busy
        else setup
    )
