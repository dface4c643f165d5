"""What stands for a data set's pixels: their digest, and the mean and deviation of their channels, piece by piece."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from math import sqrt

import numpy as np

from bft_nas.data.division import Labels, Parts, Pixels, Split, hash_of

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]

_AT_ONCE = 64


class Digest:
    """12 hex digits that change with any class, pixel or label of a data set."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._hash = hashlib.blake2b(digest_size=6)
        for name in classes:
            self._hash.update(hash_of(name))

    def begin(self, shape: tuple[int, ...]) -> None:
        """The images of a split."""
        self._hash.update(repr(shape).encode())

    def add(self, images: Pixels) -> None:
        """The next ones of the split."""
        self._hash.update(np.ascontiguousarray(images).data)

    def end(self, labels: Labels) -> None:
        """The split, all of whose images have been added."""
        self._hash.update(np.ascontiguousarray(labels, "<i8").data)

    def __str__(self) -> str:
        return self._hash.hexdigest()


class Moments:
    """Mean and deviation of each channel, the same whatever pieces they are taken from: of sums without rounding."""

    def __init__(self, channels: int) -> None:
        self._count = 0
        self._sums = np.zeros(channels, np.int64)
        self._squares = np.zeros(channels, np.int64)

    def add(self, images: Pixels) -> None:
        """Images of any number, height and width."""
        for start in range(0, len(images), _AT_ONCE):
            # Whole numbers below 2^53, of which floats add up none wrongly.
            pixels = images[start : start + _AT_ONCE].reshape(-1, images.shape[-1]).astype(np.float64)
            self._count += len(pixels)
            self._sums += pixels.sum(0).astype(np.int64)
            self._squares += np.einsum("nc,nc->c", pixels, pixels).astype(np.int64)

    @property
    def normalisation(self) -> Normalisation:
        """Of pixels from 0 to 1 and three channels: grey images enter a network as three equal ones."""
        count = self._count
        means, deviations = [], []
        for total, squares in zip(self._sums.tolist(), self._squares.tolist(), strict=True):
            means.append(total / count / 255)
            deviations.append(max(sqrt(count * squares - total * total) / count / 255, 1e-3))
        return _for_three(means), _for_three(deviations)


def digest_of(parts: Parts) -> str:
    """Of a data set whose pixels are at hand."""
    digest = Digest(parts.classes)
    for split in (parts.train, parts.validation):
        digest.begin(split.images.shape)
        digest.add(split.images)
        digest.end(split.labels)
    return str(digest)


def normalisation_of(split: Split) -> Normalisation:
    """Of the images of a split whose pixels are at hand."""
    moments = Moments(split.images.shape[-1])
    moments.add(split.images)
    return moments.normalisation


def _for_three(channels: list[float]) -> tuple[float, ...]:
    return tuple(channels * 3 if len(channels) == 1 else channels)
