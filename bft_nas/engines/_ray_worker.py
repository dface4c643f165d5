"""The process in which Ray Tune trains: what it reports, and how it ends when nothing happens."""

from __future__ import annotations

import faulthandler
import tempfile
import time
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from bft_nas.network import Architecture
from bft_nas.record import Candidate
from bft_nas.record.candidate import WEIGHTS
from bft_nas.searching.jobs import Job, Outcome, train_job
from bft_nas.training.curve import CHECKPOINT, Curve

if TYPE_CHECKING:
    from bft_nas.data.dataset import Dataset
    from bft_nas.data.images import Images
    from bft_nas.training.protocol import Protocol

SECONDS_TO_START = 60.0
"""That a worker waits for those that begin with it, at most."""


@dataclass(frozen=True)
class Portion:
    """What each training gets of a cluster."""

    workers: int
    """Trainings at once."""
    cpus: float
    gpus: float


@dataclass(frozen=True)
class RaySetup:
    """What all trainings share beside their data."""

    protocol: Protocol
    portion: Portion
    timeout: float


_images: dict[str, Images] = {}
"""Of a worker's process, which trains one candidate after another; by the data that they are of."""


def train_reporting(config: dict[str, Any], *, dataset: Dataset, setup: RaySetup, shelf: Any) -> None:
    """Train one candidate in a worker and report each epoch with its checkpoint, then the outcome with the weights."""
    import torch

    from bft_nas.core.memory import keep_freed_memory
    from bft_nas.data.images import Images
    from bft_nas.training.protocol import Protocol

    shared = f"{dataset.digest} {dataset.normalisation}"
    if not _images:
        torch.set_num_threads(max(1, int(setup.portion.cpus)))
        keep_freed_memory()
    if shared not in _images:
        _images[shared] = Images(dataset, torch.device("cuda" if setup.portion.gpus else "cpu"))
        _wait_for_others(shelf)
    candidate = Candidate(
        config["number"], Architecture.from_json(config["architecture"]), config["macs"], config["budget"]
    )
    with tempfile.TemporaryDirectory() as folder:
        epoch, end = Path(folder) / "epoch", Path(folder) / "end"
        epoch.mkdir()
        end.mkdir()
        weights = end / WEIGHTS if config["weights"] else None
        protocol = Protocol.from_dict(config["protocol"]) if config["protocol"] else setup.protocol
        job = Job(candidate, epoch / CHECKPOINT, weights)
        _fetch(job, shelf)

        def report(curve: Curve, outcome: Outcome | None, content: Path) -> None:
            result = {
                "curve": [list(astuple(row)) for row in curve],
                "over": outcome is not None,
                "seconds": outcome.seconds if outcome else 0.0,
                "reason": outcome.reason if outcome else "",
                "diverged": outcome is not None and outcome.diverged,
                "traceback": outcome.traceback if outcome else "",
            }
            filled = any(content.iterdir())
            tune.report(result, checkpoint=tune.Checkpoint.from_directory(content) if filled else None)

        def on_epoch(curve: Curve) -> bool:
            if len(curve) < protocol.epochs:
                faulthandler.cancel_dump_traceback_later()
                report(curve, None, epoch)
            watch.renew()
            return True

        watch = _Watch(setup.timeout)
        watch.renew()
        try:
            outcome = train_job(
                job,
                protocol,
                _images[shared],
                on_epoch=on_epoch,
                on_step=lambda done, total: watch.step(),
            )
        finally:
            faulthandler.cancel_dump_traceback_later()
        report(outcome.curve, outcome, end)


class _Watch:
    """Ends the process when nothing happens for long, whatever holds it up: the clock is a thread of C."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.last = 0.0

    def step(self) -> None:
        """A sign of life."""
        if time.monotonic() - self.last > min(1.0, self.timeout / 4):
            self.renew()

    def renew(self) -> None:
        """Wind the clock up again."""
        self.last = time.monotonic()
        faulthandler.dump_traceback_later(self.timeout, exit=True, file=2)


def _fetch(job: Job, shelf: Any) -> None:
    """The checkpoint from which the training resumes, if there is one."""
    before = ray.get(shelf.take.remote(job.candidate.number))
    if before is not None:
        job.checkpoint.write_bytes(before)


def _wait_for_others(shelf: Any) -> None:
    """Until all workers that begin together have started.

    Tune gives one that is done the training of one that still starts, which it then wants no longer: of candidates that
    take less time than a start, one worker would train all.
    """
    worker = ray.get_runtime_context().get_worker_id()
    until = time.monotonic() + SECONDS_TO_START
    while not ray.get(shelf.arrive.remote(worker)) and time.monotonic() < until:
        time.sleep(0.05)
