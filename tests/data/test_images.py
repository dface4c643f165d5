"""Images at the size that a network asks for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from bft_nas.data.dataset import Dataset, Split
from bft_nas.data.images import Images, resize
from bft_nas.network import build
from bft_nas.training.loop import train
from tests.training.test_loop import NET, protocol_of

SIDE = 28
"""Of the bundled images."""


def enlarged(images: Images, size: int) -> Images:
    """The same, each resized before anything else."""

    def resized(split: Split) -> Split:
        pixels = resize(torch.from_numpy(split.images).permute(0, 3, 1, 2), size)
        return replace(split, images=pixels.permute(0, 2, 3, 1).numpy())

    dataset = images.dataset
    larger = replace(dataset, train=resized(dataset.train), validation=resized(dataset.validation))
    return Images(replace(larger, normalisation=(images.mean, images.std)), images.device)


@pytest.mark.parametrize("size", [SIDE, 40, 224])
def test_larger_sizes_take_no_more_memory(size: int, images: Images) -> None:
    assert images.at(size) is images.at(SIDE)
    assert images.at(size).train.shape[2:] == (SIDE, SIDE)


@pytest.mark.parametrize("size", [12, 27])
def test_smaller_ones_are_made_once(size: int, images: Images) -> None:
    assert images.at(size) is images.at(size)
    assert images.at(size).train.shape[2:] == images.at(size).validation.shape[2:] == (size, size)


def test_images_that_are_not_square_are_brought_to_a_size_in_one_go(images: Images) -> None:
    rng = np.random.default_rng(0)
    split = Split(rng.integers(256, size=(4, 20, 30, 3), dtype=np.uint8), np.arange(4))
    dataset: Dataset = replace(images.dataset, train=split, validation=split)
    odd = Images(dataset, torch.device("cpu"))
    assert odd.at(40).train.shape[2:] == (40, 40)


def test_a_data_set_is_resized_in_pieces_to_the_same_bits(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    split = Split(rng.integers(256, size=(129, 20, 30, 3), dtype=np.uint8), np.zeros(129, np.int64))
    dataset: Dataset = replace(images.dataset, train=split, validation=split)
    sizes = []

    def counted(pixels: torch.Tensor, size: int) -> torch.Tensor:
        sizes.append(len(pixels))
        return resize(pixels, size)

    monkeypatch.setattr("bft_nas.data.images.resize", counted)
    found, _ = Images(dataset, torch.device("cpu")).resized(12)
    assert sizes == [64, 64, 1] * 2
    assert torch.equal(found, resize(torch.from_numpy(split.images).permute(0, 3, 1, 2), 12))


def test_training_is_as_if_images_had_been_enlarged_before(images: Images) -> None:
    protocol = protocol_of(images, epochs=1)
    assert protocol.recipe.shift

    def trained(images: Images) -> tuple[float, nn.Module]:
        torch.manual_seed(0)
        model = build(NET)
        (epoch,) = train(model, protocol, images, 40)
        return epoch.accuracy, model

    (accuracy, model), (expected, other) = trained(images), trained(enlarged(images, 40))
    assert accuracy == expected
    for ours, theirs in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
