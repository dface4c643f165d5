"""The pixels of a folder's images, each decoded once, and which of them are used when some cannot be decoded."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from bft_nas.core.errors import UserError, one_line, setting
from bft_nas.data.decode import Encoded, NotNow, Picture
from bft_nas.data.decoders import decode_all, the_file
from bft_nas.data.division import FOR_VALIDATION, Labels, Pixels, composed, divide
from bft_nas.data.image_files import scaled
from bft_nas.data.pixels import EXPECTED, Extent, scaling
from bft_nas.data.summary import Digest, Moments

Classes = Mapping[str, Sequence[Path]]
Part = tuple[Sequence[Path], Sequence[int]]

LEAST_UNREADABLE = 20
NAMED = 3
"""Of many, in a line."""


@dataclass(frozen=True)
class Chosen:
    """Which images are used, in the order of the splits."""

    train: Part
    validation: Part

    @property
    def paths(self) -> list[Path]:
        """Those to train on first."""
        return [*self.train[0], *self.validation[0]]

    @property
    def labels(self) -> tuple[Labels, Labels]:
        """Of the images to train on, and of those held out."""
        return np.array(self.train[1], np.int64), np.array(self.validation[1], np.int64)


class Target(typing.Protocol):
    """Where decoded images go."""

    def missing(self, chosen: Chosen) -> list[Path]:
        """Those among the chosen ones that have yet to be decoded, in an order in which it takes them."""

    def put(self, path: Path, pixels: Pixels) -> None:
        """Take the pixels of one, (size, size, 3)."""

    def forget(self, path: Path) -> None:
        """Be without what was put there."""


class Rows:
    """Decoded images in an array that has just room for those that are used."""

    def __init__(self, pixels: Pixels) -> None:
        self.pixels = pixels
        self._rows: dict[Path, int] = {}
        self._free = list(range(len(pixels)))[::-1]

    def missing(self, chosen: Chosen) -> list[Path]:
        """See `Target`."""
        wanted = chosen.paths
        for path in self._rows.keys() - set(wanted):
            self.forget(path)
        return [path for path in wanted if path not in self._rows]

    def put(self, path: Path, pixels: Pixels) -> None:
        """See `Target`."""
        self._rows[path] = self._free.pop()
        self.pixels[self._rows[path]] = pixels

    def forget(self, path: Path) -> None:
        """See `Target`."""
        self._free.append(self._rows.pop(path))

    def in_order(self, paths: Sequence[Path]) -> Pixels:
        """The images of these paths, moved within the array."""
        rows = [self._rows[path] for path in paths]
        for at in range(len(rows)):
            row = rows[at]
            # What was there has given way to an earlier one, and is where that one came from.
            while row < at:
                row = rows[row]
            rows[at] = row
            if row != at:
                self.pixels[[at, row]] = self.pixels[[row, at]]
        return self.pixels[: len(rows)]


class Passing:
    """Nothing is kept of the images but what stands for them, so that a second look is one at all of them."""

    def __init__(self, classes: Sequence[str], size: int) -> None:
        self.classes = classes
        self.shape = (size, size, 3)
        self.digest = Digest(classes)
        self.moments = Moments(3)

    def missing(self, chosen: Chosen) -> list[Path]:
        """See `Target`."""
        self.digest, self.moments = Digest(self.classes), Moments(3)
        self._labels = list(chosen.labels)
        self._left = [len(labels) for labels in self._labels]
        self.digest.begin((self._left[0], *self.shape))
        return chosen.paths

    def put(self, path: Path, pixels: Pixels) -> None:
        """See `Target`."""
        self.digest.add(pixels)
        if len(self._left) == 2:
            self.moments.add(pixels[None])
        self._left[0] -= 1
        if self._left[0]:
            return
        self.digest.end(self._labels.pop(0))
        del self._left[0]
        if self._left:
            self.digest.begin((self._left[0], *self.shape))

    def forget(self, path: Path) -> None:
        """See `Target`."""


@dataclass
class Reader:
    """Decodes what is used of a folder, and chooses again when some of it cannot be decoded."""

    root: Path
    train_folder: Path
    validation_folder: Path | None
    train: Classes
    validation: Classes | None
    """None where some of the images to train on are held out; no classes where all of them are for the test."""
    size: int
    images: int | None
    limit: int | None
    """Of images that cannot be decoded."""
    content: Callable[[Path], Encoded] = the_file
    """What is decoded of a path, which otherwise may be but a name."""
    known_whites: Mapping[bool, int] = field(default_factory=dict)
    """See `whites`, where other images have decided them."""
    only_train: bool = False
    """Whether those that are held out, which are the same ones, stay undecoded."""
    unreadable: dict[Path, str] = field(default_factory=dict)
    odd: dict[Path, Picture] = field(default_factory=dict)
    """Of the pictures that are used and of which there is anything to say, all but the pixels."""
    guessed: dict[Path, int] = field(default_factory=dict)
    """What was taken for white in the pictures that are scaled."""

    def chosen(self) -> Chosen:
        """What is used as far as is known now: an image that cannot be decoded is as if it were not there."""
        # A training that has ended is tried on what there is, of whatever classes.
        least = 2 if self.validation is None else 1 if self.validation else 0
        paths, labels = flatten(self._usable(self.train, self.train_folder, least))
        if not paths and self.unreadable:
            path, why = next(iter(self.unreadable.items()))
            raise UserError(
                f"{self.train_folder}: none of {count_of(len(self.unreadable), 'image')} can be used"
                f" ({path.name}: {why}); expected at least 1"
            )
        names = [path.relative_to(self.train_folder).as_posix() for path in paths]
        chosen, held = divide(labels, names, self.images, hold_out=self.validation is None)
        train = [paths[at] for at in chosen], [labels[at] for at in chosen]
        if self.only_train:
            return Chosen(train, ((), ()))
        if self.validation is None:
            return Chosen(train, ([paths[at] for at in held], [labels[at] for at in held]))
        folder = self.validation_folder or self.root
        return Chosen(train, flatten(self._usable(self.validation, folder, 1)))

    def decode(self, chosen: Chosen, target: Target) -> Chosen:
        """Decode what is used, first what is chosen now, until each of it has gone to the target on one scale.

        Raises:
            UserError: too much of it cannot be decoded.
        """
        while True:
            before = len(self.unreadable)
            if self._decoded(chosen, target):
                return chosen
            if len(self.unreadable) > before:
                chosen = self.chosen()

    def _decoded(self, chosen: Chosen, target: Target) -> bool:
        """Whether all of these are now where they go, and none turned out unreadable."""
        wanted = chosen.paths
        self.limit = self.most_unreadable(len(wanted))
        before = len(self.unreadable)
        new = target.missing(chosen)
        self.odd = {path: self.odd[path] for path in wanted if path in self.odd} if self.odd else {}
        extents = extents_of(self.odd.values())
        again = False
        # Closed, so that after too many unreadable ones nobody waits for the others.
        with closing(decode_all(new, self.size, self.content)) as pictures:
            for path, found in zip(new, pictures, strict=True):
                if isinstance(found, str):
                    self._leave_out(path, found)
                    continue
                if found.extent or found.frames or found.transparent:
                    self.odd[path] = replace(found, pixels=np.empty(0, np.uint8))
                if found.extent:
                    floats = found.extent.floats
                    extents[floats] = extents.get(floats, found.extent) | found.extent
                    # White is known when all have been seen; most often the first ones tell.
                    self.guessed[path] = self.known_whites.get(floats) or extents[floats].white or 255
                    target.put(path, scaled(found, {floats: self.guessed[path]}))
                else:
                    target.put(path, scaled(found, {}))
        extents, whites = extents_of(self.odd.values()), self.whites
        for path, picture in list(self.odd.items()):
            if picture.extent is None:
                continue
            white = whites[picture.extent.floats]
            if not white:
                self._leave_out(path, f"{extents[picture.extent.floats]}; {EXPECTED}")
                del self.odd[path]
            if self.guessed[path] != white:
                target.forget(path)
                again = True
        return not again and len(self.unreadable) == before

    def most_unreadable(self, images: int) -> int:
        """How many may turn out unreadable when so many are used."""
        return max(LEAST_UNREADABLE, images // 100) if self.limit is None else self.limit

    @property
    def whites(self) -> dict[bool, int]:
        """The highest value of the integers (False) and of the floats (True) that are used; 0 if it is a guess."""
        extents = extents_of(self.odd.values())
        return {floats: self.known_whites.get(floats) or extent.white for floats, extent in extents.items()}

    @property
    def settled(self) -> bool:
        """Whether what cannot be decoded never can be, as long as its files are the same."""
        return not any(isinstance(why, NotNow) for why in self.unreadable.values())

    def notes(self, paths: Sequence[Path]) -> tuple[str, ...]:
        """What is to be said of these images, which are used, and of those that are not: a line each."""
        odd = [self.odd[path] for path in paths if path in self.odd] if self.odd else []
        return (*self._unreadable_notes(len(paths)), *_picture_notes(odd, self.whites))

    def names(self, paths: Sequence[Path]) -> tuple[str, ...]:
        """Of these images, relative to the folder."""
        return tuple(map(self._name, paths))

    def left_out(self) -> tuple[str, ...]:
        """The images that cannot be decoded, each with the reason."""
        return tuple(f"{self._name(path)}: {shown(why)}" for path, why in sorted(self.unreadable.items()))

    def _usable(self, classes: Classes, folder: Path, least: int) -> dict[str, list[Path]]:
        usable = {name: [p for p in paths if p not in self.unreadable] for name, paths in classes.items()}
        for name, paths in usable.items():
            # A split of the hub may have test images of some classes alone.
            if len(paths) >= least or not classes[name]:
                continue
            expected = f"expected at least {least}{', ' + FOR_VALIDATION if least > 1 else ''}"
            if len(paths) == len(classes[name]):
                raise UserError(f"{folder / name}: one image; {expected}")
            path = next(path for path in classes[name] if path in self.unreadable)
            raise UserError(
                f"{folder / name}: {len(paths)} of {count_of(len(classes[name]), 'image')} can be used"
                f" ({path.name}: {self.unreadable[path]}); {expected}"
            )
        return usable

    def _leave_out(self, path: Path, reason: str) -> None:
        self.unreadable[path] = reason
        if len(self.unreadable) <= (self.limit or 0):
            return
        if not self.limit:
            raise UserError(f"{path}: {reason}")
        first = "; ".join(f"{path}: {why}" for path, why in list(self.unreadable.items())[:NAMED])
        raise UserError(
            f"{first}; ... more than {count_of(self.limit, 'image')} that cannot be used;"
            f" expected whole images, or {setting('max_unreadable')} above their number"
        )

    def _name(self, path: Path) -> str:
        return shown(path.relative_to(self.root).as_posix())

    def _unreadable_notes(self, used: int) -> tuple[str, ...]:
        if not self.unreadable:
            return ()
        names = names_of([self._name(path) for path in sorted(self.unreadable)])
        whole = used + len(self.unreadable)
        return (f"{len(self.unreadable)} of {whole} images cannot be decoded and are left out: {names}",)


def extents_of(pictures: Iterable[Picture]) -> dict[bool, Extent]:
    """The extents of integers (False) and of floats (True) over all pictures that are to be scaled."""
    extents: dict[bool, Extent] = {}
    for picture in pictures:
        if picture.extent is not None:
            floats = picture.extent.floats
            extents[floats] = extents.get(floats, picture.extent) | picture.extent
    return extents


def flatten(classes: Classes) -> tuple[list[Path], list[int]]:
    """The images of all classes and their labels."""
    paths = [path for group in classes.values() for path in group]
    return paths, [label for label, group in enumerate(classes.values()) for _ in group]


def _picture_notes(pictures: Sequence[Picture], whites: Mapping[bool, int]) -> tuple[str, ...]:
    notes = []
    for floats, white in whites.items():
        scaled = sum(p.extent is not None and p.extent.floats == floats for p in pictures)
        kind = "floats" if floats else "more than 8 bits"
        notes.append(f"{count_of(scaled, 'image')} of {kind}: pixels {scaling(white)}")
    frames, transparent = sum(p.frames for p in pictures), sum(p.transparent for p in pictures)
    if frames:
        notes.append(f"{count_of(frames, 'image')} of several frames: the first is used")
    if transparent:
        notes.append(f"{count_of(transparent, 'image')} with transparency: drawn without it")
    return tuple(notes)


def count_of(number: int, noun: str) -> str:
    """A number of things in words."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def apart(here: Sequence[str], there: Sequence[str], place: str) -> str:
    """Which of the classes here and those of another place are not the same, in words: the first few on each side."""
    ours, theirs = (dict.fromkeys(map(composed, names)) for names in (here, there))
    sides = {
        "only here": [name for name in ours if name not in theirs],
        f"only in {place}": [name for name in theirs if name not in ours],
    }
    return (
        "; ".join(f"{side}: {names_of(names)}" for side, names in sides.items() if names) or "another order"
    )


def names_of(names: Sequence[str]) -> str:
    """The first few of them."""
    more = len(names) - NAMED
    return ", ".join(map(shown, names[:NAMED])) + (f" and {more} more" if more > 0 else "")


def shown(name: str) -> str:
    """A name or a reason in one line."""
    # A name may hold bytes that are no text, and line breaks.
    return one_line(name.encode(errors="backslashreplace").decode())
