"""Random changes to training images, on whole batches.

Pixels are uint8 or floats from 0 to 255, (n, channels, height, width).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from bft_nas.data.dataset import with_margin
from bft_nas.data.images import resize
from bft_nas.training.draws import Draws, Share
from bft_nas.training.randaugment import randaugment
from bft_nas.training.recipe import Recipe

RATIO = math.log(4 / 3)
"""Of a crop's width to its height, at most, as a logarithm."""
SMALL = 48
"""Images of at most so many pixels a side are resampled by products of matrices on the CPU: faster up to there."""
ERASED = (0.02, 0.2)
"""Parts of an image that are erased, at least and at most."""


def augment(
    pixels: Tensor,
    recipe: Recipe,
    generator: torch.Generator,
    size: int | None = None,
    share: Share | None = None,
) -> Tensor:
    """The images as a recipe changes them, each in its own way, at ``size`` x ``size`` pixels (default: theirs).

    Where they are a share of a batch, each is changed as if the whole batch were.
    """
    size = pixels.shape[-1] if size is None else size
    draws = Draws(generator, Share.all(len(pixels)) if share is None else share)
    if recipe.crop_area < 1:
        if recipe.growth < 1 and max(pixels.shape[-2:]) > with_margin(size):
            # A crop takes four pixels for one of its own, however many there are to it.
            pixels = resize(pixels, with_margin(size))
        pixels = _cropped(pixels, recipe, draws, size)
    else:
        pixels = _shifted(resize(pixels, size), recipe, draws)
    if recipe.rand_operations:
        pixels = randaugment(pixels, recipe.rand_operations, recipe.rand_strength, draws)
    if recipe.jitter:
        pixels = _jittered(pixels, recipe.jitter, draws)
    if recipe.erasing:
        pixels = _erased(pixels, recipe.erasing, draws)
    return pixels


def mix(pixels: Tensor, recipe: Recipe, generator: torch.Generator) -> tuple[Tensor, Tensor | None, float]:
    """A batch in which each image has a part of another one; see `Recipe.mixup` and `Recipe.cutmix`.

    Returns the images, the places of the others in the batch (None where nothing is mixed), and the part that is left
    of an image.
    """
    kinds = [name for name in ("mixup", "cutmix") if getattr(recipe, name)]
    if not kinds:
        return pixels, None, 1.0
    from scipy.special import betaincinv

    which, chance, left, top = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
    kind = kinds[int(which * len(kinds))]
    shape = getattr(recipe, kind)
    part = float(betaincinv(shape, shape, chance))
    order = torch.randperm(len(pixels), generator=generator).to(pixels.device)
    pixels, others = pixels.float(), pixels[order].float()
    if kind == "mixup":
        return part * pixels + (1 - part) * others, order, part
    height, width = pixels.shape[-2:]
    high, wide = (round(side * math.sqrt(1 - part)) for side in (height, width))
    row, column = round(top * (height - high)), round(left * (width - wide))
    covered = pixels.clone()
    covered[:, :, row : row + high, column : column + wide] = others[
        :, :, row : row + high, column : column + wide
    ]
    return covered, order, 1 - high * wide / (height * width)


def _shifted(pixels: Tensor, recipe: Recipe, draws: Draws) -> Tensor:
    """Each image shifted by itself, the edge pixels repeated, and half of them flipped: one gather for both."""
    n, size = len(pixels), pixels.shape[-1]
    most = round(recipe.shift * size)
    shift_y, shift_x = draws.whole(-most, most, 2)[:, :, None]
    flipped = (0.5 if recipe.flip else 0.0) > draws.uniform(1).T
    line = torch.arange(size)
    rows = (line + shift_y).clamp_(0, size - 1).to(pixels.device)
    columns = (torch.where(flipped, size - 1 - line, line) + shift_x).clamp_(0, size - 1).to(pixels.device)
    image = torch.arange(n, device=pixels.device)[:, None, None]
    picked = pixels.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2)


