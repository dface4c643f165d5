"""What each of two processes does that torchrun starts for the tests: ``torchrun -m tests.training.together FOLDER``.

It leaves what came of it in ``FOLDER/RANK.pt``.
"""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from bft_nas.core.interrupts import Interrupt
from bft_nas.data.dataset import load_dataset
from bft_nas.data.feed import Feed
from bft_nas.data.images import Images
from bft_nas.network import build
from bft_nas.training.augment import augment
from bft_nas.training.finish import FullTraining
from bft_nas.training.initialise import initialise
from bft_nas.training.processes import ALONE, Processes, ProcessLost, joined
from bft_nas.training.protocol import Protocol
from bft_nas.training.recipe import Recipe

RECIPES: dict[str, dict[str, Any]] = {
    "synchronised": {"sync_norms": True},
    "blended": {
        **{"sync_norms": True, "mixup": 0.2, "cutmix": 1.0, "balance": True},
        **{"accumulation": 2, "rand_operations": 2},
    },
    "apart": {},
}
BATCH = 25
"""Of which one process has an image more than the other one."""
STEPS = 10


class Enough(Exception):  # noqa: N818
    """The training has come far enough."""


def make(folder: Path, processes: Processes = ALONE, **changes: Any) -> FullTraining:
    """The training of a tiny network on 300 images."""
    from tests.training.test_finish import NET

    images = Images(load_dataset("fashion-mnist", size=24, images=300), torch.device("cpu"))
    recipe = replace(Recipe(crop_area=0.5, jitter=0.2, erasing=0.2, averaging=0.9, clip=5.0), **changes)
    protocol = replace(Protocol.of(images.dataset, 1, epochs=2, batch_size=BATCH), recipe=recipe)
    torch.manual_seed(0)
    model = build(NET)
    initialise(model, recipe)
    folder.mkdir(exist_ok=True)
    return FullTraining(model, protocol, images, 32, folder, minutes=0.0, processes=processes)


def weights_after(steps: int, training: FullTraining) -> dict[str, Tensor]:
    """The weights and their average, put down there with a checkpoint of the step before."""

    def count(done: int, total: int) -> None:
        if done == steps:
            raise Enough

    with suppress(Enough):
        training.run(on_step=count)
    assert training.average is not None
    average = {f"average {name}": value for name, value in training.average.module.named_parameters()}
    return {
        name: value.detach().clone()
        for name, value in (dict(training.parts.model.named_parameters()) | average).items()
    }


def picked_in_an_epoch(training: FullTraining) -> list[int]:
    """The images, by their numbers, that this process trains on."""
    seen: list[int] = []
    count = len(training.data.train)
    numbers = torch.arange(count, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 8, 8, 1)
    training.data = replace(training.data, train=Feed(numbers, count, training.images.device))

    def note(pixels: Tensor, *others: Any) -> Tensor:
        seen.extend(int(number) for number in pixels[:, 0, 0, 0])
        return augment(pixels, *others)

    with patch("bft_nas.training.finish.augment", note):
        weights_after(training.steps, training)
    return seen


def interrupted(training: FullTraining, processes: Processes) -> tuple[int, int]:
    """The signal and the step at which a training ends when the last process is asked to end."""

    def ask(done: int, total: int) -> None:
        if done == 3 and not processes.first:
            signal.raise_signal(signal.SIGTERM)

    try:
        training.run(on_step=ask)
    except Interrupt as interrupt:
        return interrupt.number, training.step
    return 0, training.step


def _main(folder: Path) -> None:
    found: dict[str, Any] = {}
    rank = -1
    try:
        with joined() as processes:
            rank = processes.rank

            def place(name: str) -> Path:
                return folder / f"{name}-{rank}"

            for name, changes in RECIPES.items():
                found[name] = weights_after(STEPS, make(place(name), processes, **changes))
            found["picked"] = picked_in_an_epoch(make(place("picked"), processes))
            found["interrupted"] = interrupted(
                make(place("interrupted"), processes, sync_norms=True), processes
            )
            again = make(place("interrupted"), processes, sync_norms=True)
            found["resumed at"] = again.step
            found["curve"] = [row.accuracy for row in again.run()]
            if not processes.first:
                raise MemoryError("no room for the batch")
            make(place("lost"), processes)
    except (ProcessLost, MemoryError) as error:
        found["ended"] = str(error)
    torch.save(found, folder / f"{rank}.pt")


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
