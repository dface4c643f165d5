"""A training is the same to the bit wherever its images are, put down in the middle of an epoch or not."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bft_nas.core.interrupts import Interrupt
from bft_nas.data.dataset import Room, load_dataset
from bft_nas.data.images import Images
from bft_nas.network import build
from bft_nas.training.curve import BEST, LAST
from bft_nas.training.finish import FullTraining
from bft_nas.training.initialise import initialise
from bft_nas.training.protocol import Protocol
from tests.data.samples import write_class_folders
from tests.processes import children_of
from tests.training.test_finish import NET, RECIPE, equal

PLENTY = 1 << 40


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photographs")
    real = load_dataset("fashion-mnist", size=28, images=120).train
    write_class_folders(root, real.images, real.labels, [f"c{label}" for label in range(10)], ".jpg")
    return root


def training(source: Path, room: Room | None, folder: Path) -> FullTraining:
    dataset = load_dataset(str(source), size=36, room=room)
    protocol = Protocol.of(dataset, 1, epochs=2, batch_size=16, norm_images=40)
    torch.manual_seed(0)
    model = build(NET)
    initialise(model, RECIPE)
    folder.mkdir(exist_ok=True)
    images = Images(dataset, torch.device("cpu"))
    return FullTraining(model, replace(protocol, recipe=RECIPE), images, NET.resolution, folder)


def test_the_weights_are_the_same_wherever_images_are(photographs: Path, tmp_path: Path) -> None:
    training(photographs, None, tmp_path / "plain").run()
    for name, room in (
        ("memory", Room(PLENTY, 0, tmp_path / "caches")),
        ("mapped", Room(0, PLENTY, tmp_path / "caches")),
        ("mapped again", Room(0, PLENTY, tmp_path / "caches")),
        ("streamed", Room(0, 0, tmp_path / "none")),
    ):
        before = children_of(os.getpid())
        training(photographs, room, tmp_path / name).run()
        assert children_of(os.getpid()) == before
        for file in (BEST, LAST):
            assert equal(tmp_path / name / file, tmp_path / "plain" / file)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_streamed_it_is_put_down_within_an_epoch_and_taken_up_in_memory(
    photographs: Path, tmp_path: Path, number: signal.Signals
) -> None:
    undisturbed = training(photographs, None, tmp_path / "plain")
    undisturbed.run()
    room, before, working = Room(0, 0, tmp_path / "caches"), children_of(os.getpid()), []

    def interrupt(done: int, total: int) -> None:
        if done == undisturbed.steps + 2:
            working.extend(children_of(os.getpid()))
            signal.raise_signal(number)

    with pytest.raises(Interrupt):
        training(photographs, room, tmp_path / "put down").run(on_step=interrupt)
    assert set(working) > set(before)
    assert children_of(os.getpid()) == before
    again = training(photographs, None, tmp_path / "put down")
    assert (len(again.curve), again.step) == (1, 2)
    again.run()
    assert equal(tmp_path / "put down" / LAST, tmp_path / "plain" / LAST)
    assert load_file(tmp_path / "plain" / LAST)