def _cropped(pixels: Tensor, recipe: Recipe, draws: Draws, size: int) -> Tensor:
    """A random part of each image stretched to the whole (arXiv:1409.4842), half of them flipped: one resampling."""
    n = len(pixels)
    area, ratio, left, top, flip = draws.uniform(5)
    area = recipe.crop_area + (1 - recipe.crop_area) * area
    ratio = torch.exp(RATIO * (2 * ratio - 1))
    wide, high = (area * ratio).sqrt().clamp_(max=1), (area / ratio).sqrt().clamp_(max=1)
    # In coordinates from -1 to 1, a pixel (x, y) of the result is (wide x + across, high y + down) of the image.
    across, down = (1 - wide) * (2 * left - 1), (1 - high) * (2 * top - 1)
    mirrored = torch.where((flip < 0.5) & recipe.flip, -wide, wide)
    height, width = pixels.shape[-2:]
    if max(height, width) <= SMALL and pixels.device.type == "cpu":
        rows, columns = _resampling(high, down, size, height), _resampling(mirrored, across, size, width)
        return rows @ pixels.float() @ columns.mT
    none = torch.zeros(n)
    moves = torch.stack([mirrored, none, across, none, high, down], 1).view(n, 2, 3).to(pixels.device)
    grid = F.affine_grid(moves, [n, pixels.shape[1], size, size], align_corners=False)
    return F.grid_sample(pixels.float(), grid, padding_mode="border", align_corners=False)


def _resampling(part: Tensor, middle: Tensor, size: int, side: int) -> Tensor:
    """(n, 1, size, side): what takes a line of pixels to one of ``size`` pixels, a part of it around a place, bilinear.

    Lines are from -1 to 1, and end in their outermost pixels, as those of ``torch.nn.functional.grid_sample``.
    """
    wanted = (2 * torch.arange(size) + 1) / size - 1
    places = part[:, None] * wanted + middle[:, None]
    places = (((places + 1) * side - 1) / 2).clamp_(0, side - 1)
    off = (places[:, None, :, None] - torch.arange(side)).abs()
    return torch.relu(1 - off)


def _jittered(pixels: Tensor, most: float, draws: Draws) -> Tensor:
    """Brightness, then contrast, then saturation of each image times a factor of its own.

    All three are sums of a pixel, its mean over channels and the image's, and only the end is clamped: they are one
    such sum, in one pass over the images instead of three.
    """
    pixels = pixels.float()
    factors = 1 + most * (2 * draws.uniform(3) - 1)
    brightness, contrast, saturation = factors[:, :, None, None, None].to(pixels.device)
    grey = pixels.mean(1, keepdim=True)
    added = (1 - contrast) * brightness * grey.mean((2, 3), keepdim=True)
    scale = brightness * contrast
    if pixels.shape[1] > 1:
        added = added + scale * (1 - saturation) * grey
        scale = scale * saturation
    return pixels.mul(scale).add_(added).clamp_(0, 255)


def _erased(pixels: Tensor, part: float, draws: Draws) -> Tensor:
    height, width = pixels.shape[-2:]
    chosen, area, ratio, left, top = draws.uniform(5)
    area = ERASED[0] + (ERASED[1] - ERASED[0]) * area
    ratio = torch.exp(RATIO * (2 * ratio - 1))
    wide, high = (area * ratio).sqrt(), (area / ratio).sqrt()
    rows, columns = torch.arange(height) / height, torch.arange(width) / width
    first_row, first_column = top * (1 - high), left * (1 - wide)
    within_rows = (rows >= first_row[:, None]) & (rows < (first_row + high)[:, None])
    within_columns = (columns >= first_column[:, None]) & (columns < (first_column + wide)[:, None])
    erased = within_rows[:, None, :, None] & within_columns[:, None, None, :]
    erased = (erased & (chosen < part)[:, None, None, None]).to(pixels.device)
    pixels = pixels.float()
    return torch.where(erased, pixels.mean((2, 3), keepdim=True), pixels)
