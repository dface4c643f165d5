"""The images of a training in batches, wherever they are: on the device, mapped from a file, or still to be decoded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from bft_nas.data.dataset import with_margin
from bft_nas.data.decoders import CHUNK, Decoded, Decoders
from bft_nas.data.division import Pixels, Split
from bft_nas.data.image_files import ImageFiles
from bft_nas.data.images import Images

AHEAD = 3
"""Batches that are decoded before they are asked for."""
DEVICE_SHARE = 2
"""Of the memory of a GPU, the images take at most this part that is free."""

Waiting = tuple[Tensor, list[Future[Decoded]]]


class Feed:
    """A split's pixels, uint8 (n, channels, height, width) for any numbers of images, on a device.

    Args:
        pixels: (n, height, width, channels), wherever they are; none of them where there are files.
        files: in which the images are still to be decoded.
        decoders: of the files.
    """

    def __init__(
        self,
        pixels: Tensor,
        count: int,
        device: torch.device,
        files: ImageFiles | None = None,
        decoders: Decoders | None = None,
    ) -> None:
        self.device = device
        self._count = count
        self._pixels = pixels.to(device) if _has_room(device, pixels) else pixels
        self._files, self._decoders = files, decoders
        self._coming: Iterator[Tensor] = iter(())
        self._waiting: deque[Waiting] = deque()

    def __len__(self) -> int:
        return self._count

    def ahead(self, batches: Iterable[Tensor]) -> None:
        """Say which numbers will be asked for next, batch by batch. Others may be asked for, which takes longer."""
        for _, parts in self._waiting:
            for part in parts:
                part.cancel()
        self._waiting.clear()
        self._coming = iter(batches if self._files is not None else ())
        self._fill()

    def batches(self, numbers: Sequence[Tensor]) -> Iterator[Tensor]:
        """The pixels of one batch after the other, of the images of these numbers."""
        self.ahead(numbers)
        for picked in numbers:
            yield self[picked]

    def __getitem__(self, picked: Tensor) -> Tensor:
        """The pixels of the images of these numbers.

        Raises:
            RunError: a file is no image any more.
        """
        if self._files is None:
            pixels = self._pixels[picked.to(self._pixels.device)]
        else:
            pixels = torch.from_numpy(self._decoded(self._files, picked.cpu()))
        return pixels.to(self.device).permute(0, 3, 1, 2).contiguous()

    def _decoded(self, files: ImageFiles, picked: Tensor) -> Pixels:
        if self._waiting and torch.equal(self._waiting[0][0], picked):
            _, parts = self._waiting.popleft()
            self._fill()
        else:
            parts = self._asked(picked)
        pixels = np.empty((len(picked), files.size, files.size, 3), np.uint8)
        pictures = (picture for part in parts for picture in part.result())
        for row, number, picture in zip(pixels, picked.tolist(), pictures, strict=True):
            row[:] = files.pixels(files.paths[number], picture)
        return pixels

    def _fill(self) -> None:
        for picked in islice(self._coming, AHEAD - len(self._waiting)):
            self._waiting.append((picked.cpu(), self._asked(picked)))

    def _asked(self, picked: Tensor) -> list[Future[Decoded]]:
        assert self._files is not None
        assert self._decoders is not None
        paths = [self._files.paths[number] for number in picked.tolist()]
        return [self._decoders.ask(paths[at : at + CHUNK]) for at in range(0, len(paths), CHUNK)]


@dataclass(frozen=True)
class Feeds:
    """Both splits of a data set and their labels, on a device."""

    train: Feed
    train_labels: Tensor
    validation: Feed
    validation_labels: Tensor
    decoders: Decoders

    def close(self) -> None:
        """End the processes that decode, if there are any; they start again when they are needed."""
        self.decoders.close()


def feeds_of(images: Images, size: int, *, workers: int | None = None) -> Feeds:
    """The images of a training at ``size`` x ``size`` pixels: as they are, or where they are larger than that by more
    than crops need, resized once.

    Args:
        workers: processes that decode files, see `Decoders`.
    """
    dataset = images.dataset
    splits = dataset.train, dataset.validation
    height, width = dataset.train.images.shape[1:3]
    side = min(max(height, width), with_margin(size))
    if any(split.files is not None for split in splits) or height == width == side:
        train, validation = (torch.from_numpy(split.images) for split in splits)
    else:
        train, validation = (pixels.permute(0, 2, 3, 1) for pixels in images.resized(side))
    decoders = Decoders(side, workers, processes=True)
    labels = [torch.from_numpy(split.labels).to(images.device) for split in splits]
    feeds = [
        Feed(pixels, len(split.labels), images.device, split.files, decoders)
        for pixels, split in zip((train, validation), splits, strict=True)
    ]
    return Feeds(feeds[0], labels[0], feeds[1], labels[1], decoders)


@contextmanager
def feed_of(split: Split, device: torch.device) -> Iterator[Feed]:
    """Meanwhile, the images of a split as they are."""
    with closing(Decoders(split.images.shape[1], processes=True)) as decoders:
        yield Feed(torch.from_numpy(split.images), len(split.labels), device, split.files, decoders)


def batches_of(pixels: Tensor | Feed, size: int, places: slice = slice(None)) -> Iterable[Tensor]:
    """The images at some places in their order, by default all, so many at once; none where there are none."""
    numbers = torch.arange(len(pixels))[places]
    batches = torch.split(numbers, size) if len(numbers) else ()
    return (pixels[batch] for batch in batches) if isinstance(pixels, Tensor) else pixels.batches(batches)


def _has_room(device: torch.device, pixels: Tensor) -> bool:
    return device.type != "cuda" or pixels.nbytes <= torch.cuda.mem_get_info(device)[0] // DEVICE_SHARE
