"""One of the processes in which Ray Train trains a network to the end, and what the others hear of it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
import ray.train
from ray.exceptions import RayActorError
from ray.train import Checkpoint, UserCallback

from bft_nas.core.errors import one_line
from bft_nas.core.interrupts import Interrupt
from bft_nas.network import Architecture
from bft_nas.training.curve import CHECKPOINT, FullCurve
from bft_nas.training.protocol import Protocol

if TYPE_CHECKING:
    from bft_nas.training.teacher import Teacher

SECONDS_TO_TELL = 1.0
"""Between two words of how far the training is."""


@dataclass(frozen=True)
class TrainingSetup:
    """What is trained, and on how much of a machine each process does."""

    architecture: Architecture
    protocol: Protocol
    teacher: Teacher | None
    cpus: float
    gpus: float


def train_share(config: Mapping[str, Any]) -> None:
    """Train together with the other workers, and report each epoch with its checkpoint."""
    import torch

    from bft_nas.core.memory import keep_freed_memory
    from bft_nas.data.images import Images
    from bft_nas.training.begin import begin
    from bft_nas.training.loop import Diverged
    from bft_nas.training.processes import Processes

    setup, mailbox = config["setup"], config["mailbox"]
    processes = Processes.initialised()
    torch.set_num_threads(max(1, int(setup.cpus)))
    keep_freed_memory()
    device = torch.device("cuda" if setup.gpus else "cpu")
    images = Images(ray.get(config["dataset"]), device)
    teacher = setup.teacher.to(device) if setup.teacher is not None else None
    link = _Link(mailbox, processes.first)
    with tempfile.TemporaryDirectory(prefix="bft-nas-") as name:
        folder = Path(name)
        if processes.first:
            _fetch(folder, config["checkpoint"])

        def report(curve: FullCurve, **more: Any) -> None:
            content = {"curve": [list(astuple(row)) for row in curve], "over": False, "interrupt": 0}
            kept = Checkpoint.from_directory(folder) if processes.first else None
            ray.train.report(content | more, checkpoint=kept)

        training = begin(
            setup.architecture, setup.protocol, images, folder, teacher=teacher, processes=processes
        )
        link.tell("begin", [list(astuple(row)) for row in training.curve], processes.count)
        try:
            curve = training.run(
                on_epoch=report, on_step=link.step, say=lambda text: link.tell("say", text), check=link.check
            )
        except Interrupt as interrupt:
            report(training.curve, interrupt=interrupt.number)
        except Diverged as failure:
            # Of the network: no other worker would do better.
            link.tell("failed", str(failure))
        else:
            report(curve, over=True)
        link.flush()


def _fetch(folder: Path, before: Any) -> None:
    """The checkpoint from which the training goes on: that of the last epoch here, or what there was before."""
    own = ray.train.get_checkpoint()
    if own is not None:
        with own.as_directory() as place:
            for file in Path(place).iterdir():
                (folder / file.name).write_bytes(file.read_bytes())
    elif before is not None:
        (folder / CHECKPOINT).write_bytes(ray.get(before))


class _Link:
    """From the first worker to who asked for the training; the others have none."""

    def __init__(self, mailbox: Any, first: bool) -> None:
        self.mailbox = mailbox if first else None
        self.told = 0.0
        self.sent: Any = None
        self.asked: Any = None

    def tell(self, *letter: Any) -> None:
        """Send a letter."""
        if self.mailbox is not None:
            self.sent = self.mailbox.put.remote(*letter)

    def step(self, done: int, total: int) -> None:
        """So many of all steps are done."""
        if time.monotonic() - self.told > SECONDS_TO_TELL:
            self.told = time.monotonic()
            self.tell("step", done, total)

    def check(self) -> None:
        """Raise `Interrupt` when the training is asked to end; an answer is never waited for."""
        if self.mailbox is None:
            return
        if self.asked is None:
            self.asked = self.mailbox.asked_to_end.remote()
        elif ray.wait([self.asked], timeout=0)[0]:
            number, self.asked = ray.get(self.asked), None
            if number:
                raise Interrupt(number, at_once=False)

    def flush(self) -> None:
        """Wait until the last letter is there."""
        if self.sent is not None:
            ray.get(self.sent)


class Courier(UserCallback):
    """In Ray's controller: forwards epochs with where their checkpoints are, and which workers were lost."""

    def __init__(self, mailbox: Any) -> None:
        self.mailbox = mailbox

    def after_report(
        self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Checkpoint | None
    ) -> None:
        """See Ray."""
        self.mailbox.put.remote("epoch", metrics[0], checkpoint)

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """See Ray."""
        self.mailbox.put.remote("lost", _reason(worker_exceptions))


def _reason(exceptions: Mapping[int, Exception]) -> str:
    """What a worker failed with in a few words; the others have then lost it, which says less."""
    from bft_nas.training.processes import LOST

    said = {rank: one_line(error) for rank, error in exceptions.items()}
    for rank, error in exceptions.items():
        if isinstance(error, RayActorError):
            return f"worker {rank} died" + (" with its node" if "node" in said[rank] else "")
    for rank, text in said.items():
        if LOST not in text:
            return f"worker {rank} failed: {text[-160:]}"
    return "a worker died"
