"""Labelled images from a folder with one folder of images for each class."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bft_nas.core.errors import UserError, one_line
from bft_nas.data.decode import EXTENSIONS, Picture, decode_all
from bft_nas.data.division import FOR_VALIDATION, Parts, Split, check_images, composed, divide
from bft_nas.data.pixels import EXPECTED, Extent, scaling, to_bytes

Classes = Mapping[str, Sequence[Path]]

LEAST_UNREADABLE = 20

_VALIDATION_FOLDERS = ("val", "valid", "validation")
_TEST_FOLDER = "test"
_NAMED = 3


def load_folder(root: Path, size: int, images: int | None, max_unreadable: int | None) -> Parts:
    """Reads what is trained on and what is held out; see `bft_nas.data.dataset.load_dataset`."""
    train_folder, validation_folder = _find_parts(root)
    found = _Found()
    train = _list_classes(train_folder, root, found)
    if validation_folder is None:
        validation: Classes | None = None
    else:
        validation = _list_classes(validation_folder, root, found)
        _check_same_classes(train_folder, train, validation_folder, validation)
    check_images(images, tuple(train), root)
    if train_folder != root:
        used = {train_folder, validation_folder, root / _TEST_FOLDER}
        found.unused_folders = [entry.name for entry in _folders(root) if entry not in used]
    reader = _Reader(root, train_folder, validation_folder, size, images, max_unreadable)
    return reader.read(train, validation, found.notes())


def has_folder_test(root: Path) -> bool:
    """Whether a folder has test images, in a folder beside those for training."""
    return (root / _TEST_FOLDER).is_dir()


def load_folder_test(root: Path, size: int) -> Split:
    """Reads the test images, every one; see `bft_nas.data.dataset.load_test`."""
    test_folder = root / _TEST_FOLDER
    if not has_folder_test(root):
        raise UserError(f"{root}: no test images; expected a folder test/ with one folder per class")
    train_folder, _ = _find_parts(root)
    train, test = _list_classes(train_folder, root, _Found()), _list_classes(test_folder, root, _Found())
    _check_same_classes(train_folder, train, test_folder, test)
    paths, labels = _flatten(test)
    return _Reader(root, test_folder, test_folder, size, None, 0).decode_part(paths, labels)


# Which files there are


@dataclass
class _Found:
    """What a listing came upon beside the images that lie where they are expected."""

    below: int = 0
    tests: int = 0
    links: int = 0
    beside: int = 0
    others: Counter[str] = field(default_factory=Counter)
    unused_folders: list[str] = field(default_factory=list)

    def notes(self) -> tuple[str, ...]:
        """A line for each kind."""
        endings = ", ".join(f"{count} {suffix}" for suffix, count in self.others.most_common(_NAMED))
        said = {
            f"{_count(self.below, 'image')} in folders below a class's own used": self.below,
            f"{_count(self.tests, 'folder')} named test below a class left out": self.tests,
            f"{_count(self.links, 'link')} to a folder that is read already not followed": self.links,
            f"{_count(self.beside, 'image')} beside the class folders left out": self.beside,
            f"{_count(self.others.total(), 'file')} without the ending of an image left out: {endings}"
            f"{', ...' if len(self.others) > _NAMED else ''}": self.others.total(),
            f"folders beside train/ left out: {_names(self.unused_folders)}": self.unused_folders,
        }
        return tuple(note for note, any_such in said.items() if any_such)


def _find_parts(root: Path) -> tuple[Path, Path | None]:
    """The folders that hold the classes for training and, if there is one, for validation."""
    train = root / "train"
    for name in _VALIDATION_FOLDERS:
        if train.is_dir() and (root / name).is_dir():
            return train, root / name
    # A folder of images called train may also be a class.
    if train.is_dir() and _folders(train) and not any(map(_is_image, _visible(train))):
        return train, None
    return root, None


def _list_classes(folder: Path, root: Path, found: _Found) -> dict[str, list[Path]]:
    """The images of each class in the order of their names; class names in the order of their labels."""
    folders = []
    for entry in _visible(folder):
        if not entry.is_dir():
            found.beside += _is_image(entry)
        elif entry != root / _TEST_FOLDER:
            folders.append(entry)
    if not folders:
        raise UserError(f"{folder}: no class folders; expected one folder of images per class")
    above = {_identity(parent) for parent in (folder, *root.resolve().parents, root)}
    looping = [entry for entry in folders if _identity(entry) in above]
    if looping:
        raise UserError(f"{looping[0]}: a link to a folder above it; expected one folder of images per class")
    if len(folders) == 1:
        raise UserError(f"{folder}: only one class, {folders[0].name}; expected at least 2 class folders")
    classes = {entry.name: _images_below(entry, above, found) for entry in folders}
    for name, paths in classes.items():
        if not paths:
            raise UserError(f"{folder / name}: no images; expected files ending in {', '.join(EXTENSIONS)}")
    return classes


def _images_below(folder: Path, above: set[tuple[int, int]], found: _Found) -> list[Path]:
    """The images in a class's folder and in those below it, each of which is read once, whatever links there are."""
    images: list[Path] = []
    seen = above | {_identity(folder)}
    waiting = [folder]
    for place in waiting:
        for entry in _visible(place):
            if entry.is_dir():
                if entry.name.lower() == _TEST_FOLDER:
                    found.tests += 1
                elif _identity(entry) in seen:
                    found.links += 1
                else:
                    seen.add(_identity(entry))
                    waiting.append(entry)
            elif entry.suffix[1:].lower() in EXTENSIONS:
                images.append(entry)
                found.below += place != folder
            else:
                found.others[entry.suffix.lower() or "without any"] += 1
    return sorted(images, key=lambda image: tuple(map(composed, image.relative_to(folder).parts)))


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _folders(folder: Path) -> list[Path]:
    return [entry for entry in _visible(folder) if entry.is_dir()]


