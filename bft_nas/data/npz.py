"""Labelled images from an .npz file with the keys that MedMNIST or Keras use."""

import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bft_nas.core.errors import UserError
from bft_nas.core.units import LEAST_SIDE
from bft_nas.data.division import Labels, Pixels
from bft_nas.data.labels import Coding, values_of
from bft_nas.data.pixels import EXPECTED, Extent, scaling, to_bytes

Part = tuple[Pixels, Labels]

_CHANNELS = (1, 3, 4)
_EXPECTED_SHAPE = (
    "expected (n, h, w) or (n, h, w, channels) or (n, channels, h, w) with n at least 1, 1, 3 or 4 channels, "
    f"h and w at least {LEAST_SIDE}"
)

Keys = tuple[str, str]
# One row per convention; train, validation and test, each as the keys of images and labels.
_KEYS: tuple[tuple[Keys, Keys | None, Keys | None], ...] = (
    (("train_images", "train_labels"), ("val_images", "val_labels"), ("test_images", "test_labels")),
    (("x_train", "y_train"), ("x_val", "y_val"), ("x_test", "y_test")),
    (("images", "labels"), None, None),
)
_EXPECTED = (
    "expected train_images, train_labels [, val_images, val_labels] [, test_images, test_labels]; "
    "or x_train, y_train [, x_val, y_val] [, x_test, y_test]; or images, labels"
)


@dataclass(frozen=True)
class Arrays:
    """What a file holds for a search."""

    train: Part
    validation: Part | None
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    """How the file was read, where it could have been read otherwise: a line each."""


def read(path: Path) -> Arrays:
    """Reads the training part and, where the file has one, the validation part; the test part stays unread.

    A part is uint8 images (n, height, width, 1 or 3) and int64 labels (n,); training has every label
    from 0 to its highest. Raises UserError naming the file, the key and what was expected.
    """
    with _open(path) as arrays:
        keys = _present(arrays, _layout(path, arrays)[:2])
        parts, classes, notes = _read(path, arrays, keys, scale_of=len(keys))
        return Arrays(parts[0], parts[1] if len(parts) > 1 else None, classes, notes)


def read_test(path: Path) -> Part:
    """Reads the test part, scaled and numbered as training is; errors as for read, and when there is none."""
    with _open(path) as arrays:
        layout = _layout(path, arrays)
        keys, searched = _present(arrays, layout), _present(arrays, layout[:2])
        if len(keys) == len(searched):
            raise UserError(f"{path}: no test images; expected test_images, test_labels or x_test, y_test")
        parts, _, _ = _read(path, arrays, keys, scale_of=len(searched))
        return parts[-1]


def side_of(path: Path) -> int:
    """The larger side in pixels of the training images, of which nothing but the shape is read; errors as for read."""
    with _open(path) as arrays:
        key = _layout(path, arrays)[0][0]
    try:
        with zipfile.ZipFile(path) as members, members.open(f"{key}.npy") as file:
            version = np.lib.format.read_magic(file)
            read_header = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
            shape, _, _ = read_header[version[0]](file)
    # As where the array is read, a damaged member has many exceptions.
    except Exception as error:
        raise _cannot_be_read(path, key, error) from None
    channels_first = len(shape) == 4 and shape[1] in _CHANNELS and shape[3] not in _CHANNELS
    return int(max(shape[2:] if channels_first else shape[1:3]))


def has_test(path: Path) -> bool:
    """Whether a file has a test part."""
    with _open(path) as arrays:
        layout = _layout(path, arrays)
        return len(_present(arrays, layout)) > len(_present(arrays, layout[:2]))


def _present(arrays: Mapping[str, object], layout: Iterable[Keys | None]) -> list[Keys]:
    # Of a part with one array alone, the other is then missed by name.
    return [keys for keys in layout if keys is not None and not arrays.keys().isdisjoint(keys)]


def _read(
    path: Path, arrays: Mapping[str, object], keys: Sequence[Keys], *, scale_of: int
) -> tuple[list[Part], tuple[str, ...], tuple[str, ...]]:
    """Parts of which the first is training, whose classes all have; the first ``scale_of`` decide the scale.

    With them the classes and the notes.
    """
    notes: list[str] = []
    images: list[npt.NDArray[Any]] = []
    labels: list[Labels] = []
    coding: Coding | None = None
    for image_key, label_key in keys:
        pixels = _images(path, arrays, image_key, notes)
        with _at(path, label_key):
            values, said = values_of(_array(path, arrays, label_key))
        notes += said
        if len(values) != len(pixels):
            raise UserError(
                f"{path}: {len(pixels)} {image_key} but {len(values)} {label_key}; expected as many"
            )
        if images and pixels.shape[1:] != images[0].shape[1:]:
            sizes = f"{pixels.shape[1:]}; expected {images[0].shape[1:]} as in {keys[0][0]}"
            raise UserError(f"{path}: {image_key} are {sizes}")
        with _at(path, label_key):
            coding = coding or Coding.of(values)
            labels.append(coding.numbers(values))
        images.append(pixels)
    assert coding is not None
    scaled = _scaled(path, [image_key for image_key, _ in keys], images, notes, scale_of)
    parts = list(zip(scaled, labels, strict=True))
    return parts, coding.classes, tuple(dict.fromkeys([*notes, *coding.notes]))


