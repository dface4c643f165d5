"""Labelled images for the search: the shipped dataset, CIFAR-10, a folder of images or a file of arrays.

Nothing is downloaded and nothing is unpickled. Which images are held out or left out follows from a hash of
their names, so that every machine trains and validates on the same ones.
"""

import hashlib
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bft_nas.data import cifar10 as _cifar10, npz as _npz
from bft_nas.data.npz import SMALLEST_SIDE
from bft_nas.core.errors import UserError

SOURCES = (
    "fashion-mnist, cifar10, cifar10=FOLDER, a folder with one folder of images per class, or an .npz file"
)
BENCHMARKS = ("fashion-mnist", "cifar10")
"""Data that stands in for ImageNet, whose networks are counted with ImageNet's classes."""
IMAGENET_CLASSES = 1000
EXTENSIONS = ("jpg", "jpeg", "png", "bmp", "gif", "webp", "tif", "tiff", "ppm", "pgm")
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

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

_FASHION_MNIST_FILE = Path(__file__).parent / "bundled" / "fashion-mnist.npz"
_CIFAR10_VALIDATION = 5_000
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_VALIDATION_FOLDERS = ("val", "valid", "validation")
_FOR_VALIDATION = "one of them for validation"


@dataclass(frozen=True, eq=False)
class Split:
    """Images, uint8 of shape (n, height, width, 1 or 3), and their labels, int64 of shape (n,)."""

    images: Images
    labels: Labels


@dataclass(frozen=True, eq=False)
class Dataset:
    """What a candidate is trained and validated on; ``digest`` (12 hex digits) changes with any pixel."""

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    digest: str


def load_dataset(source: str, *, size: int, images: int | None = None) -> Dataset:
    """Loads what the search trains and validates on; test images are not read.

    ``size`` is the side in pixels of the square to which the images of a folder are brought; arrays keep
    their own height and width. ``images`` is the most training images to use, spread over the classes in the
    proportions of the whole; None uses all of them. Validation images are never left out.

    Raises UserError naming the file, folder or key at fault and what was expected.

    >>> load_dataset("fashion-mnist", size=28, images=1000).train.images.shape
    (1000, 28, 28, 1)
    """
    _check_size(size)
    if images is not None and images < 1:
        raise UserError(f"images={images}: expected at least 1")
    with _user_errors(source):
        if source == "fashion-mnist":
            return _dataset(source, *_load_npz(_FASHION_MNIST_FILE, images, FASHION_MNIST_CLASSES))
        if _is_cifar10(source):
            return _dataset("cifar10", *_load_cifar10(source, images))
        path = _existing(source)
        parts = _load_folder(path, size, images) if path.is_dir() else _load_npz(path, images)
        name = path.name if path.name not in ("", "..") else path.resolve().name
        return _dataset(name, *parts)


def load_test(source: str, *, size: int) -> Split:
    """Loads the test images of a source, for the last measurement of what a search has chosen.

    Arguments as for load_dataset; labels count the classes as there. Raises UserError as load_dataset does,
    and when the source has no test images.
    """
    _check_size(size)
    with _user_errors(source):
        if source == "fashion-mnist":
            return Split(*_npz.read_test(_FASHION_MNIST_FILE))
        if _is_cifar10(source):
            archive = _cifar10.find(_cifar10_folder(source))
            return Split(*_cifar10.read(archive, [_cifar10.TEST_BATCH]))
        path = _existing(source)
        return _load_folder_test(path, size) if path.is_dir() else Split(*_npz.read_test(path))


def _check_size(size: int) -> None:
    if size < SMALLEST_SIDE:
        raise UserError(f"size={size}: expected at least {SMALLEST_SIDE} pixels")


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
    path = _path(source)
    if not source or not path.exists():
        raise UserError(f"{source or 'empty source'}: no such dataset, file or folder; expected {SOURCES}")
    if not path.is_dir() and path.suffix.lower() != ".npz":
        raise UserError(f"{source}: not a dataset; expected {SOURCES}")
    return path


def _path(name: str) -> Path:
    try:
        return Path(name).expanduser()
    # ~someone, whom this machine does not know, is then reported as a path that is not there.
    except RuntimeError:
        return Path(name)


def _dataset(name: str, classes: tuple[str, ...], train: Split, validation: Split) -> Dataset:
    content = hashlib.blake2b(digest_size=6)
    for class_name in classes:
        content.update(_hash(class_name))
    for split in (train, validation):
        content.update(repr(split.images.shape).encode())
        content.update(np.ascontiguousarray(split.images).data)
        content.update(np.ascontiguousarray(split.labels, "<i8").data)
    return Dataset(name, classes, train, validation, content.hexdigest())


