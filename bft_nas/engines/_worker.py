"""The process in which an engine on this machine trains: its own main loop."""

from __future__ import annotations

import signal
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from bft_nas.core.errors import RunError, one_line
from bft_nas.data.images import Images
from bft_nas.engines._shared import SharedData, SharedSide
from bft_nas.searching.jobs import Job, Outcome, train_job
from bft_nas.training.curve import Curve
from bft_nas.training.loop import TrainingFailed, failing
from bft_nas.training.protocol import Protocol

SECONDS_BETWEEN_SIGNS = 0.2
"""Of life: often enough to be seen, and for an orphan to notice soon that nobody listens."""


@dataclass(frozen=True)
class WorkerSetup:
    """What all trainings of a worker share."""

    protocol: Protocol
    data: SharedData
    device: str
    threads: int


def serve(connection: Connection[Any, Any], setup: WorkerSetup) -> None:
    """Train what comes through the pipe, one job after another, until nobody is at its other end."""
    import torch

    from bft_nas.core.memory import keep_freed_memory

    # Ctrl-C reaches every process of a terminal; who drives the search decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(setup.threads)
    keep_freed_memory()
    images: Images | None = None
    signs = _Signs(connection)
    try:
        while True:
            job: Job
            side: SharedSide
            job, side = signs.answer()
            try:
                with failing():
                    if images is None:
                        images = setup.data.images(torch.device(setup.device))
                    setup.data.add(images, side)
            except TrainingFailed as failure:
                signs.send("end", Outcome.failed(failure, 0.0))
                continue
            outcome = train_job(job, setup.protocol, images, on_epoch=signs.epoch, on_step=signs.step)
            signs.send("end", outcome)
    except _NobodyListensError:
        return
    except RunError as error:
        connection.send(("stuck", str(error)))
    except Exception as error:
        connection.send(("defect", f"{type(error).__name__}: {one_line(error)}", traceback.format_exc()))


class _NobodyListensError(Exception):
    """Whoever drove the search is gone."""


class _Signs:
    """What a training says through the pipe, and is told."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self.connection = connection
        self.last = 0.0

    def step(self, done: int, total: int) -> None:
        if time.monotonic() - self.last > SECONDS_BETWEEN_SIGNS:
            self.send("step", done, total)
            self.last = time.monotonic()

    def epoch(self, curve: Curve) -> bool:
        self.send("epoch", curve)
        return bool(self.answer())

    def send(self, *message: object) -> None:
        try:
            self.connection.send(message)
        except OSError:
            raise _NobodyListensError from None

    def answer(self) -> Any:
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            # The latter when whoever is gone has left something unread.
            raise _NobodyListensError from None
