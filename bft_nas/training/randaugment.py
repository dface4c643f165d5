"""RandAugment on batches (Cubuk et al. 2020, arXiv:1909.13719): each image gets operations of its own.

Pixels are floats from 0 to 255, (n, channels, height, width). A strength from 0 to 1 is the paper's magnitude over its
largest one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from bft_nas.training.draws import Draws

Operation = Callable[[Tensor, Tensor], Tensor]
"""Of some images, and of how strongly each is changed, from -1 to 1."""


def randaugment(pixels: Tensor, operations: int, strength: float, draws: Draws) -> Tensor:
    """Each image after so many operations, drawn one after another from the fourteen of the paper."""
    pixels = pixels.float()
    for _ in range(operations):
        drawn = draws.whole(0, len(OPERATIONS) - 1, 1)[0]
        signs = 2.0 * draws.whole(0, 1, 1)[0] - 1
        changed = pixels.clone()
        for number, operation in enumerate(OPERATIONS.values()):
            which = (drawn == number).nonzero().flatten()
            if len(which):
                amounts = (strength * signs[which]).to(pixels.device).view(-1, 1, 1, 1)
                which = which.to(pixels.device)
                changed[which] = operation(pixels[which], amounts)
        pixels = changed
    return pixels


def _same(pixels: Tensor, amounts: Tensor) -> Tensor:
    return pixels


def _autocontrast(pixels: Tensor, amounts: Tensor) -> Tensor:
    darkest, brightest = pixels.amin((2, 3), keepdim=True), pixels.amax((2, 3), keepdim=True)
    wide = brightest - darkest
    return torch.where(wide > 0, (pixels - darkest) * (255 / wide.clamp(min=1e-3)), pixels)


def _equalize(pixels: Tensor, amounts: Tensor) -> Tensor:
    levels = pixels.round().long().flatten(2)
    counts = torch.zeros(*levels.shape[:2], 256, device=pixels.device)
    counts.scatter_add_(2, levels, torch.ones_like(levels, dtype=torch.float32))
    reached = counts.cumsum(2)
    first = reached.gather(2, levels.amin(2, keepdim=True))
    spread = levels.shape[2] - first
    same = torch.arange(256.0, device=pixels.device)
    table = torch.where(spread > 0, (reached - first) * (255 / spread.clamp(min=1)), same)
    return table.gather(2, levels).view_as(pixels)


def _posterize(pixels: Tensor, amounts: Tensor) -> Tensor:
    step = 2 ** (4 * amounts.abs()).round()
    return (pixels / step).floor() * step


def _solarize(pixels: Tensor, amounts: Tensor) -> Tensor:
    return torch.where(pixels >= 256 * (1 - amounts.abs()), 255 - pixels, pixels)


def _blended(pixels: Tensor, other: Tensor, amounts: Tensor) -> Tensor:
    """As far away from another picture as an image is, or nearer to it or farther by 0.9 of that at most."""
    return (other + (pixels - other) * (1 + 0.9 * amounts)).clamp(0, 255)


def _brightness(pixels: Tensor, amounts: Tensor) -> Tensor:
    return _blended(pixels, torch.zeros_like(pixels), amounts)


def _contrast(pixels: Tensor, amounts: Tensor) -> Tensor:
    return _blended(pixels, pixels.mean((1, 2, 3), keepdim=True), amounts)


def _colour(pixels: Tensor, amounts: Tensor) -> Tensor:
    return _blended(pixels, pixels.mean(1, keepdim=True), amounts)


def _sharpness(pixels: Tensor, amounts: Tensor) -> Tensor:
    channels = pixels.shape[1]
    kernel = torch.ones(3, 3, device=pixels.device)
    kernel[1, 1] = 5
    weight = (kernel / kernel.sum()).expand(channels, 1, 3, 3)
    smooth = F.conv2d(F.pad(pixels, (1, 1, 1, 1), mode="replicate"), weight, groups=channels)
    return _blended(pixels, smooth, amounts)


def _moved(
    pixels: Tensor,
    *,
    across: tuple[Tensor | float, Tensor | float, Tensor | float],
    down: tuple[Tensor | float, Tensor | float, Tensor | float],
) -> Tensor:
    """Images of which each pixel is taken from elsewhere: a row each of an affine map on coordinates from -1 to 1."""
    flat = torch.zeros(len(pixels), device=pixels.device)
    rows = [torch.stack([flat + value for value in row], 1) for row in (across, down)]
    grid = F.affine_grid(torch.stack(rows, 1), list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)


def _rotate(pixels: Tensor, amounts: Tensor) -> Tensor:
    angle = amounts.flatten() * math.radians(30)
    tall = pixels.shape[2] / pixels.shape[3]
    sin, cos = angle.sin(), angle.cos()
    return _moved(pixels, across=(cos, -sin * tall, 0.0), down=(sin / tall, cos, 0.0))


def _shear_x(pixels: Tensor, amounts: Tensor) -> Tensor:
    return _moved(pixels, across=(1.0, 0.3 * amounts.flatten(), 0.0), down=(0.0, 1.0, 0.0))


def _shear_y(pixels: Tensor, amounts: Tensor) -> Tensor:
    return _moved(pixels, across=(1.0, 0.0, 0.0), down=(0.3 * amounts.flatten(), 1.0, 0.0))


def _shift_x(pixels: Tensor, amounts: Tensor) -> Tensor:
    return _moved(pixels, across=(1.0, 0.0, 0.9 * amounts.flatten()), down=(0.0, 1.0, 0.0))


def _shift_y(pixels: Tensor, amounts: Tensor) -> Tensor:
    return _moved(pixels, across=(1.0, 0.0, 0.0), down=(0.0, 1.0, 0.9 * amounts.flatten()))


OPERATIONS: Mapping[str, Operation] = {
    "identity": _same,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "rotate": _rotate,
    "solarize": _solarize,
    "colour": _colour,
    "posterize": _posterize,
    "contrast": _contrast,
    "brightness": _brightness,
    "sharpness": _sharpness,
    "shear-x": _shear_x,
    "shear-y": _shear_y,
    "shift-x": _shift_x,
    "shift-y": _shift_y,
}
