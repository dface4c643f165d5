"""Three hundred image files as people have them, each of a picture that its pixels tell, and damaged ones."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]

GRID = 6
RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)
"""Of the corners of a picture, as they are read: no two ways of turning or mirroring it look the same."""
BESIDE = (255, 0, 255)
"""Of what lies outside of a picture's centre square."""
CODE = slice(1, GRID - 1), slice(1, GRID - 1)
CLASSES = ("Häuser", "two words", "c")
NAMES = (
    "{}",
    "a b {}",
    "Ä-é-{}",
    "a\u0308{}",
    "IMG_{}",
    "img_{}",
    "#{} %20",
    "'{}'",
    "-{}",
    "below/{}",
    "2019/05 May/Ü/{}",
)
"""Of files, without their endings."""
ALIKE = {0: "Same", 3: "same", 1: "caf\u00e9", 4: "cafe\u0301"}
"""Names that differ in case alone, and one that is written in two ways."""
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera stores an upright scene under each orientation of EXIF."""

Show = Callable[[Pixels], Pixels]
"""What of the colours of a picture a file can hold."""


def grid_of(number: int) -> Pixels:
    """The colours of a picture's squares, (6, 6, 3): four corners, in the middle its number in black and white."""
    grid = np.empty((GRID, GRID, 3), np.uint8)
    half = GRID // 2
    grid[:half, :half], grid[:half, half:], grid[half:, :half], grid[half:, half:] = RED, GREEN, BLUE, YELLOW
    bits = [255 * (number >> place & 1) for place in range(16)]
    grid[CODE] = np.array(bits, np.uint8).reshape(4, 4, 1)
    return grid


def number_of(grid: npt.NDArray[np.float64]) -> int:
    """The number in the middle of a picture, from the colours of its squares."""
    return int(sum(2**place for place, value in enumerate(grid[CODE].mean(2).ravel()) if value > 127))


def grid_in(image: Pixels) -> npt.NDArray[np.float64]:
    """The colours in the middle of each square of a picture of any size, (6, 6, 3)."""
    side = len(image)
    at = [round((k + 0.5) * side / GRID) for k in range(GRID)]
    return np.array([[image[y - 1 : y + 2, x - 1 : x + 2].mean((0, 1)) for x in at] for y in at])


