"""Measures networks and files in turns, in each of some setups."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bft_nas.latency.networks import Ready, Subject, counts_of
from bft_nas.latency.single_stream import Percentiles, Rule, single_stream
from bft_nas.record.latency import Latency

Watcher = Callable[[str, float], None]
"""Called with what is being done, in words, and the part of it that is done."""


@dataclass(frozen=True)
class Measured:
    """What came of one network in one setup."""

    subject: Subject
    latency: Latency
    macs: int | None
    """None of a file beside which no architecture stands."""
    params: int | None


def measure(
    subjects: Sequence[Subject],
    runtimes: Sequence[str],
    threads: Sequence[int],
    rule: Rule,
    *,
    preparing: float = math.inf,
    watcher: Watcher = lambda text, part: None,
) -> list[Measured]:
    """Latencies for one image, of networks in each runtime and with each number of threads, and of files in theirs.

    Args:
        subjects: the most important first.
        runtimes: checked names; files have their own.
        threads: numbers of them.
        rule: how long is measured.
        preparing: seconds after the first network is ready, after which no further one is made ready.
        watcher: is told how far it is.

    Raises:
        UserError: a file is none of an export.
        ExportError: a network cannot be written for a runtime.
    """
    ready: list[tuple[Subject, Ready]] = []
    ends = math.inf
    with tempfile.TemporaryDirectory() as folder, _threads_kept():
        for place, subject in enumerate(subjects):
            if time.perf_counter() >= ends:
                break
            watcher(f"{subject.label}: made ready", place / len(subjects))
            ready += [(subject, each) for each in subject.ready(runtimes, threads, Path(folder))]
            if place == 0:
                # What it had to import is no measure of the others.
                ends = time.perf_counter() + preparing
        found = _asked([each for _, each in ready], rule, lambda part: watcher("measured", part))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    measured = []
    for place, (subject, each) in enumerate(ready):
        macs, params = counts_of(subject) or (None, None)
        known = "" if subject.architecture is None else subject.architecture.hash
        times, share = found[place]
        latency = Latency(
            subject.label, known, each.setup, times.p50, times.p90, times.queries, each.size, now, share
        )
        measured.append(Measured(subject, latency, macs, params))
    return measured


def _asked(
    ready: Sequence[Ready], rule: Rule, progress: Callable[[float], None]
) -> dict[int, tuple[Percentiles, float]]:
    """The times of each, and the share of a core meanwhile; where not all can be asked side by side, in turns."""
    found: dict[int, tuple[Percentiles, float]] = {}

    def tell(part: float) -> None:
        progress((len(found) + part * len(queries)) / len(ready))

    for turn in sorted({each.turn for each in ready}):
        queries = {place: each.open() for place, each in enumerate(ready) if each.turn == turn}
        started, had = time.perf_counter(), time.thread_time()
        times = single_stream(queries, rule, progress=tell)
        # Whoever waits for threads of its own, waits for a core as well where these do.
        share = min(1.0, (time.thread_time() - had) / (time.perf_counter() - started))
        found |= {place: (each, share) for place, each in times.items()}
    return found


@contextmanager
def _threads_kept() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