# Which images are used


def _divide(
    labels: Sequence[int], names: Iterable[str], images: int | None, *, hold_out: bool
) -> tuple[Sequence[int], Sequence[int]]:
    """Chooses the positions to train on, at most ``images``, and those held out, a fifth of each class.

    Both follow from a hash of the names: no listing's order and no library's random numbers matter.
    """
    if not hold_out and (images is None or images >= len(labels)):
        return range(len(labels)), ()
    hashes = [_hash(name) for name in names]
    groups: dict[int, list[int]] = {}
    for position in sorted(range(len(labels)), key=hashes.__getitem__):
        groups.setdefault(labels[position], []).append(position)
    held: list[int] = []
    turns: list[tuple[bool, float, int, int]] = []
    for label, group in groups.items():
        fifth = max(1, len(group) // 5) if hold_out else 0
        held += group[:fifth]
        kept = group[fifth:]
        # One image of each class comes first; then the classes take turns as often as their sizes demand.
        turns += [(turn > 0, (turn + 0.5) / len(kept), label, at) for turn, at in enumerate(kept)]
    return sorted(turn[-1] for turn in sorted(turns)[:images]), sorted(held)


def _hash(name: str) -> bytes:
    return hashlib.blake2b(_composed(name).encode(errors="surrogateescape"), digest_size=8).digest()


def _composed(name: str) -> str:
    # File systems differ in how they compose accents; the same name has to sort and hash the same on all.
    return unicodedata.normalize("NFC", name)


def _check_images(images: int | None, classes: Sequence[str], source: Path | str) -> None:
    if images is not None and images < len(classes):
        raise UserError(
            f"images={images}: expected at least one for each of the {len(classes)} classes of {source}"
        )


def _select(split: Split, positions: Sequence[int]) -> Split:
    if len(positions) == len(split.labels):
        return split
    return Split(split.images[positions], split.labels[positions])


# CIFAR-10


def _is_cifar10(source: str) -> bool:
    return source == "cifar10" or source.startswith("cifar10=")


def _cifar10_folder(source: str) -> Path | None:
    if source == "cifar10":
        return None
    folder = source.removeprefix("cifar10=")
    if not folder or not _path(folder).exists():
        raise UserError(f"{source}: no such folder; expected cifar10=FOLDER, the folder that holds CIFAR-10")
    return _path(folder)


def _load_cifar10(source: str, images: int | None) -> tuple[tuple[str, ...], Split, Split]:
    """Reads the batches that ``images`` asks for, and the last, whose second half is for validation."""
    _check_images(images, _cifar10.CLASSES, "cifar10")
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
    chosen, _ = _divide(pool.labels.tolist(), map(str, range(end)), images, hold_out=False)
    return _cifar10.CLASSES, _select(pool, chosen), validation


# Folders of images


def _load_folder(root: Path, size: int, images: int | None) -> tuple[tuple[str, ...], Split, Split]:
    train_folder, validation_folder = _find_parts(root)
    train = _list_classes(train_folder, root)
    classes = tuple(train)
    _check_images(images, classes, root)
    validation = train if validation_folder is None else _list_classes(validation_folder, root)
    _check_same_classes(train_folder, train, validation_folder or train_folder, validation)
    if validation_folder is None:
        for paths in train.values():
            if len(paths) < 2:
                raise UserError(f"{paths[0].parent}: one image; expected at least 2, {_FOR_VALIDATION}")
    paths, labels = _flatten(train)
    names = [f"{path.parent.name}/{path.name}" for path in paths]
    chosen, held = _divide(labels, names, images, hold_out=validation_folder is None)
    train_split = _decode([paths[at] for at in chosen], [labels[at] for at in chosen], size)
    if validation_folder is None:
        return classes, train_split, _decode([paths[at] for at in held], [labels[at] for at in held], size)
    return classes, train_split, _decode(*_flatten(validation), size)


def _load_folder_test(root: Path, size: int) -> Split:
    test_folder = root / "test"
    if not test_folder.is_dir():
        raise UserError(f"{root}: no test images; expected a folder test/ with one folder per class")
    train_folder, _ = _find_parts(root)
    train, test = _list_classes(train_folder, root), _list_classes(test_folder, root)
    _check_same_classes(train_folder, train, test_folder, test)
    return _decode(*_flatten(test), size)


def _find_parts(root: Path) -> tuple[Path, Path | None]:
    """The folders that hold the classes for training and, if there is one, for validation."""
    train = root / "train"
    for name in _VALIDATION_FOLDERS:
        if train.is_dir() and (root / name).is_dir():
            return train, root / name
    # A folder of images called train may also be a class.
    if train.is_dir() and _folders(train) and not _images(train):
        return train, None
    return root, None


def _list_classes(folder: Path, root: Path) -> dict[str, list[Path]]:
    """The images of each class in the order of their names; class names in the order of their labels."""
    folders = [entry for entry in _folders(folder) if entry != root / "test"]
    if not folders:
        raise UserError(f"{folder}: no class folders; expected one folder of images per class")
    if len(folders) == 1:
        raise UserError(f"{folder}: only one class, {folders[0].name}; expected at least 2 class folders")
    classes = {entry.name: _images(entry) for entry in folders}
    for name, paths in classes.items():
        if not paths:
            raise UserError(f"{folder / name}: no images; expected files ending in {', '.join(EXTENSIONS)}")
    return classes


def _folders(folder: Path) -> list[Path]:
    return [entry for entry in _visible(folder) if entry.is_dir()]


def _images(folder: Path) -> list[Path]:
    # A link that leads nowhere counts as an image here, so that decoding reports it.
    return [
        entry for entry in _visible(folder) if entry.suffix[1:].lower() in EXTENSIONS and not entry.is_dir()
    ]


def _visible(folder: Path) -> list[Path]:
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    return sorted(entries, key=lambda entry: _composed(entry.name))


def _check_same_classes(
    train_folder: Path, train: Mapping[str, object], other_folder: Path, other: Mapping[str, object]
) -> None:
    for folder, here, there in ((train_folder, train, other), (other_folder, other, train)):
        extra = [name for name in here if name not in there]
        if extra:
            both = f"{train_folder.name}/ and {other_folder.name}/"
            raise UserError(f"{folder}: only here: {', '.join(extra)}; expected the same classes in {both}")


def _flatten(classes: Mapping[str, Sequence[Path]]) -> tuple[list[Path], list[int]]:
    paths = [path for group in classes.values() for path in group]
    return paths, [label for label, group in enumerate(classes.values()) for _ in group]


def _decode(paths: Sequence[Path], labels: Sequence[int], size: int) -> Split:
    from PIL import Image

    images = np.empty((len(paths), size, size, 3), np.uint8)
    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        # Pillow refuses only at twice the pixels at which it warns; both sizes are a mistake here.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for at, pixels in enumerate(pool.map(lambda path: _decode_one(path, size), paths)):
            images[at] = pixels
    return Split(images, np.array(labels, np.int64))


def _decode_one(path: Path, size: int) -> Images:
    """The upright image's centre square, antialiased, as uint8 of shape (size, size, 3)."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        # Naming the formats keeps out those that Pillow hands to other programs, such as PostScript.
        with Image.open(path, formats=_FORMATS) as image:
            # A JPEG can be decoded at a fraction of its size; twice the side leaves the resizing its quality.
            image.draft("RGB", (2 * size, 2 * size))
            image.load()
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"{image.mode} pixels, expected 8 bits a channel")
            upright = ImageOps.exif_transpose(image).convert("RGB")
            return np.asarray(ImageOps.fit(upright, (size, size), Image.Resampling.BICUBIC))
    except UnidentifiedImageError:
        raise UserError(f"{path}: not an image; expected {', '.join(_FORMATS)}") from None
    # Pillow's decoders raise many kinds of exception for damaged bytes.
    except Exception as error:
        raise UserError(f"{path}: cannot be decoded ({error}); expected a complete image") from None


# Files of arrays


def _load_npz(
    path: Path, images: int | None, names: tuple[str, ...] | None = None
) -> tuple[tuple[str, ...], Split, Split]:
    train_part, validation_part = _npz.read(path)
    train = Split(*train_part)
    counts = np.bincount(train.labels)
    classes = names or tuple(map(str, range(len(counts))))
    _check_images(images, classes, path)
    if validation_part is None and counts.min() < 2:
        raise UserError(
            f"{path}: class {counts.argmin()} has one image; expected at least 2, {_FOR_VALIDATION}"
        )
    positions = map(str, range(len(train.labels)))
    chosen, held = _divide(train.labels.tolist(), positions, images, hold_out=validation_part is None)
    validation = _select(train, held) if validation_part is None else Split(*validation_part)
    return classes, _select(train, chosen), validation
