"""What an engine costs: wall time a candidate that is not spent in training, and what a second worker saves.

Trains the same 16 candidates in a bare loop, by an engine with one worker, by one with two and by two actors of Ray,
interleaved. One worker has all of the cores, two share them; so that what the engine costs is told apart from how well
a training uses a second core, there is also one worker that has as few threads as each of the two. Start-up (importing
torch in a worker, Ray's own) is measured apart, until the first candidate of each worker, not counted, is done.

    python benchmarks/engines.py
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from bft_nas.core.memory import keep_freed_memory
from bft_nas.core.units import parse_macs
from bft_nas.data.dataset import load_dataset
from bft_nas.data.images import Images
from bft_nas.engines import local_engine
from bft_nas.network import Architecture, cost
from bft_nas.network.references import widest
from bft_nas.record import Candidate
from bft_nas.searching.jobs import Engine, Job, Outcome
from bft_nas.training.curve import Curve
from bft_nas.training.loop import build_and_train
from bft_nas.training.protocol import Protocol

BARE, ONE, TWO, RAY = "bare loop", "local, 1 worker", "local, 2 workers", "Ray, 2 actors"
ALONE = "local, 1 worker with the threads of one of 2"
ENGINES = (ONE, ALONE, TWO, RAY)


@dataclass
class Equal:
    """Asks for the same network so many times, and takes the time from the end of the first ones on."""

    architecture: Architecture
    folder: Path
    workers: int
    left: int
    ended: int = 0
    seconds: float = 0.0
    ready: float = 0.0
    finished: float = 0.0

    def next(self) -> Job | None:
        """Job after job; the first of each worker is for its start."""
        if self.left == 0:
            return None
        self.left -= 1
        candidate = Candidate(self.left, self.architecture, cost(self.architecture).macs, 0)
        return Job(candidate, self.folder / f"{self.left}.pt", self.folder / f"{self.left}.safetensors")

    def step(self, candidate: Candidate, done: int, total: int) -> None:
        """Nothing."""

    def epoch(self, candidate: Candidate, curve: Curve) -> bool:
        """Always on."""
        return True

    def advise(self, text: str) -> None: ...

    def lost(self, candidate: Candidate, reason: str) -> None:
        """Nobody is."""
        raise AssertionError(reason)

    def end(self, candidate: Candidate, outcome: Outcome) -> None:
        """Start the clock when every worker has done its first."""
        self.ended += 1
        if self.ended == self.workers:
            self.ready = time.perf_counter()
        elif self.ended > self.workers:
            self.seconds += outcome.seconds
        self.finished = time.perf_counter()


def engine_of(name: str, images: Images, protocol: Protocol, folder: Path) -> tuple[Engine, int]:
    """An engine by its name, and how many trainings it has at once."""
    if name == RAY:
        from bft_nas.engines.ray_cluster import connect
        from bft_nas.engines.ray_tune import ray_engine

        portion = connect(None, workers=2)
        return ray_engine(images, protocol, portion=portion, storage=str(folder / "ray")), portion.workers
    workers = 2 if name == TWO else 1
    return local_engine(images, protocol, workers=workers), workers


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--candidates", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--flops", default="20M", help="of a candidate")
    options = parser.parse_args()
    keep_freed_memory()
    images = Images(load_dataset("fashion-mnist", size=32, images=2000), torch.device("cpu"))
    protocol = Protocol.of(images.dataset, 4, epochs=2)
    found = widest("mobilenet_v1_bft", parse_macs(options.flops), resolution=128)
    assert found is not None
    architecture = found[1]
    count = options.candidates
    walls: dict[str, list[float]] = {name: [] for name in (BARE, *ENGINES)}
    overheads: dict[str, list[float]] = {name: [] for name in ENGINES}
    starts: dict[str, list[float]] = {name: [] for name in ENGINES}
    threads = torch.get_num_threads()
    for _ in range(options.rounds):
        build_and_train(architecture, protocol, images)
        started = time.perf_counter()
        for _ in range(count):
            build_and_train(architecture, protocol, images)
        walls[BARE].append(time.perf_counter() - started)
        for name in ENGINES:
            torch.set_num_threads(max(1, threads // 2) if name == ALONE else threads)
            with tempfile.TemporaryDirectory() as folder:
                started = time.perf_counter()
                engine, workers = engine_of(name, images, protocol, Path(folder))
                driver = Equal(architecture, Path(folder), workers, count + workers)
                engine(driver)
                walls[name].append(driver.finished - driver.ready)
                overheads[name].append((walls[name][-1] * workers - driver.seconds) / count)
                starts[name].append(driver.ready - started)
        torch.set_num_threads(threads)
    bare, one = median(walls[BARE]), median(walls[ONE])
    print(
        f"{count} candidates of {cost(architecture).macs / 1e6:.1f}M MACs, {os.cpu_count()} cores, start-up apart\n"
    )
    print(
        "| engine | wall s | over bare loop | over one worker | not training, s a candidate | start-up, s |"
    )
    print("|---|---|---|---|---|---|")
    for name, each in walls.items():
        wall = median(each)
        cells = [name, f"{wall:.1f}", f"{wall / bare:.2f}", f"{wall / one:.2f}"]
        cells += (
            [f"{median(overheads[name]):.3f}", f"{median(starts[name]):.1f}"] if name in starts else ["", ""]
        )
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
