"""Trainings to be done, their outcomes, and who asks for them: what a search and its engine agree on."""

from __future__ import annotations

import time
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bft_nas.training.loop
from bft_nas.core.units import format_percent
from bft_nas.record import Candidate
from bft_nas.training.curve import Curve

if TYPE_CHECKING:
    from bft_nas.data.images import Images
    from bft_nas.searching.loop import Clock, Watcher
    from bft_nas.training.protocol import Protocol


@dataclass(frozen=True)
class Job:
    """A candidate to be trained."""

    candidate: Candidate
    checkpoint: Path
    """Where the training is kept from epoch to epoch, and resumed from."""
    weights: Path | None
    """Where the trained weights go; None if nobody wants them."""
    protocol: Protocol | None = None
    """Under which it is trained, where that is not the engine's own."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a training."""

    curve: Curve
    seconds: float
    reason: str = ""
    """Why there is no accuracy; empty when there is one."""
    diverged: bool = False
    """Whether it failed by its loss, which says nothing of the next one."""
    traceback: str = ""
    """Of the error that it failed by, if any."""

    @property
    def summary(self) -> dict[str, Any]:
        """What tables say of it: ``accuracy``, ``epochs`` and ``seconds``, or ``reason`` and ``seconds``."""
        if self.reason:
            return {"reason": self.reason, "seconds": self.seconds}
        last = self.curve[-1]
        return {"accuracy": last.accuracy, "epochs": len(self.curve), "seconds": self.seconds}

    @property
    def stop(self) -> str:
        """Where a training that was stopped early was, in words."""
        return f"stopped after epoch {len(self.curve)} at {format_percent(self.curve[-1].accuracy)}"

    @classmethod
    def failed(cls, failure: bft_nas.training.loop.TrainingFailed, seconds: float) -> Outcome:
        """Of a training that failed."""
        return cls(
            (), seconds, str(failure), isinstance(failure, bft_nas.training.loop.Diverged), failure.traceback
        )


class Driver(typing.Protocol):
    """Who asks for trainings, and is notified of them in the process that it lives in."""

    def next(self) -> Job | None:
        """What to train now; None when there is nothing at the moment, which may change when an epoch ends."""

    def step(self, candidate: Candidate, done: int, total: int) -> None:
        """So many of a training's steps are done; notified now and then."""

    def epoch(self, candidate: Candidate, curve: Curve) -> bool:
        """A training has come as far as this curve; whether it is to continue."""

    def lost(self, candidate: Candidate, reason: str) -> None:
        """A worker died over a training, which restarts from its last epoch."""

    def end(self, candidate: Candidate, outcome: Outcome) -> None:
        """A training is over."""


class Reporting:
    """The part of a driver that says how trainings proceed and stops none of them."""

    watcher: Watcher
    clock: Clock

    def step(self, candidate: Candidate, done: int, total: int) -> None:
        """See `Driver`."""
        self.watcher.step(candidate, done, total)

    def epoch(self, candidate: Candidate, curve: Curve) -> bool:
        """See `Driver`."""
        self.clock.epoch(candidate.number, curve)
        self.watcher.epoch(candidate, curve[-1])
        return True

    def lost(self, candidate: Candidate, reason: str) -> None:
        """See `Driver`."""
        self.watcher.lost(candidate, reason)


Engine = Callable[[Driver], None]
"""Trains what a driver asks for until it asks for nothing more and nothing is being trained."""


def train_job(
    job: Job,
    protocol: Protocol,
    images: Images,
    *,
    on_epoch: Callable[[Curve], bool],
    on_step: Callable[[int, int], None],
) -> Outcome:
    """Train one candidate; the same under every engine. Its weights are on disk before it is reported.

    ``protocol`` is that of a job that has none of its own.
    """
    from safetensors.torch import save

    from bft_nas.core.files import write_bytes

    started = time.perf_counter()
    try:
        training = bft_nas.training.loop.build_and_train(
            job.candidate.architecture,
            job.protocol or protocol,
            images,
            checkpoint=job.checkpoint,
            on_epoch=on_epoch,
            on_step=on_step,
        )
        kept = job.weights if not training.stopped else None
        with bft_nas.training.loop.failing():
            content = save(dict(training.weights)) if kept is not None else b""
    except bft_nas.training.loop.TrainingFailed as failure:
        return Outcome.failed(failure, time.perf_counter() - started)
    if kept is not None:
        write_bytes(kept, content)
    # Epochs before a kill count too.
    seconds = max(time.perf_counter() - started, sum(row.seconds for row in training.curve))
    return Outcome(training.curve, seconds)
