"""A training is the same to the bit wherever its images are, put down in the middle of an epoch or not."""

from __future__ import annotations

import os
import signal
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from bft_nas.core.interrupts import Interrupt
from bft_nas.data.dataset import Room, load_dataset
from bft_nas.data.decoders import Decoded
from bft_nas.data.feed import Feed
from bft_nas.data.images import Images
from bft_nas.network import build
from bft_nas.training.curve import BEST, LAST
from bft_nas.training.finish import FullTraining
from bft_nas.training.initialise import initialise
from bft_nas.training.protocol import Protocol
from bft_nas.training.recipe import Recipe
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


def training(source: Path, room: Room | None, folder: Path, recipe: Recipe = RECIPE) -> FullTraining:
    dataset = load_dataset(str(source), size=36, room=room)
    protocol = Protocol.of(dataset, 1, epochs=2, batch_size=16, norm_images=40)
    torch.manual_seed(0)
    model = build(NET)
    initialise(model, recipe)
    folder.mkdir(exist_ok=True)
    images = Images(dataset, torch.device("cpu"))
    return FullTraining(model, replace(protocol, recipe=recipe), images, NET.resolution, folder)


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


@pytest.mark.parametrize("accumulation", [1, 3])
def test_what_a_step_needs_was_asked_for_before_and_once(
    photographs: Path, tmp_path: Path, accumulation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    ask = Feed._asked

    def counted(feed: Feed, picked: Tensor) -> list[Future[Decoded]]:
        asked.extend(picked.tolist())
        return ask(feed, picked)

    monkeypatch.setattr(Feed, "_asked", counted)
    recipe = replace(RECIPE, accumulation=accumulation)
    streamed = training(photographs, Room(0, 0, tmp_path / "caches"), tmp_path / "trained", recipe)

    def look(done: int, total: int) -> None:
        if done == 1:
            assert len(asked) > 16
        if done == streamed.steps:
            assert len(asked) == len(set(asked)) == 16 * streamed.steps
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        streamed.run(on_step=look)
