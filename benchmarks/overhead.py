"""What a search costs outside of its trainings, at any number of candidates, and how long it takes to open its run.

A real run is filled with candidates of the default space whose trainings take no time: with the random sampler and
without forcing anything to the disk, which is not measured. The last ones are proposed, recorded and timed as in a
search, by the sampler that is asked for, by one worker and by two. Prints the milliseconds a candidate (median), the
calls of fsync and the bytes of the journal; then, in processes of their own, the seconds to open the run and have its
results, of ``bft-nas runs``, and of all that the dashboard reads before its first page.

    python benchmarks/overhead.py
    python benchmarks/overhead.py --samplers random --sizes 100 1000 --opened
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from unittest.mock import patch

from bft_nas.api.progress import Silent
from bft_nas.record import DataFacts, Run, Settings
from bft_nas.record.storage import JOURNAL
from bft_nas.searching.jobs import Driver, Engine, Job, Outcome
from bft_nas.searching.loop import Clock, prepare, search
from bft_nas.space.space import SearchSpace
from bft_nas.training.curve import Epoch

TIMED = 20
"""Candidates at each size."""
OPENINGS = {
    "open, with results": "from bft_nas.record import Run; Run.open('filled').results()",
    "bft-nas runs": "from bft_nas.cli.main import main; main(['runs'])",
    "what the dashboard reads first": (
        "from pathlib import Path; from bft_nas.dashboard._runs import Runs; Runs(Path('runs')).read('filled')"
    ),
}


@dataclass
class Instant:
    """An engine whose trainings take no time; keeps what each candidate took from proposal to record."""

    workers: int
    seconds: list[float]

    def __call__(self, driver: Driver) -> None:
        """See `bft_nas.searching.jobs.Engine`."""
        running: list[tuple[Job, float]] = []
        while True:
            started = time.perf_counter()
            job = driver.next() if len(running) < self.workers else None
            if job is not None:
                running.append((job, time.perf_counter() - started))
                continue
            if not running:
                return
            job, proposing = running.pop(0)
            started = time.perf_counter()
            driver.end(job.candidate, outcome_of(job))
            self.seconds.append(proposing + time.perf_counter() - started)


def outcome_of(job: Job) -> Outcome:
    """A made-up outcome, always the same for a network, with a small file in the place of its weights."""
    digest = hashlib.sha256(job.candidate.architecture.hash.encode()).digest()
    accuracy = 0.3 + 0.4 * int.from_bytes(digest[:4]) / 2**32
    if job.weights is not None:
        job.weights.write_bytes(b"weights")
    return Outcome((Epoch(1, 2.0, accuracy / 2, 1.0), Epoch(2, 1.5, accuracy, 1.0)), 2.0)


@contextmanager
def counted_fsyncs() -> Iterator[list[int]]:
    """Counts the calls."""
    calls = [0]
    real = os.fsync

    def count(file: int) -> None:
        calls[0] += 1
        real(file)

    with patch("os.fsync", count):
        yield calls


def new_run(runs: Path) -> Run:
    """An empty run of the default search on the bundled images."""
    settings = Settings(
        budgets=(50_000_000,),
        space="mobile",
        resolutions=(),
        classes=0,
        data="fashion-mnist",
        images=100,
        epochs=2,
        batch_size=64,
        proxy_divisor=0,
        sampler="random",
        seed=0,
        trials=20,
        seconds=None,
    )
    prepared = prepare(settings, SearchSpace.load("mobile"))
    images = prepared.images
    facts = DataFacts(images.dataset.classes, images.mean, images.std)
    return Run.create("filled", prepared.settings, prepared.space, prepared.protocol, data=facts, runs=runs)


def searched(run: Run, engine: Engine, trials: int) -> None:
    """Search until the run has so many candidates."""
    with run.members.joined(alone=True):
        search(run, engine, Silent(), Clock(), trials=trials, seconds=None)


def filled(run: Run, trials: int) -> None:
    """Candidates up to a number, as fast as can be."""
    with patch("os.fsync", lambda file: None):
        searched(run, Instant(1, []), trials)


def measure(run: Run, sampler: str, size: int, workers: int) -> None:
    """Time the candidates up to ``size``, and print a row."""
    filled(run, size - TIMED)
    journal = run.folder / JOURNAL
    settings, before = run.settings, journal.stat().st_size
    run.settings = replace(settings, sampler=sampler)
    engine = Instant(workers, [])
    try:
        with counted_fsyncs() as fsyncs:
            searched(run, engine, size)
    finally:
        run.settings = settings
    each = len(engine.seconds)
    row = (
        sampler,
        workers,
        size,
        f"{1000 * median(engine.seconds):.1f}",
        f"{fsyncs[0] / each:.1f}",
        f"{(journal.stat().st_size - before) / each:.0f}",
    )
    print("| " + " | ".join(map(str, row)) + " |", flush=True)


def opened(run: Run, size: int) -> None:
    """Seconds of new processes at a number of candidates, without and with what they import."""
    filled(run, size)
    for name, program in OPENINGS.items():
        code = f"import time; started = time.perf_counter(); {program}; print(time.perf_counter() - started)"
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=run.folder.parent.parent,
            capture_output=True,
            text=True,
            check=True,
        )
        print(f"| {name} | {size} | {float(done.stdout.split()[-1]):.2f} |", flush=True)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samplers", nargs="+", default=["random", "tpe"], metavar="NAME")
    parser.add_argument("--sizes", nargs="+", type=int, default=[100, 1000, 5000], metavar="N")
    parser.add_argument("--opened", nargs="*", type=int, default=[5000, 10_000], metavar="N")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        print(
            "| sampler | workers | candidates | ms a candidate | fsyncs | bytes of journal |\n|---|---|---|---|---|---|"
        )
        run = new_run(Path(folder) / "runs")
        for size in options.sizes:
            # Each row leaves the run a little larger: the rows of a size are of nearly that many candidates.
            for i, (sampler, workers) in enumerate((s, w) for s in options.samplers for w in (1, 2)):
                measure(run, sampler, size + i * TIMED, workers)
        if options.opened:
            print("\n| opening | candidates | seconds |\n|---|---|---|")
        for size in options.opened:
            opened(run, size)


if __name__ == "__main__":
    main()