@contextmanager
def _open(path: Path) -> Iterator[Mapping[str, object]]:
    try:
        arrays = np.load(path, allow_pickle=False)
    except OSError:
        raise
    # NumPy takes an unknown file for a pickle, and zipfile has many exceptions for a damaged one.
    except Exception:
        arrays = None
    if not isinstance(arrays, np.lib.npyio.NpzFile):
        raise UserError(
            f"{path}: not an .npz file; expected a zip of arrays, as np.savez_compressed writes it"
        )
    with arrays:
        yield arrays


def _layout(path: Path, arrays: Mapping[str, object]) -> tuple[Keys, Keys | None, Keys | None]:
    for row in _KEYS:
        if arrays.keys() >= set(row[0]):
            return row
    raise UserError(f"{path}: has {', '.join(arrays) or 'nothing'}; {_EXPECTED}")


def _array(path: Path, arrays: Mapping[str, object], key: str) -> npt.NDArray[np.generic]:
    if key not in arrays:
        raise UserError(f"{path}: no {key}; {_EXPECTED}")
    try:
        array = arrays[key]
    # A damaged member, an array of objects and a shape that no memory holds each raise their own exception.
    except Exception as error:
        raise _cannot_be_read(path, key, error) from None
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path}: {key} is not an array; expected an array of numbers")
    return array


def _cannot_be_read(path: Path, key: str, error: Exception) -> UserError:
    return UserError(f"{path}: {key} cannot be read ({error}); expected an array of numbers")


def _images(path: Path, arrays: Mapping[str, object], key: str, notes: list[str]) -> npt.NDArray[Any]:
    """Pixels of any scale, (n, height, width, 1 or 3)."""
    images: npt.NDArray[Any] = _array(path, arrays, key)
    if images.dtype.kind not in "iubf":
        raise UserError(f"{path}: {key} is {images.dtype}; {EXPECTED}")
    pixels = images[..., None] if images.ndim == 3 else images
    first, last = (pixels.shape[1], pixels.shape[3]) if pixels.ndim == 4 else (0, 0)
    if last not in _CHANNELS and first in _CHANNELS:
        pixels = np.moveaxis(pixels, 1, 3)
        notes.append("channels come first in the file")
    usable = pixels.ndim == 4 and pixels.shape[3] in _CHANNELS and min(pixels.shape[1:3]) >= LEAST_SIDE
    if not usable or not len(pixels):
        raise UserError(f"{path}: {key} has shape {images.shape}; {_EXPECTED_SHAPE}")
    if pixels.shape[3] == 4:
        pixels = pixels[..., :3]
        notes.append("the fourth channel, transparency, left out")
    if pixels.dtype.kind == "b":
        notes.append("false and true as pixels read as black and white")
        return np.where(pixels, np.uint8(255), np.uint8(0))
    return pixels


def _scaled(
    path: Path, keys: Sequence[str], images: Sequence[npt.NDArray[Any]], notes: list[str], scale_of: int
) -> list[Pixels]:
    """The pixels of all parts on the scale of the first, as uint8."""
    if all(pixels.dtype == np.uint8 for pixels in images):
        return [np.ascontiguousarray(pixels) for pixels in images]
    extents = [Extent.of(pixels) for pixels in images]
    for key, pixels, extent in zip(keys, images, extents, strict=True):
        if not extent.white:
            raise UserError(f"{path}: {key} holds {pixels.dtype} {extent}; {EXPECTED}")
    white = reduce(or_, extents[:scale_of]).white
    for key, pixels, extent in zip(keys, images, extents, strict=True):
        of_bytes = pixels.dtype == np.uint8
        # Eight bits in one part and more in another are two scales, and so are floats up to 1 and up to 255.
        fits = extent.floats == extents[0].floats and extent.white <= white
        if not fits or (of_bytes and white != 255) or (extent.white == 1) != (white == 1):
            others = ", ".join(other for other in keys if other != key)
            raise UserError(
                f"{path}: {key} holds {pixels.dtype} {extent}, unlike {others}; expected pixels on one scale"
            )
    kind = next(pixels.dtype for pixels in images if pixels.dtype != np.uint8)
    notes.append(f"{kind} pixels {scaling(white)}")
    return [np.ascontiguousarray(to_bytes(pixels, white)) for pixels in images]


@contextmanager
def _at(path: Path, key: str) -> Iterator[None]:
    """Puts the file and the key before what is wrong with an array."""
    try:
        yield
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{path}: {key} {error}") from None
