"""A folder's images as they were decoded once: their pixels in a file that is mapped, and what was found out."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bft_nas.core.errors import RunError
from bft_nas.core.files import is_file, write_text
from bft_nas.data.division import Parts, Pixels
from bft_nas.data.reading import Reader
from bft_nas.data.summary import Normalisation

FORMAT = 2
"""Of these files, and of all that decoding depends on here."""


@dataclass(frozen=True)
class Facts:
    """What one look at every image of a folder has told; see `Parts` for the fields of the same names."""

    fingerprint: str
    unreadable: Mapping[str, str]
    """Of those that are left out, the path within the folder and the reason."""
    whites: Mapping[bool, int]
    """See `bft_nas.data.image_files.ImageFiles`."""
    notes: tuple[str, ...]
    left_out: tuple[str, ...]
    digest: str
    normalisation: Normalisation

    @classmethod
    def of(
        cls, reader: Reader, parts: Parts, fingerprint: str, digest: str, normalisation: Normalisation
    ) -> Facts:
        """Of a reader that is done."""
        unreadable = {
            path.relative_to(reader.root).as_posix(): why for path, why in reader.unreadable.items()
        }
        return cls(fingerprint, unreadable, reader.whites, parts.notes, parts.left_out, digest, normalisation)

    def to_json(self) -> str:
        """A text for `from_json`."""
        return json.dumps({**asdict(self), "whites": list(self.whites.items())}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Facts:
        """The inverse of `to_json`; anything else raises one of many exceptions."""
        content: dict[str, Any] = json.loads(text)
        mean, std = content.pop("normalisation")
        return cls(
            whites=dict(content.pop("whites")),
            notes=tuple(content.pop("notes")),
            left_out=tuple(content.pop("left_out")),
            normalisation=(tuple(mean), tuple(std)),
            **content,
        )


class Cache:
    """The files for one folder of images at one size; where they cannot be written there are none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._facts, self._pixels = folder / "facts.json", folder / "pixels"
        self._writable = False

    def has_pixels(self, count: int = 1) -> bool:
        """Whether there are at least so many bytes of pixels; of which images, the facts say."""
        return is_file(self._pixels) and self._pixels.stat().st_size >= count

    @contextmanager
    def locked(self) -> Iterator[None]:
        """While nobody else makes or reads it: who comes second waits, and finds what the first one made."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self.folder / "lock").open("w")
        except OSError:
            yield
            return
        with lock:
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._writable = True
            yield

    def facts(self, fingerprint: str) -> Facts | None:
        """What is known of images that are still the same."""
        try:
            facts = Facts.from_json(self._facts.read_text())
        # Whatever is in the way of reading it, it is made anew.
        except Exception:
            return None
        return facts if facts.fingerprint == fingerprint else None

    def pixels(self, shape: tuple[int, ...]) -> Pixels:
        """The first so many images, mapped; what is written to them stays in this process."""
        return np.asarray(np.memmap(self._pixels, np.uint8, "c", shape=shape))

    @contextmanager
    def making(self, shape: tuple[int, ...]) -> Iterator[Pixels | None]:
        """Pixels to be filled and then to be `put`; None where there is no place for them."""
        unfinished = self.folder / "unfinished"
        try:
            with suppress(OSError):
                unfinished.unlink()
            pixels = self._reserved(unfinished, shape) if self._writable else None
            yield pixels
        finally:
            with suppress(OSError):
                unfinished.unlink()

    def _reserved(self, file: Path, shape: tuple[int, ...]) -> Pixels | None:
        try:
            with file.open("wb") as opened:
                # Of a map for whose pages the disk turns out to have no room, the process would die.
                os.posix_fallocate(opened.fileno(), 0, int(np.prod(shape)))
            return np.memmap(file, np.uint8, "r+", shape=shape)
        # A system that cannot promise room does not have the function.
        except (OSError, AttributeError):
            return None

    def put(self, facts: Facts, pixels: Pixels | None) -> None:
        """Let the files hold these from now on, each of them whole at any moment."""
        if not self._writable:
            return
        # First, since pixels without facts are nothing.
        self._facts.unlink(missing_ok=True)
        self._pixels.unlink(missing_ok=True)
        if isinstance(pixels, np.memmap):
            pixels.flush()
            (self.folder / "unfinished").replace(self._pixels)
        with suppress(RunError):
            write_text(self._facts, facts.to_json())


def place_of(reader: Reader) -> str:
    """A name for the images of a folder at a size."""
    what = json.dumps([str(reader.root.resolve()), reader.size, reader.images])
    return f"{_hash(what.encode(errors='surrogateescape'))}-{reader.size}"


def fingerprint_of(reader: Reader) -> str:
    """It changes with any file's name, size or time of change, and with what decodes them."""
    from PIL import __version__, features

    content = hashlib.blake2b(digest_size=16)
    decoder = [FORMAT, __version__, features.version("libjpeg_turbo"), reader.size, reader.images]
    content.update(repr([decoder, list(reader.train), list(reader.validation or ())]).encode())
    for classes in (reader.train, reader.validation or {}):
        for paths in classes.values():
            for path in paths:
                status = None
                with suppress(OSError):
                    status = path.stat()
                changed = (status.st_size, status.st_mtime_ns) if status else ()
                content.update(repr((path.relative_to(reader.root).as_posix(), changed)).encode())
    return content.hexdigest()


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()
