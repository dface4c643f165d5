"""Random changes to training images, on whole batches."""

from __future__ import annotations

import torch
from torch import Tensor

from bft_nas.training.recipe import Recipe


def augment(pixels: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Each image shifted by itself, the edge pixels repeated, and half of them flipped: one gather for both."""
    n, size = len(pixels), pixels.shape[-1]
    most = round(recipe.shift * size)
    shift_y, shift_x = torch.randint(-most, most + 1, (2, n, 1), generator=generator)
    flipped = torch.rand(n, 1, generator=generator) < (0.5 if recipe.flip else 0.0)
    line = torch.arange(size)
    rows = (line + shift_y).clamp_(0, size - 1).to(pixels.device)
    columns = (torch.where(flipped, size - 1 - line, line) + shift_x).clamp_(0, size - 1).to(pixels.device)
    image = torch.arange(n, device=pixels.device)[:, None, None]
    picked = pixels.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2)