def picture(number: int, width: int, height: int) -> Image.Image:
    """A scene of a size whose centre square is the picture of a number."""
    side = min(width, height)
    scene = Image.new("RGB", (width, height), BESIDE)
    square = Image.fromarray(grid_of(number)).resize((side, side), Image.Resampling.NEAREST)
    scene.paste(square, ((width - side) // 2, (height - side) // 2))
    return scene


@dataclass(frozen=True)
class Kind:
    """A way to store a scene."""

    suffix: str
    encode: Callable[[Image.Image], bytes]
    shows: Show = lambda grid: grid
    tolerance: float = 2.0
    """Of a colour, where the file does not keep it exactly."""
    size: tuple[int, int] = (90, 60)


def _saved(scene: Image.Image, form: str, **options: object) -> bytes:
    content = io.BytesIO()
    scene.save(content, form, **options)
    return content.getvalue()


def _as(form: str, mode: str = "RGB", **options: object) -> Callable[[Image.Image], bytes]:
    return lambda scene: _saved(scene.convert(mode), form, **options)


def _turned(form: str, orientation: int, **options: object) -> Callable[[Image.Image], bytes]:
    def encode(scene: Image.Image) -> bytes:
        stored = scene.transpose(STORED[orientation])
        exif = stored.getexif()
        exif[0x0112] = orientation
        return _saved(stored, form, exif=exif, **options)

    return encode


def _moving(form: str, **options: object) -> Callable[[Image.Image], bytes]:
    def encode(scene: Image.Image) -> bytes:
        others = [Image.new("RGB", scene.size, colour) for colour in ("black", "white")]
        return _saved(scene, form, save_all=True, append_images=others, **options)

    return encode


def _faint(form: str, mode: str, **options: object) -> Callable[[Image.Image], bytes]:
    """Half transparent, which is drawn as if it were not."""

    def encode(scene: Image.Image) -> bytes:
        scene = scene.convert(mode)
        scene.putalpha(128)
        return _saved(scene, form, **options)

    return encode


def _deep(form: str, mode: str) -> Callable[[Image.Image], bytes]:
    """Grey of more than 8 bits, or of floats from 0 to 1."""

    def encode(scene: Image.Image) -> bytes:
        grey = np.asarray(scene.convert("L"))
        if mode == "F":
            return _saved(Image.fromarray(grey / np.float32(255)), form)
        values = (grey * np.uint16(257)).astype({"I": "<i4", "I;16": "<u2", "I;16B": ">u2"}[mode])
        return _saved(Image.frombytes(mode, scene.size, values.tobytes()), form)

    return encode


def _raw_png(colour_type: int, depth: int, mode: str) -> Callable[[Image.Image], bytes]:
    """A PNG of a depth that Pillow reads and does not write."""

    def encode(scene: Image.Image) -> bytes:
        values = np.asarray(scene.convert(mode))
        if depth == 16:
            rows = (values * np.uint16(257)).astype(">u2").tobytes()
        else:
            bits = np.unpackbits(values.reshape(*values.shape, 1), axis=2)[..., :depth]
            rows = np.packbits(bits.reshape(len(values), -1), axis=1).tobytes()
        return png(scene.size, colour_type, depth, rows)

    return encode


def png(size: tuple[int, int], colour_type: int, depth: int, rows: bytes) -> bytes:
    """A PNG file of unfiltered rows."""
    length = len(rows) // size[1]
    lines = b"".join(b"\0" + rows[start : start + length] for start in range(0, len(rows), length))
    header = struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(lines, 1)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def _grey(grid: Pixels) -> Pixels:
    luma = (grid @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)
    return np.repeat(luma[..., None], 3, 2)


def _black_and_white(grid: Pixels) -> Pixels:
    return np.where(_grey(grid) > 127, np.uint8(255), np.uint8(0))


LOSSY = 30.0
"""Pure colours are at the ends of what a JPEG keeps."""

KINDS = (
    Kind(".png", _as("PNG")),
    Kind(".png", _as("PNG", "L"), _grey),
    Kind(".png", lambda scene: _saved(scene.convert("1", dither=Image.Dither.NONE), "PNG"), _black_and_white),
    Kind(".png", lambda scene: _saved(scene.quantize(16), "PNG")),
    Kind(".png", lambda scene: _saved(scene.quantize(16), "PNG", transparency=bytes(range(16)))),
    Kind(".png", _faint("PNG", "RGB")),
    Kind(".png", _faint("PNG", "L"), _grey),
    Kind(".png", _deep("PNG", "I;16"), _grey),
    Kind(".png", _raw_png(2, 16, "RGB")),
    Kind(".png", _raw_png(6, 16, "RGBA")),
    Kind(".png", _raw_png(0, 4, "L"), _grey, tolerance=17.0),
    Kind(".png", _moving("PNG")),
    Kind(".jpg", _as("JPEG", quality=95), tolerance=LOSSY),
    Kind(".JPG", _as("JPEG", quality=80), tolerance=LOSSY),
    Kind(".jpeg", _as("JPEG", "L", quality=90), _grey, tolerance=LOSSY),
    Kind(".Jpeg", _as("JPEG", progressive=True, quality=90, subsampling=0), tolerance=LOSSY),
    Kind(".jpg", _as("JPEG", "CMYK", quality=95), tolerance=LOSSY),
    Kind(".jpg", _moving("MPO", quality=90), tolerance=LOSSY),
    *(Kind(".jpg", _turned("JPEG", turn, quality=95), tolerance=LOSSY) for turn in STORED),
    *(Kind(".png", _turned("PNG", turn)) for turn in STORED),
    *(Kind(".webp", _turned("WEBP", turn, lossless=True)) for turn in STORED),
    *(Kind(".tif", _turned("TIFF", turn)) for turn in STORED),
    Kind(".webp", _as("WEBP", quality=95), tolerance=LOSSY),
    Kind(".webp", _as("WEBP", lossless=True)),
    Kind(".webp", _faint("WEBP", "RGB", lossless=True, exact=True)),
    Kind(".webp", _moving("WEBP", lossless=True)),
    Kind(".gif", lambda scene: _saved(scene.quantize(16), "GIF")),
    Kind(".gif", _moving("GIF")),
    Kind(".tif", _as("TIFF")),
    Kind(".tiff", _as("TIFF", compression="tiff_lzw")),
    Kind(".TIF", _as("TIFF", compression="jpeg", quality=95), tolerance=LOSSY),
    Kind(".tif", _as("TIFF", big_tiff=True)),
    Kind(".tif", _as("TIFF", "CMYK")),
    Kind(".tif", _as("TIFF", "YCbCr"), tolerance=4.0),
    Kind(".tif", _faint("TIFF", "RGB")),
    Kind(".tif", _deep("TIFF", "I"), _grey),
    Kind(".tif", _deep("TIFF", "I;16B"), _grey),
    Kind(".tif", _deep("TIFF", "F"), _grey),
    Kind(".tif", _moving("TIFF")),
    Kind(".bmp", _as("BMP")),
    Kind(".BMP", lambda scene: _saved(scene.quantize(16), "BMP")),
    Kind(".ppm", _as("PPM")),
    Kind(".pgm", _as("PPM", "L"), _grey),
    Kind(".png", _as("PNG"), size=(24, 24)),
    Kind(".tif", _as("TIFF"), size=(12, 8), tolerance=60.0),
    Kind(".jpg", _turned("JPEG", 6, quality=90), size=(3000, 2000), tolerance=LOSSY),
    Kind(".jpg", _turned("JPEG", 5, quality=90), size=(1500, 2000), tolerance=LOSSY),
    Kind(".png", _as("PNG"), size=(60, 90)),
    Kind(".jpg", _as("JPEG", quality=90), size=(10_000, 300), tolerance=LOSSY),
    Kind(".png", _as("PNG"), size=(10_000, 60)),
    Kind(".webp", _as("WEBP", lossless=True), size=(60, 9_000)),
    Kind(".tif", _as("TIFF", compression="tiff_lzw"), size=(10_000, 60)),
)


def _damaged() -> Iterator[tuple[str, bytes]]:
    scene = picture(0, 200, 150)
    for suffix, form in (
        (".jpg", "JPEG"),
        (".png", "PNG"),
        (".webp", "WEBP"),
        (".tif", "TIFF"),
        (".gif", "GIF"),
    ):
        whole = _saved(scene, form)
        yield f"cut{suffix}", whole[: len(whole) // 2]
    yield "head.jpg", _saved(scene, "JPEG")[:20]
    yield "no bytes.png", b""
    yield "nothing.JPG", b""
    yield "letter.jpg", b"Dear all,\nthe photographs are attached.\n"
    yield "page.png", b"<!doctype html><title>404</title>"
    yield "zipped.png", gzip.compress(_saved(scene, "PNG"))
    yield "drawing.gif", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
    # 400 million pixels in 50 kB, and little more than a file may have.
    yield "bomb.png", png((20_000, 20_000), 0, 1, bytes(20_000 * 2_500))
    yield "small bomb.png", png((13_400, 13_400), 0, 1, bytes(13_400 * 1_675))


@dataclass(frozen=True)
class OddFolder:
    """What was written."""

    root: Path
    pictures: Sequence[Kind]
    """By their numbers."""
    damaged: Sequence[str]
    """Paths within the folder."""

    def label_of(self, number: int) -> int:
        """The class of a picture, in the order of the names."""
        return sorted(CLASSES).index(CLASSES[number % len(CLASSES)])

    def check(self, image: Pixels, label: int) -> int:
        """The number of a picture as it was read; AssertionError unless it is upright, and in the colours it was."""
        found = grid_in(image)
        number = number_of(found)
        kind = self.pictures[number]
        expected = kind.shows(grid_of(number))
        difference = float(np.abs(found - expected).max())
        assert difference <= kind.tolerance, (number, kind.suffix, difference, found, expected)
        assert label == self.label_of(number)
        return number


def write_odd_images(root: Path, count: int = 300) -> OddFolder:
    """Write image files of every kind and name into three class folders, some of them damaged."""
    damaged = dict(_damaged())
    kinds = tuple(islice(cycle(KINDS), count - len(damaged)))
    for number, kind in enumerate(kinds):
        name = ALIKE.get(number, NAMES[number % len(NAMES)].format(number))
        path = root / CLASSES[number % len(CLASSES)] / f"{name}{kind.suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(kind.encode(picture(number, *kind.size)))
    places = []
    for at, (name, content) in enumerate(damaged.items()):
        place = f"{CLASSES[at % len(CLASSES)]}/{name}"
        (root / place).write_bytes(content)
        places.append(place)
    return OddFolder(root, kinds, sorted(places))
