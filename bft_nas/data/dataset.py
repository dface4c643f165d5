"""Labelled images for the search: the bundled dataset, CIFAR-10, a folder, a file of arrays, or the hub's.

Nothing is unpickled, and nothing downloaded but what ``hf:NAME`` asks for. Which images are held out or left out
follows from a hash of their names, so that every machine trains and validates on the same ones.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bft_nas.core.errors import UserError, setting
from bft_nas.core.files import expanded, is_folder
from bft_nas.core.units import LEAST_SIDE
from bft_nas.data import cifar10 as _cifar10
from bft_nas.data import npz as _npz
from bft_nas.data.decode import EXTENSIONS
from bft_nas.data.division import (
    FOR_VALIDATION,
    Labels,
    Parts,
    Pixels,
    Split,
    check_images,
    divide,
    select,
)
from bft_nas.data.folder import (
    folder_test_classes,
    has_folder_test,
    load_folder,
    load_folder_test,
    load_folder_training,
)
from bft_nas.data.hub import PREFIX, has_hub_test, load_hub, load_hub_test, load_hub_training, place_of
from bft_nas.data.keeping import Room
from bft_nas.data.summary import digest_of

__all__ = [
    "EXTENSIONS",
    "FASHION_MNIST_CLASSES",
    "SMALL_SIDE",
    "SOURCES",
    "Dataset",
    "Labels",
    "Pixels",
    "Room",
    "Split",
    "anchored",
    "check_test",
    "deployment_classes",
    "has_test",
    "is_of_arrays",
    "is_there",
    "load_dataset",
    "load_test",
    "load_training",
    "with_margin",
]

SOURCES = (
    "fashion-mnist, cifar10, cifar10=FOLDER, a folder with one folder of images per class, an .npz file, "
    "or hf:NAME"
)
BENCHMARKS = ("fashion-mnist", "cifar10")
"""Data that stands in for ImageNet; see `deployment_classes`."""
IMAGENET_CLASSES = 1000
SMALL_SIDE = 96
"""Pixels up to which an image is small: networks for it compare with none of ImageNet's."""
FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

_FASHION_MNIST_FILE = Path(__file__).parent / "bundled" / "fashion-mnist.npz"
_CIFAR10_VALIDATION = 5_000


