"""Labelled images from a folder with one folder of images for each class."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bft_nas.core.errors import UserError
from bft_nas.data.decode import EXTENSIONS
from bft_nas.data.division import Parts, Split, check_images, composed
from bft_nas.data.keeping import Room, read, read_all
from bft_nas.data.reading import NAMED, Classes, Reader, apart, count_of, names_of

# The most usual names come first, and each of them before any that is written with capitals.
_TRAIN_FOLDERS = ("train", "training")
_VALIDATION_FOLDERS = ("val", "valid", "validation", "dev")
_TEST_FOLDERS = ("test", "testing")
# What a Mac packs of its own beside the images: a zip made there brings it along.
_OF_MACS = "__MACOSX"


def load_folder(
    root: Path, size: int, images: int | None, max_unreadable: int | None, room: Room | None = None
) -> Parts:
    """Reads what is trained on and what is held out; see `bft_nas.data.dataset.load_dataset`."""
    reader, notes = _reader(root, size, images, max_unreadable)
    return read(reader, notes, room)


def load_folder_training(
    root: Path, size: int, images: int | None, max_unreadable: int | None, room: Room | None
) -> Split:
    """Reads what is trained on alone; see `bft_nas.data.dataset.load_training`."""
    reader, _ = _reader(root, size, images, max_unreadable)
    return read_all(replace(reader, only_train=True), room)


def _reader(
    root: Path, size: int, images: int | None, max_unreadable: int | None
) -> tuple[Reader, tuple[str, ...]]:
    """Of what is trained on and what is held out, and how the folder was read: a line each."""
    train_folder, validation_folder = _find_parts(root)
    found = _Found()
    train = _list_classes(train_folder, root, found)
    validation = None
    if validation_folder is not None:
        validation = _list_classes(validation_folder, root, found)
        _check_same_classes(train_folder, train, validation_folder, validation)
    check_images(images, tuple(train), root)
    if train_folder != root:
        used = {train_folder, validation_folder, _test_folder(root)}
        found.train = train_folder.name
        found.unused_folders = [entry.name for entry in _folders(root) if entry not in used]
    reader = Reader(root, train_folder, validation_folder, train, validation, size, images, max_unreadable)
    return reader, found.notes()


def has_folder_test(root: Path) -> bool:
    """Whether a folder has test images, in a folder beside those for training."""
    return _test_folder(root) is not None


def folder_test_classes(root: Path) -> Classes:
    """The test images of each class, in the order of the labels. UserError unless the classes are those of training."""
    return _test_classes(root)[1]


def load_folder_test(root: Path, size: int, whites: Mapping[bool, int], room: Room | None = None) -> Split:
    """Reads the test images; see `bft_nas.data.dataset.load_test`."""
    folder, test = _test_classes(root)
    reader = Reader(root, folder, None, test, {}, size, None, None, known_whites=whites)
    return read_all(reader, room)


def _test_classes(root: Path) -> tuple[Path, dict[str, list[Path]]]:
    test_folder = _test_folder(root)
    if test_folder is None:
        raise UserError(f"{root}: no test images; expected a folder test/ with one folder per class")
    train_folder, _ = _find_parts(root)
    train, test = _list_classes(train_folder, root, _Found()), _list_classes(test_folder, root, _Found())
    _check_same_classes(train_folder, train, test_folder, test)
    return test_folder, test


# Which files there are


@dataclass
class _Found:
    """What a listing came upon beside the images that lie where they are expected."""

    below: int = 0
    tests: list[str] = field(default_factory=list)
    links: int = 0
    beside: int = 0
    others: Counter[str] = field(default_factory=Counter)
    train: str = _TRAIN_FOLDERS[0]
    unused_folders: list[str] = field(default_factory=list)

    def notes(self) -> tuple[str, ...]:
        """A line for each kind."""
        endings = ", ".join(f"{count} {suffix}" for suffix, count in self.others.most_common(NAMED))
        said = {
            f"{count_of(self.below, 'image')} in folders below a class's own used": self.below,
            f"{count_of(len(self.tests), 'folder')} named {names_of(sorted(set(self.tests)))} below a class left out": (
                self.tests
            ),
            f"{count_of(self.links, 'link')} to a folder that is read already not followed": self.links,
            f"{count_of(self.beside, 'image')} beside the class folders left out": self.beside,
            f"{count_of(self.others.total(), 'file')} without the ending of an image left out: {endings}"
            f"{', ...' if len(self.others) > NAMED else ''}": self.others.total(),
            f"folders beside {self.train}/ left out: {names_of(self.unused_folders)}": self.unused_folders,
        }
        return tuple(note for note, any_such in said.items() if any_such)


def _find_parts(root: Path) -> tuple[Path, Path | None]:
    """The folders that hold the classes for training and, if there is one, for validation."""
    train, validation = _named(root, _TRAIN_FOLDERS), _named(root, _VALIDATION_FOLDERS)
    # A folder of images called train may also be a class.
    if train and (validation or _holds_classes(train)):
        return train, validation
    return root, None


def _test_folder(root: Path) -> Path | None:
    """That of the test images, if there is one."""
    return _named(root, _TEST_FOLDERS, _is_test)


def _is_test(folder: Path) -> bool:
    # A folder of images called testing may also be a class; one called test is never trained on.
    name = folder.name.lower()
    return name == _TEST_FOLDERS[0] or (name in _TEST_FOLDERS and _holds_classes(folder))


def _holds_classes(folder: Path) -> bool:
    return bool(_folders(folder)) and not any(map(_is_image, _visible(folder)))


def _named(
    root: Path, names: Sequence[str], is_one: Callable[[Path], bool] = lambda folder: True
) -> Path | None:
    """The folder that has the first of these names; where none has one of them, in whatever case it is written."""
    folders = [folder for folder in _folders(root) if folder.name.lower() in names and is_one(folder)]
    return min(
        folders,
        key=lambda folder: (folder.name not in names, names.index(folder.name.lower())),
        default=None,
    )


def _list_classes(folder: Path, root: Path, found: _Found) -> dict[str, list[Path]]:
    """The images of each class in the order of their names; class names, composed, in the order of their labels."""
    folders = []
    for entry in _visible(folder):
        if not entry.is_dir():
            found.beside += _is_image(entry)
        elif folder != root or not _is_test(entry):
            folders.append(entry)
    if not folders:
        raise UserError(f"{folder}: no class folders; expected one folder of images per class")
    above = {identity(parent) for parent in (folder, *root.resolve().parents, root)}
    looping = [entry for entry in folders if identity(entry) in above]
    if looping:
        raise UserError(f"{looping[0]}: a link to a folder above it; expected one folder of images per class")
    if len(folders) == 1:
        # As after unzipping photos.zip, which has a folder photos, into a folder photos.
        inside = _holds_classes(folders[0]) and len(_folders(folders[0])) > 1
        meant = f"; those in {folders[0]} may be meant" if inside else ""
        raise UserError(
            f"{folder}: only one class, {folders[0].name}; expected at least 2 class folders{meant}"
        )
    classes: dict[str, list[Path]] = {}
    for entry in folders:
        # One class may be there in two ways of composing its accents: that of one system in train/, of another in val/.
        name = composed(entry.name)
        if name in classes:
            raise UserError(
                f"{folder}: two folders named {name}, whose accents are composed differently; expected one"
            )
        classes[name] = _images_below(entry, above, found)
        if not classes[name]:
            raise UserError(f"{entry}: no images; expected files ending in {', '.join(EXTENSIONS)}")
    return classes


def _images_below(folder: Path, above: set[tuple[int, int]], found: _Found) -> list[Path]:
    """The images in a class's folder and in those below it, each of which is read once, whatever links there are."""
    images: list[Path] = []
    seen = above | {identity(folder)}
    waiting = [folder]
    for place in waiting:
        for entry in _visible(place):
            if entry.is_dir():
                if entry.name.lower() in _TEST_FOLDERS:
                    found.tests.append(entry.name)
                elif identity(entry) in seen:
                    found.links += 1
                else:
                    seen.add(identity(entry))
                    waiting.append(entry)
            elif entry.suffix[1:].lower() in EXTENSIONS:
                images.append(entry)
                found.below += place != folder
            else:
                found.others[entry.suffix.lower() or "without any"] += 1
    return sorted(images, key=lambda image: _order(image.relative_to(folder)))