def _is_image(entry: Path) -> bool:
    # A link that leads nowhere counts as an image here, so that decoding reports it.
    return entry.suffix[1:].lower() in EXTENSIONS and not entry.is_dir()


def _visible(folder: Path) -> list[Path]:
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    return sorted(entries, key=lambda entry: composed(entry.name))


def _check_same_classes(
    train_folder: Path, train: Mapping[str, object], other_folder: Path, other: Mapping[str, object]
) -> None:
    for folder, here, there in ((train_folder, train, other), (other_folder, other, train)):
        extra = [name for name in here if name not in there]
        if extra:
            both = f"{train_folder.name}/ and {other_folder.name}/"
            raise UserError(f"{folder}: only here: {', '.join(extra)}; expected the same classes in {both}")


def _flatten(classes: Classes) -> tuple[list[Path], list[int]]:
    paths = [path for group in classes.values() for path in group]
    return paths, [label for label, group in enumerate(classes.values()) for _ in group]


# Their pixels


@dataclass
class _Reader:
    """Decodes what is used of a folder, and chooses again when some of it cannot be decoded."""

    root: Path
    train_folder: Path
    validation_folder: Path | None
    size: int
    images: int | None
    limit: int | None
    """Of images that cannot be decoded."""
    pictures: dict[Path, Picture] = field(default_factory=dict)
    unreadable: dict[Path, str] = field(default_factory=dict)

    def read(self, train: Classes, validation: Classes | None, notes: tuple[str, ...]) -> Parts:
        """An image that cannot be decoded is as if it were not there: the next one takes its place."""
        while True:
            usable = self._usable(train, self.train_folder, 1 if validation else 2)
            paths, labels = _flatten(usable)
            names = [path.relative_to(self.train_folder).as_posix() for path in paths]
            chosen, held = divide(labels, names, self.images, hold_out=validation is None)
            trained = [paths[at] for at in chosen], [labels[at] for at in chosen]
            if validation is None:
                held_out = [paths[at] for at in held], [labels[at] for at in held]
            else:
                held_out = _flatten(self._usable(validation, self.validation_folder or self.root, 1))
            if self._decoded((*trained[0], *held_out[0])):
                break
        used = [self.pictures[path] for path in (*trained[0], *held_out[0])]
        whites = _whites(used)
        left_out = tuple(
            f"{self._name(path)}: {_shown(why)}" for path, why in sorted(self.unreadable.items())
        )
        return Parts(
            tuple(train),
            self._stacked(*trained, whites),
            self._stacked(*held_out, whites),
            (*self._unreadable_notes(len(used)), *_picture_notes(used, whites), *notes),
            left_out,
        )

    def decode_part(self, paths: Sequence[Path], labels: Sequence[int]) -> Split:
        """All of these images, one of which must not be unreadable."""
        self._decoded(paths)
        return self._stacked(paths, labels, _whites(self.pictures.values()))

    def _usable(self, classes: Classes, folder: Path, least: int) -> dict[str, list[Path]]:
        usable = {name: [p for p in paths if p not in self.unreadable] for name, paths in classes.items()}
        for name, paths in usable.items():
            if len(paths) >= least:
                continue
            expected = f"expected at least {least}{', ' + FOR_VALIDATION if least > 1 else ''}"
            if len(paths) == len(classes[name]):
                raise UserError(f"{folder / name}: one image; {expected}")
            path = next(path for path in classes[name] if path in self.unreadable)
            raise UserError(
                f"{folder / name}: {len(paths)} of {_count(len(classes[name]), 'image')} can be used"
                f" ({path.name}: {self.unreadable[path]}); {expected}"
            )
        return usable

    def _decoded(self, wanted: Sequence[Path]) -> bool:
        """Whether each of the images wanted now has its picture; those that have none are among the unreadable."""
        if self.limit is None:
            self.limit = max(LEAST_UNREADABLE, len(wanted) // 100)
        before = len(self.unreadable)
        new = [path for path in wanted if path not in self.pictures]
        # Closed, so that after too many unreadable ones nobody waits for the others.
        with closing(decode_all(new, self.size)) as pictures:
            for path, found in zip(new, pictures, strict=True):
                if isinstance(found, str):
                    self._leave_out(path, found)
                else:
                    self.pictures[path] = found
        extents = _extents(self.pictures[path] for path in wanted if path in self.pictures)
        unscaled = {floats: extent for floats, extent in extents.items() if not extent.white}
        for path in wanted if unscaled else ():
            picture = self.pictures.get(path)
            if picture and picture.extent and picture.extent.floats in unscaled:
                self._leave_out(path, f"{unscaled[picture.extent.floats]}; {EXPECTED}")
                del self.pictures[path]
        return len(self.unreadable) == before

    def _leave_out(self, path: Path, reason: str) -> None:
        self.unreadable[path] = reason
        if len(self.unreadable) <= (self.limit or 0):
            return
        if not self.limit:
            raise UserError(f"{path}: {reason}")
        first = "; ".join(f"{path}: {why}" for path, why in list(self.unreadable.items())[:_NAMED])
        raise UserError(
            f"{first}; ... more than {_count(self.limit, 'image')} that cannot be used;"
            " expected whole images, or max_unreadable above their number"
        )

    def _name(self, path: Path) -> str:
        return _shown(path.relative_to(self.root).as_posix())

    def _unreadable_notes(self, used: int) -> tuple[str, ...]:
        if not self.unreadable:
            return ()
        names = _names([self._name(path) for path in sorted(self.unreadable)])
        whole = used + len(self.unreadable)
        return (f"{len(self.unreadable)} of {whole} images cannot be decoded and are left out: {names}",)

    def _stacked(self, paths: Sequence[Path], labels: Sequence[int], whites: Mapping[bool, int]) -> Split:
        images = np.empty((len(paths), self.size, self.size, 3), np.uint8)
        for at, path in enumerate(paths):
            # Taken out, so that the pixels are in memory once.
            picture = self.pictures.pop(path)
            if picture.extent is None:
                images[at] = picture.pixels
            else:
                images[at] = to_bytes(picture.pixels, whites[picture.extent.floats])[..., None]
        return Split(images, np.array(labels, np.int64))


def _extents(pictures: Iterable[Picture]) -> dict[bool, Extent]:
    """The extents of integers (False) and of floats (True) over all pictures that are to be scaled."""
    extents: dict[bool, Extent] = {}
    for picture in pictures:
        if picture.extent is not None:
            floats = picture.extent.floats
            extents[floats] = extents.get(floats, picture.extent) | picture.extent
    return extents


def _whites(pictures: Iterable[Picture]) -> dict[bool, int]:
    return {floats: extent.white for floats, extent in _extents(pictures).items()}


def _picture_notes(pictures: Sequence[Picture], whites: Mapping[bool, int]) -> tuple[str, ...]:
    notes = []
    for floats, white in whites.items():
        scaled = sum(p.extent is not None and p.extent.floats == floats for p in pictures)
        kind = "floats" if floats else "more than 8 bits"
        notes.append(f"{_count(scaled, 'image')} of {kind}: pixels {scaling(white)}")
    frames, transparent = sum(p.frames for p in pictures), sum(p.transparent for p in pictures)
    if frames:
        notes.append(f"{_count(frames, 'image')} of several frames: the first is used")
    if transparent:
        notes.append(f"{_count(transparent, 'image')} with transparency: drawn without it")
    return tuple(notes)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _names(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(map(_shown, names[:_NAMED])) + (f" and {more} more" if more > 0 else "")


def _shown(name: str) -> str:
    # A name may hold bytes that are no text, and line breaks.
    return one_line(name.encode(errors="backslashreplace").decode())
