"""Labelled images from an .npz file with the keys that MedMNIST or Keras use."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bft_nas.core.errors import UserError

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Part = tuple[Pixels, Labels]

SMALLEST_SIDE = 8

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


def read(path: Path) -> tuple[Part, Part | None]:
    """Reads the training part and, where the file has one, the validation part; the test part stays unread.

    A part is uint8 images (n, height, width, 1 or 3) and int64 labels (n,); training has every label
    from 0 to its highest. Raises UserError naming the file, the key and what was expected.
    """
    with _open(path) as arrays:
        train_keys, validation_keys, _ = _layout(path, arrays)
        train = _part(path, arrays, train_keys)
        classes = _count_classes(path, train_keys[1], train[1])
        if validation_keys is None or arrays.keys().isdisjoint(validation_keys):
            return train, None
        validation = _part(path, arrays, validation_keys)
        if validation[0].shape[1:] != train[0].shape[1:]:
            sizes = f"{validation[0].shape[1:]}; expected {train[0].shape[1:]} as in {train_keys[0]}"
            raise UserError(f"{path}: {validation_keys[0]} are {sizes}")
        _check_known(path, validation_keys[1], validation[1], classes)
        return train, validation


def read_test(path: Path) -> Part:
    """Reads the test part, whose labels training has too; errors as for read, and when there is none."""
    with _open(path) as arrays:
        train_keys, _, test_keys = _layout(path, arrays)
        if test_keys is None or arrays.keys().isdisjoint(test_keys):
            raise UserError(f"{path}: no test images; expected test_images, test_labels or x_test, y_test")
        test = _part(path, arrays, test_keys)
        classes = _count_classes(path, train_keys[1], _labels(path, arrays, train_keys[1]))
        _check_known(path, test_keys[1], test[1], classes)
        return test


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
        raise UserError(f"{path}: {key} cannot be read ({error}); expected an array of numbers") from None
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path}: {key} is not an array; expected an array of numbers")
    return array


def _labels(path: Path, arrays: Mapping[str, object], key: str) -> Labels:
    labels = _array(path, arrays, key)
    if labels.dtype.kind not in "iu":
        raise UserError(f"{path}: {key} is {labels.dtype}; expected integers")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not len(labels):
        raise UserError(f"{path}: {key} has shape {labels.shape}; expected (n,) or (n, 1) with n at least 1")
    signed = labels.astype(np.int64)
    if signed.min() < 0:
        raise UserError(f"{path}: {key} holds {signed.min()}; expected labels from 0")
    return signed


def _part(path: Path, arrays: Mapping[str, object], keys: Keys) -> Part:
    images = _array(path, arrays, keys[0])
    if images.dtype != np.uint8:
        raise UserError(f"{path}: {keys[0]} is {images.dtype}; expected uint8 pixels from 0 to 255")
    shape = images.shape if images.ndim == 4 else (*images.shape, 1)
    if len(shape) != 4 or shape[3] not in (1, 3) or min(shape[1:3]) < SMALLEST_SIDE or not shape[0]:
        expected = (
            f"(n, h, w), (n, h, w, 1) or (n, h, w, 3) with n at least 1, h and w at least {SMALLEST_SIDE}"
        )
        raise UserError(f"{path}: {keys[0]} has shape {images.shape}; expected {expected}")
    labels = _labels(path, arrays, keys[1])
    if len(labels) != len(images):
        raise UserError(f"{path}: {len(images)} {keys[0]} but {len(labels)} {keys[1]}; expected as many")
    return images.reshape(shape).astype(np.uint8, copy=False), labels


def _count_classes(path: Path, key: str, labels: Labels) -> int:
    """The number of classes; a gap is refused because it mostly means that the labels start from 1."""
    present = np.unique(labels)
    if len(present) < 2:
        raise UserError(f"{path}: {key} holds only one class, {present[0]}; expected at least 2")
    gaps = np.flatnonzero(present != np.arange(len(present)))
    if len(gaps):
        raise UserError(
            f"{path}: {key} never holds {gaps[0]} but goes up to {present[-1]}; expected every class from 0"
        )
    return len(present)


def _check_known(path: Path, key: str, labels: Labels, classes: int) -> None:
    if labels.max() >= classes:
        highest = f"{classes - 1}, the highest label in training"
        raise UserError(f"{path}: {key} holds {labels.max()}; expected at most {highest}")
