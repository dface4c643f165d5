"""Augmentation of batches."""

from __future__ import annotations

import torch

from bft_nas.data.dataset import load_dataset
from bft_nas.training.augment import augment
from bft_nas.training.recipe import Recipe


def test_augmentation_flips_and_shifts_each_image_by_itself() -> None:
    train = load_dataset("fashion-mnist", size=28, images=64).train.images
    pixels = torch.from_numpy(train).permute(0, 3, 1, 2)
    same = augment(pixels, Recipe(flip=False, shift=0), torch.Generator())
    assert torch.equal(same, pixels)
    flipped = augment(pixels, Recipe(shift=0), torch.Generator().manual_seed(0))
    kinds = [
        "same" if torch.equal(a, b) else "flipped" if torch.equal(a, b.flip(-1)) else "other"
        for a, b in zip(flipped, pixels, strict=True)
    ]
    assert 15 < kinds.count("flipped") < 49
    assert "other" not in kinds
    shifted = augment(pixels, Recipe(flip=False), torch.Generator().manual_seed(0))
    assert shifted.shape == pixels.shape
    offsets = {
        next(((dy, dx) for dy in (-2, -1, 0, 1, 2) for dx in (-2, -1, 0, 1, 2) if _inner(a, dy, dx, b)), None)
        for a, b in zip(shifted, pixels, strict=True)
    }
    assert None not in offsets
    assert len(offsets) > 10


def _inner(shifted: torch.Tensor, dy: int, dx: int, pixels: torch.Tensor) -> bool:
    moved = torch.roll(pixels, (-dy, -dx), (1, 2))
    return torch.equal(shifted[:, 2:-2, 2:-2], moved[:, 2:-2, 2:-2])
