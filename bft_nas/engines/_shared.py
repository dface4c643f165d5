"""The images of a search, once in memory for all of its workers: a file without a name that each of them maps."""

from __future__ import annotations

import mmap
import os
import tempfile
from dataclasses import dataclass, replace
from multiprocessing.reduction import DupFd
from typing import Any

import numpy as np
import torch

from bft_nas.core.errors import RunError
from bft_nas.data.dataset import Dataset
from bft_nas.data.division import Pixels
from bft_nas.data.images import Images


@dataclass(frozen=True)
class Place:
    """Where an array of pixels is in the file."""

    offset: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class SharedSide:
    """Images at one side."""

    side: int
    train: Place
    validation: Place


@dataclass(frozen=True)
class SharedData:
    """What a new process needs to have the images without a copy of them; it can be given to one that is spawned."""

    dataset: Dataset
    """Without its pixels."""
    train: Place
    validation: Place
    file: int
    """Its descriptor."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (self.dataset, self.train, self.validation, DupFd(self.file))

    def images(self, device: torch.device) -> Images:
        """They on a device."""
        dataset = replace(
            self.dataset,
            train=replace(self.dataset.train, images=self._mapped(self.train)),
            validation=replace(self.dataset.validation, images=self._mapped(self.validation)),
        )
        return Images(dataset, device)

    def add(self, images: Images, shared: SharedSide) -> None:
        """Let images have a side that was made for all."""
        train, validation = (self._mapped(place) for place in (shared.train, shared.validation))
        images.add(shared.side, torch.from_numpy(train), torch.from_numpy(validation))

    def _mapped(self, place: Place) -> Pixels:
        # What a process would write into the copy is its own; nobody does.
        content = mmap.mmap(
            self.file, int(np.prod(place.shape)), access=mmap.ACCESS_COPY, offset=place.offset
        )
        return np.frombuffer(content, np.uint8).reshape(place.shape)


def _received(dataset: Dataset, train: Place, validation: Place, file: Any) -> SharedData:
    return SharedData(dataset, train, validation, file.detach())


class ImageFile:
    """A dataset in a file that goes away with the last process that has it open, at each side once asked for.

    Raises:
        RunError: there is no room for it.
    """

    def __init__(self, images: Images) -> None:
        self.images = images
        try:
            self.file = tempfile.TemporaryFile(prefix="bft-nas-")  # noqa: SIM115 - it lives as long as the workers
        except OSError as error:
            raise _no_room(error) from None
        dataset = images.dataset
        self.data = SharedData(
            replace(
                dataset,
                train=replace(dataset.train, images=dataset.train.images[:0]),
                validation=replace(dataset.validation, images=dataset.validation.images[:0]),
            ),
            self._put(dataset.train.images),
            self._put(dataset.validation.images),
            self.file.fileno(),
        )
        self.sides: dict[int, SharedSide] = {}

    def at(self, size: int) -> SharedSide:
        """Where the images are for networks of a size; see `bft_nas.data.images.Images.side_for`."""
        side = self.images.side_for(size)
        if side not in self.sides:
            train, validation = self.images.resized(side)
            self.sides[side] = SharedSide(side, self._put(train.numpy()), self._put(validation.numpy()))
        return self.sides[side]

    def _put(self, pixels: Pixels) -> Place:
        try:
            end = self.file.seek(0, os.SEEK_END)
            # A map begins at a page.
            offset = self.file.seek(-(-end // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY)
            self.file.write(np.ascontiguousarray(pixels).data)
            self.file.flush()
        except OSError as error:
            raise _no_room(error) from None
        return Place(offset, pixels.shape)

    def close(self) -> None:
        """Of this process."""
        self.file.close()


def _no_room(error: OSError) -> RunError:
    return RunError(
        f"{tempfile.gettempdir()}: no room for the images that workers share ({error.strerror or error}); "
        f"expected some, or TMPDIR with a folder that has"
    )
