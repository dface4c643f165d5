"""Pixels of more than 8 bits or of floats, brought to 8 bits by one rule for image files and for arrays."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

EXPECTED = "expected floats from 0 to 1, or numbers from 0 to 255 or of at most 16 bits"

# What white is in 8, 10, 12, 14 and 16 bits.
_WHITES = (255, 1023, 4095, 16383, 65535)
# Resizing and compression leave floats a little beyond the ends.
_SLACK = 1e-3
_ROWS = 256

Numbers = npt.NDArray[Any]


@dataclass(frozen=True)
class Extent:
    """The values that pixels take."""

    floats: bool
    lowest: float
    highest: float
    whole: bool
    """There is no fraction among them."""

    @classmethod
    def of(cls, pixels: Numbers) -> "Extent":
        """Of an array of integers or floats that is not empty."""
        floats = pixels.dtype.kind == "f"
        lowest, highest = float(pixels.min()), float(pixels.max())
        finite = bool(np.isfinite([lowest, highest]).all())
        whole = not floats or (finite and all(bool((rows == np.rint(rows)).all()) for rows in _rows(pixels)))
        return cls(floats, lowest, highest, whole)

    def __or__(self, other: "Extent") -> "Extent":
        return Extent(
            self.floats or other.floats,
            min(self.lowest, other.lowest),
            max(self.highest, other.highest),
            self.whole and other.whole,
        )

    @property
    def white(self) -> int:
        """The value that stands for white, 1 for floats from 0 to 1; 0 when the values do not tell.

        Integers are of the fewest bits that hold them. So are floats, unless fractions end so far below white that
        their scale is a guess.
        """
        slack = _SLACK if self.floats else 0.0
        if not (np.isfinite([self.lowest, self.highest]).all() and self.lowest >= -slack):
            return 0
        if self.floats and self.highest <= 1 + slack:
            return 1
        white = next((white for white in _WHITES if self.highest <= white * (1 + slack)), 0)
        return white if self.whole or self.highest > white / 4 else 0

    def __str__(self) -> str:
        return f"pixels from {self.lowest:g} to {self.highest:g}"


def to_bytes(pixels: Numbers, white: int) -> npt.NDArray[np.uint8]:
    """Pixels of which ``white`` is the highest value, as uint8 of the same shape."""
    if white == 255 and pixels.dtype.kind in "iu":
        return pixels.astype(np.uint8, copy=False)
    scaled = np.empty(pixels.shape, np.uint8)
    for rows, target in zip(_rows(pixels), _rows(scaled), strict=True):
        np.rint(np.clip(rows * np.float32(255 / white), 0, 255), out=target, casting="unsafe")
    return scaled


def scaling(white: int) -> str:
    """What `to_bytes` does, in words."""
    return "from 0 to 255 read as 8 bits" if white == 255 else f"from 0 to {white} scaled to 8 bits"


def _rows(pixels: Numbers) -> Iterator[Numbers]:
    """Parts of an array so small that what is made of each takes no memory to speak of."""
    return (pixels[start : start + _ROWS] for start in range(0, len(pixels), _ROWS))
