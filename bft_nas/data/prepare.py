"""One image as a trained network is tried on it. An export copies these functions into its ``prepare.py``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps


def opened(file: str | Path | BinaryIO, size: int | None) -> npt.NDArray[np.uint8]:
    """The centre square of an image file, upright and in RGB, as bytes (size, size, 3); the whole for no size.

    Raises ValueError for an image of more than 8 bits a channel: what is white in it is not in the file.
    """
    with Image.open(file) as image:
        # A JPEG is decoded at a fraction of its size; twice the side leaves the resizing its quality.
        if size is not None:
            image.draft("RGB", (2 * size, 2 * size))
        turned = upright(image)
        if turned.mode.startswith(("I", "F")):
            raise ValueError(f"{file}: more than 8 bits a channel; expected an image that is scaled to 8")
        return squared(turned, size)


def of_array(pixels: npt.NDArray[np.uint8], size: int | None) -> npt.NDArray[np.uint8]:
    """The same of the bytes of an image, (height, width, 1 or 3) or (height, width). ValueError for anything else."""
    if pixels.dtype != np.uint8 or pixels.ndim < 2 or pixels.shape[2:] not in {(), (1,), (3,)}:
        given = f"array {pixels.shape} of {pixels.dtype}"
        raise ValueError(f"{given}; expected uint8 (height, width, 1 or 3 channels)")
    return squared(Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels), size)


def squared(image: Image.Image, size: int | None) -> npt.NDArray[np.uint8]:
    """The centre square in RGB, as bytes (size, size, 3); the whole for no size."""
    pixels = image.convert("RGB")
    if size is not None:
        pixels = ImageOps.fit(pixels, (size, size), Image.Resampling.BICUBIC)
    return np.asarray(pixels)


def upright(image: Image.Image) -> Image.Image:
    """An image turned as its EXIF says, or as it lies where that says nothing that can be read."""
    image.load()
    turns: dict[object, Image.Transpose] = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    # Of damaged EXIF Pillow's readers raise many kinds of exception. Its own turning writes all of it anew.
    turn = None
    with suppress(Exception):
        turn = turns.get(image.getexif().get(0x0112))
    return image if turn is None else image.transpose(turn)


def resized(images: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """Bytes (n, height, width, channels) at size x size: bilinear and antialiased."""
    if images.shape[1:3] == (size, size):
        return images
    rows, columns = (weights(old, size) for old in images.shape[1:3])
    exact = rows @ np.moveaxis(images, 3, 1).astype(np.float64) @ columns.T
    # A little more than a half, so that halves are rounded up whatever the order was in which they were summed.
    return np.moveaxis(np.floor(exact + 0.500001), 1, 3).astype(np.uint8)


def weights(old: int, new: int) -> npt.NDArray[np.float64]:
    """What each of the old pixels of a row weighs in each of the new ones, (new, old)."""
    scale = old / new
    away = (np.arange(old) + 0.5) - (np.arange(new)[:, None] + 0.5) * scale
    triangle = np.clip(1 - np.abs(away) / max(scale, 1), 0, None)
    shares: npt.NDArray[np.float64] = triangle / triangle.sum(1, keepdims=True)
    return shares
