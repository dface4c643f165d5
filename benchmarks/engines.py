"""What an engine costs: wall time a candidate that is not spent in training, and what a second worker saves.

Trains the same 16 candidates in a bare loop, by an engine with one worker and by one with two, interleaved; start-up
(importing torch in a worker) is measured apart, by a first candidate that is not counted.

    python benchmarks/engines.py
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import torch

from bft_nas.data import load_dataset
from bft_nas.engines import local_engine
from bft_nas.jobs import Curve, Job, Outcome
from bft_nas.memory import keep_freed_memory
from bft_nas.network import Architecture, cost
from bft_nas.network.references import widest
from bft_nas.run import Candidate
from bft_nas.train import Images, Protocol, evaluate


@dataclass
class Equal:
    """Asks for the same network so many times, and takes the time from the end of the first ones on."""

    architecture: Architecture
    folder: Path
    workers: int
    left: int
    ended: int = 0
    seconds: float = 0.0
    started: float = field(default_factory=time.perf_counter)
    ready: float = 0.0

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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--candidates", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    keep_freed_memory()
    images = Images(load_dataset("fashion-mnist", size=32, images=4000), torch.device("cpu"))
    protocol = Protocol.of(images.dataset, 4, epochs=2)
    found = widest("mobilenet_v1_bft", 20_000_000, resolution=128)
    assert found is not None
    architecture = found[1]
    count = options.candidates
    walls: dict[str, list[float]] = {}
    overheads: dict[str, list[float]] = {}
    starts: list[float] = []
    for _ in range(options.rounds):
        evaluate(architecture, protocol, images)
        started = time.perf_counter()
        for _ in range(count):
            evaluate(architecture, protocol, images)
        walls.setdefault("bare loop", []).append(time.perf_counter() - started)
        for workers in (1, 2):
            with tempfile.TemporaryDirectory() as folder:
                driver = Equal(architecture, Path(folder), workers, count + workers)
                local_engine(images, protocol, workers=workers)(driver)
                wall = time.perf_counter() - driver.ready
                name = f"local, {workers} worker{'s' if workers > 1 else ''}"
                walls.setdefault(name, []).append(wall)
                overheads.setdefault(name, []).append((wall * workers - driver.seconds) / count)
                if workers > 1:
                    starts.append(driver.ready - driver.started - driver.seconds / count)
    bare = median(walls["bare loop"])
    one = median(walls["local, 1 worker"])
    print(
        f"{count} candidates of {cost(architecture).macs / 1e6:.1f}M MACs, {os.cpu_count()} cores, start-up apart\n"
    )
    print("| engine | wall s | over bare loop | over one worker | not training, s a candidate |")
    print("|---|---|---|---|---|")
    for name, each in walls.items():
        wall = median(each)
        overhead = f"{median(overheads[name]):.3f}" if name in overheads else ""
        print(f"| {name} | {wall:.1f} | {wall / bare:.2f} | {wall / one:.2f} | {overhead} |")
    print(f"\nstart-up of two workers: {median(starts):.1f} s")


if __name__ == "__main__":
    main()