def identity(folder: Path) -> tuple[int, int]:
    """What a folder and all links to it have in common."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def is_shown(name: str) -> bool:
    """Whether a file or folder of this name is somebody's own, and not one that a system keeps beside them."""
    return not name.startswith(".") and name != _OF_MACS


def _folders(folder: Path) -> list[Path]:
    return [entry for entry in _visible(folder) if entry.is_dir()]


def _is_image(entry: Path) -> bool:
    # A link that leads nowhere counts as an image here, so that decoding reports it.
    return entry.suffix[1:].lower() in EXTENSIONS and not entry.is_dir()


def _visible(folder: Path) -> list[Path]:
    entries = [entry for entry in folder.iterdir() if is_shown(entry.name)]
    return sorted(entries, key=lambda entry: _order(Path(entry.name)))


def _order(path: Path) -> tuple[tuple[str, ...], Path]:
    # One name may be there in two ways of composing its accents.
    return tuple(map(composed, path.parts)), path


def _check_same_classes(
    train_folder: Path, train: Mapping[str, object], other_folder: Path, other: Mapping[str, object]
) -> None:
    if train.keys() == other.keys():
        return
    parts = [(train_folder, train), (other_folder, other)]
    if train.keys() < other.keys():
        parts.reverse()
    (folder, here), (elsewhere, there) = parts
    raise UserError(
        f"{folder}: {apart([*here], [*there], f'{elsewhere.name}/')}; expected the same classes in "
        f"{train_folder.name}/ and {other_folder.name}/"
    )
