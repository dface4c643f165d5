"""A dataset's images on a device, at whatever size a network asks for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bft_nas.data.dataset import Dataset, Split
from bft_nas.data.summary import normalisation_of

AT_ONCE = 64
"""Images that are floats at once, of which each takes four times the memory and more."""


@dataclass(frozen=True)
class ImageTensors:
    """Both splits at one side, pixels uint8 (n, channels, side, side), on a device."""

    train: Tensor
    train_labels: Tensor
    validation: Tensor
    validation_labels: Tensor


class Images:
    """A dataset on a device, for whatever size a network asks for; what was made for the sizes seen so far is kept.

    Pixels are uint8 (n, channels, side, side). They are made smaller once, and larger by `resize` a batch at a time:
    40,000 images of 32 pixels a side would take 3 GB at 160. `normalise` makes the float images (n, 3, size, size)
    that networks take.
    """

    def __init__(self, dataset: Dataset, device: torch.device) -> None:
        self.dataset = dataset
        self.device = device
        self.mean, self.std = dataset.normalisation or normalisation_of(dataset.train)
        self._sides: dict[int, ImageTensors] = {}

    def side_for(self, size: int) -> int:
        """The side of the images that are kept for networks of a size: at most it."""
        height, width = self.dataset.train.images.shape[1:3]
        return min(size, height) if height == width else size

    def at(self, size: int) -> ImageTensors:
        """Both splits for networks that take ``size`` x ``size`` pixels: at their `side_for` it."""
        side = self.side_for(size)
        if side not in self._sides:
            self.add(side, *self.resized(side))
        return self._sides[side]

    def resized(self, side: int) -> tuple[Tensor, Tensor]:
        """The pixels of both splits at a side, in memory of their own."""
        return _resized(self.dataset.train, side), _resized(self.dataset.validation, side)

    def add(self, side: int, train: Tensor, validation: Tensor) -> None:
        """Keep the pixels of both splits at a side, as `resized` has them."""
        if side not in self._sides:
            self._sides[side] = ImageTensors(
                train.to(self.device),
                torch.from_numpy(self.dataset.train.labels).to(self.device),
                validation.to(self.device),
                torch.from_numpy(self.dataset.validation.labels).to(self.device),
            )

    def normalise(self, pixels: Tensor) -> Tensor:
        """Pixels from 0 to 255 to float images of three channels, zero mean and unit deviation, channels last."""
        channels = pixels.shape[1]
        mean, std = (
            torch.tensor(each[:channels], device=self.device).view(-1, 1, 1) * 255
            for each in (self.mean, self.std)
        )
        images = pixels.float().sub(mean).div_(std)
        return images.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def _resized(split: Split, size: int) -> Tensor:
    pixels = torch.from_numpy(split.images).permute(0, 3, 1, 2)
    if pixels.shape[-2:] == (size, size):
        return pixels.contiguous()
    return torch.cat([resize(chunk, size) for chunk in torch.split(pixels, AT_ONCE)])


def resize(pixels: Tensor, size: int) -> Tensor:
    """Pixels from 0 to 255 (n, channels, height, width) at ``size`` x ``size``, of the same type."""
    if pixels.shape[-2:] == (size, size):
        return pixels
    resized = F.interpolate(pixels.float(), (size, size), mode="bilinear", antialias=True)
    return resized if pixels.is_floating_point() else resized.round().to(pixels.dtype)
