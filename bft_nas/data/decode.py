"""One image file as the pixels of its centre square."""

import errno
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bft_nas.core.errors import one_line
from bft_nas.data.pixels import EXPECTED, Extent

if TYPE_CHECKING:
    from PIL import Image

EXTENSIONS = ("jpg", "jpeg", "png", "bmp", "gif", "webp", "tif", "tiff", "ppm", "pgm")

Encoded = Path | BytesIO
"""An image file, or its content."""

_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
# The second frame of a photograph (MPO) is a thumbnail or a depth map, which nobody misses.
_ANIMATED_FORMATS = ("PNG", "GIF", "WEBP", "TIFF")


# What a file itself is the reason of: a link that leads nowhere, and damage that points to before its beginning.
_OF_THE_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL)


class NotNow(str):
    """Why an image cannot be used that may be whole: a disk, a network or a process was at fault, perhaps for a moment.

    Nobody keeps that for the next time.
    """

    __slots__ = ()


@dataclass(frozen=True, eq=False)
class Picture:
    """An image's pixels: uint8 (size, size, 3), or float32 (size, size) when it has more than 8 bits a channel."""

    pixels: npt.NDArray[np.uint8] | npt.NDArray[np.float32]
    extent: Extent | None
    """Of the pixels in the file, when they have yet to be scaled to 8 bits."""
    frames: bool
    """There are further ones, which are left out."""
    transparent: bool
    """Some of it is, and drawn in the colour that lies below."""


def decode(file: Encoded, size: int) -> Picture | str:
    """The upright image's centre square, antialiased; or in words why it cannot be used."""
    from PIL import Image, UnidentifiedImageError

    try:
        # Naming the formats keeps out those that Pillow hands to other programs, such as PostScript.
        with Image.open(file, formats=_FORMATS) as image:
            # A JPEG can be decoded at a fraction of its size; twice the side leaves the resizing its quality.
            image.draft("RGB", (2 * size, 2 * size))
            image.load()
            return _picture(image, size)
    except UnidentifiedImageError:
        return f"not an image; expected {', '.join(_FORMATS)}"
    # Not what Pillow only warns of, half as many pixels: some cameras have more.
    except Image.DecompressionBombError as error:
        return f"too large ({one_line(error)}); expected fewer pixels"
    except MemoryError:
        raise
    # Pillow's decoders raise many kinds of exception for damaged bytes.
    except Exception as error:
        reason = f"cannot be decoded ({one_line(error)}); expected a complete image"
        return NotNow(reason) if _may_pass(error) else reason


def _may_pass(error: Exception) -> bool:
    # Of damaged content, Pillow says so without a number of the system's.
    return isinstance(error, OSError) and error.errno is not None and error.errno not in _OF_THE_FILE


def _picture(image: "Image.Image", size: int) -> Picture | str:
    from PIL import Image, ImageOps

    from bft_nas.data.prepare import upright

    turned = upright(image)
    transparent = _is_transparent(image)
    extent = None
    if turned.mode.startswith(("I", "F")):
        values = np.asarray(turned).astype(np.float32)
        extent = Extent.of(np.asarray(turned))
        # Whether fractions end too far below white is seen from all images together.
        if not Extent(extent.floats, extent.lowest, extent.highest, whole=True).white:
            return f"{extent}; {EXPECTED}"
        turned = Image.fromarray(values)
    else:
        turned = turned.convert("RGB")
    pixels = np.asarray(ImageOps.fit(turned, (size, size), Image.Resampling.BICUBIC))
    return Picture(pixels, extent, _has_frames(image), transparent)


def _is_transparent(image: "Image.Image") -> bool:
    if "A" in image.getbands():
        lowest, _ = image.getchannel("A").getextrema()
        return isinstance(lowest, int) and lowest < 255
    return "transparency" in image.info


def _has_frames(image: "Image.Image") -> bool:
    # Counting may read on to the next frame, and nobody needs that one to be whole.
    with suppress(Exception):
        return image.format in _ANIMATED_FORMATS and bool(getattr(image, "is_animated", False))
    return False