@dataclass(frozen=True, eq=False)
class Dataset:
    """What a candidate is trained and validated on; ``digest`` (12 hex digits) changes with any pixel.

    ``notes`` say in a line each how the source was read where it could have been read otherwise; ``left_out``
    names the images that could not be decoded, each with the reason.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    digest: str
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """Mean and deviation of three channels, of pixels from 0 to 1, where they are not those of ``train``, or known
    without looking at all of it."""
    kept: str = ""
    """Where the decoded images are, in words, where that depends on their size."""
    whites: Mapping[bool, int] = field(default_factory=dict)
    """What was taken for white in image files of more than 8 bits (False) and of floats (True), where there are any."""


def load_dataset(
    source: str,
    *,
    size: int,
    images: int | None = None,
    max_unreadable: int | None = None,
    room: Room | None = None,
) -> Dataset:
    """Loads what the search trains and validates on; test images are not read.

    ``size`` is the side in pixels of the square to which the images of a folder are brought; arrays keep
    their own height and width. ``images`` is the most training images to use, spread over the classes in the
    proportions of the whole; None uses all of them. Validation images are never left out. ``max_unreadable``
    is how many images of a folder may be left out because they cannot be decoded; None allows 20 or, if that
    is more, a hundredth of them. ``room`` is what the decoded images of a folder may take: those that take more
    memory are in a file that is mapped, or remain in their files (`Split.files`); None keeps all in memory, where
    those of the hub always are.

    Raises UserError naming the file, folder or key at fault and what was expected.

    >>> load_dataset("fashion-mnist", size=28, images=1000).train.images.shape
    (1000, 28, 28, 1)
    """
    _check_size(size)
    if images is not None and images < 1:
        raise UserError(f"{setting('images')} {images}: expected at least 1")
    with _user_errors(source):
        if source == "fashion-mnist":
            return _dataset(source, _load_npz(_FASHION_MNIST_FILE, images, FASHION_MNIST_CLASSES))
        if _is_cifar10(source):
            return _dataset("cifar10", _load_cifar10(source, images))
        if source.startswith(PREFIX):
            return _dataset(Path(place_of(source).name).name, load_hub(source, size, images, max_unreadable))
        path = _existing(source)
        name = path.name if path.name not in ("", "..") else path.resolve().name
        if path.is_dir():
            return _dataset(name, load_folder(path, size, images, max_unreadable, room))
        return _dataset(name, _load_npz(path, images))


def load_training(
    source: str,
    *,
    size: int,
    images: int | None = None,
    max_unreadable: int | None = None,
    room: Room | None = None,
) -> Split:
    """Loads the images of `load_dataset` to train on, without decoding a file of those that are held out.

    Where one of these cannot be decoded, one image may be another.
    """
    with _user_errors(source):
        if source.startswith(PREFIX):
            return load_hub_training(source, size, images, max_unreadable)
        if not is_of_arrays(source):
            return load_folder_training(_existing(source), size, images, max_unreadable, room)
    return load_dataset(source, size=size, images=images).train


def is_there(source: str) -> bool:
    """Whether a source has images to load, as far as a glance can tell."""
    if source == "fashion-mnist":
        return True
    folder = source.removeprefix("cifar10=")
    try:
        if source.startswith(PREFIX):
            return bool(place_of(source))
        return source == "cifar10" or (bool(folder) and expanded(folder).exists())
    except (OSError, UserError):
        return False


def deployment_classes(source: str, own: int, *, side: int) -> int:
    """How many classes a network for a source is made for, at a deployment resolution of so many pixels at most.

    Those of ImageNet at the benchmarks; elsewhere, and for small images, the source's own.

    >>> [deployment_classes("cifar10", 10, side=side) for side in (96, 128)]
    [10, 1000]
    """
    return IMAGENET_CLASSES if side > SMALL_SIDE and source.partition("=")[0] in BENCHMARKS else own


def is_of_arrays(source: str) -> bool:
    """Whether a source has arrays of pixels, which keep their size, and not image files."""
    if source.partition("=")[0] in BENCHMARKS:
        return True
    file = not source.startswith(PREFIX) and not is_folder(expanded(source))
    return file and source.lower().endswith(".npz")


def anchored(source: str) -> str:
    """A source by a path that still holds in another directory."""
    if source.startswith(PREFIX):
        place = place_of(source)
        config = "" if place.config is None else f":{place.config}"
        return f"{PREFIX}{place.name}{config}"
    kind, equals, folder = source.partition("=")
    if equals and kind in BENCHMARKS:
        return f"{kind}={expanded(folder).absolute()}"
    return source if source in BENCHMARKS else str(expanded(source).absolute())


def load_test(
    source: str, *, size: int, whites: Mapping[bool, int] | None = None, room: Room | None = None
) -> Split:
    """Loads the test images of a source, for the last measurement of what a search has chosen.

    Arguments as for load_dataset; labels count the classes as there. ``whites`` are those of the Dataset: an image
    file is scaled as one of its kind is there, and what is brighter than its white is white; where it has none of the
    kind, the test images tell. Image files that cannot be decoded are left out (`Split.left_out`), up to 20 or, if that
    is more, a hundredth: a training that has ended is not to be lost to one. Raises UserError as load_dataset does, and
    when the source has no test images.
    """
    whites = whites or {}
    _check_size(size)
    with _user_errors(source):
        if source == "fashion-mnist":
            return Split(*_npz.read_test(_FASHION_MNIST_FILE))
        if _is_cifar10(source):
            archive = _cifar10.find(_cifar10_folder(source))
            return Split(*_cifar10.read(archive, [_cifar10.TEST_BATCH]))
        if source.startswith(PREFIX):
            return load_hub_test(source, size, whites)
        path = _existing(source)
        return load_folder_test(path, size, whites, room) if path.is_dir() else Split(*_npz.read_test(path))


def has_test(source: str) -> bool:
    """Whether a source has test images; none of them is read. Raises UserError as load_dataset does."""
    with _user_errors(source):
        if source.partition("=")[0] in BENCHMARKS:
            return True
        if source.startswith(PREFIX):
            return has_hub_test(source)
        path = _existing(source)
        return has_folder_test(path) if path.is_dir() else _npz.has_test(path)


def check_test(source: str) -> None:
    """UserError where a source has test images that a training could not be tried on, as far as a listing tells.

    They are read when it ends, which is late to learn that they have other classes.
    """
    if not has_test(source) or source.startswith(PREFIX) or source.partition("=")[0] in BENCHMARKS:
        return
    with _user_errors(source):
        path = _existing(source)
        if path.is_dir():
            folder_test_classes(path)
        else:
            _npz.read_test(path)


def with_margin(resolution: int) -> int:
    """The side in pixels of the images for a training to the end: room for crops, and little more.

    >>> with_margin(224)
    256
    """
    return round(resolution * 8 / 7)


def _check_size(size: int) -> None:
    if size < LEAST_SIDE:
        raise UserError(f"size={size}: expected at least {LEAST_SIDE} pixels")


@contextmanager
def _user_errors(source: str) -> Iterator[None]:
    """Keeps the promise of one line, whatever a file's name or a decoder's message holds."""
    try:
        yield
    except UserError as error:
        raise UserError(" ".join(str(error).splitlines())) from None
    except OSError as error:
        message = f"{error.filename or source}: {error.strerror or error}"
        raise UserError(" ".join(message.splitlines())) from None


def _existing(source: str) -> Path:
    path = expanded(source)
    if not source or not path.exists():
        raise UserError(f"{source or 'empty source'}: no such dataset, file or folder; expected {SOURCES}")
    if not path.is_dir() and path.suffix.lower() != ".npz":
        raise UserError(f"{source}: not a dataset; expected {SOURCES}")
    return path


def _dataset(name: str, parts: Parts) -> Dataset:
    return Dataset(
        name,
        parts.classes,
        parts.train,
        parts.validation,
        parts.digest or digest_of(parts),
        tuple(" ".join(note.splitlines()) for note in parts.notes),
        parts.left_out,
        parts.normalisation,
        parts.kept,
        parts.whites,
    )


# CIFAR-10


def _is_cifar10(source: str) -> bool:
    return source == "cifar10" or source.startswith("cifar10=")


def _cifar10_folder(source: str) -> Path | None:
    if source == "cifar10":
        return None
    folder = source.removeprefix("cifar10=")
    if not folder or not expanded(folder).exists():
        raise UserError(f"{source}: no such folder; expected cifar10=FOLDER, the folder that holds CIFAR-10")
    return expanded(folder)


def _load_cifar10(source: str, images: int | None) -> Parts:
    """Reads the batches that ``images`` asks for, and the last, whose second half is for validation."""
    check_images(images, _cifar10.CLASSES, "cifar10")
    archive = _cifar10.find(_cifar10_folder(source))
    *first, last = _cifar10.TRAIN_BATCHES
    if images is not None:
        first = first[: -(-images // _cifar10.BATCH_IMAGES)]
    pixels, labels = _cifar10.read(archive, [*first, last])
    validation = Split(pixels[-_CIFAR10_VALIDATION:], labels[-_CIFAR10_VALIDATION:])
    end = len(first) * _cifar10.BATCH_IMAGES
    if images is None or images > end:
        end = len(labels) - _CIFAR10_VALIDATION
    pool = Split(pixels[:end], labels[:end])
    chosen, _ = divide(pool.labels.tolist(), map(str, range(end)), images, hold_out=False)
    return Parts(_cifar10.CLASSES, select(pool, chosen), validation)


# Files of arrays


def _load_npz(path: Path, images: int | None, names: tuple[str, ...] | None = None) -> Parts:
    arrays = _npz.read(path)
    train = Split(*arrays.train)
    counts = np.bincount(train.labels)
    classes = names or arrays.classes
    check_images(images, classes, path)
    if arrays.validation is None and counts.min() < 2:
        raise UserError(
            f"{path}: class {classes[counts.argmin()]} has one image; expected at least 2, {FOR_VALIDATION}"
        )
    positions = map(str, range(len(train.labels)))
    chosen, held = divide(train.labels.tolist(), positions, images, hold_out=arrays.validation is None)
    validation = select(train, held) if arrays.validation is None else Split(*arrays.validation)
    return Parts(classes, select(train, chosen), validation, arrays.notes)
