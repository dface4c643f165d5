"""Images that stay in their files and are decoded each time they are needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bft_nas.core.errors import RunError
from bft_nas.data.decode import Picture
from bft_nas.data.pixels import to_bytes


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Files of which each has been decoded before, and how their pixels are scaled."""

    paths: Sequence[Path]
    size: int
    """The side of the squares to which they are brought, in pixels."""
    whites: Mapping[bool, int]
    """The highest value of those of more than 8 bits (False) and of those of floats (True)."""

    def pixels(self, path: Path, picture: Picture | str) -> npt.NDArray[np.uint8]:
        """Of a picture, (size, size, 3).

        Raises:
            RunError: there is none any more.
        """
        if isinstance(picture, str) or (picture.extent and picture.extent.floats not in self.whites):
            why = picture if isinstance(picture, str) else "other pixels than before"
            raise RunError(f"{path}: {why}; it was an image when the training began")
        return scaled(picture, self.whites)


def scaled(picture: Picture, whites: Mapping[bool, int]) -> npt.NDArray[np.uint8]:
    """A picture's pixels as 8 bits of three channels, where ``whites`` are as those of `ImageFiles`."""
    if picture.extent is None:
        return picture.pixels.astype(np.uint8, copy=False)
    grey = to_bytes(picture.pixels, whites[picture.extent.floats])
    return np.broadcast_to(grey[..., None], (*grey.shape, 3))
