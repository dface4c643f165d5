"""Labelled images of a data set of the Hugging Face hub, or of a folder that its library ``datasets`` reads.

The library downloads, and keeps what it downloads; nothing of a data set is executed or unpickled. Decoded images are
in memory, whatever they take: whether those of a cache are still the same is told by the files that they were decoded
from, and here there are none.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from bft_nas.core.errors import UserError, one_line
from bft_nas.core.extras import require
from bft_nas.data.decode import Encoded
from bft_nas.data.division import Labels, Parts, Split, check_images
from bft_nas.data.keeping import read, read_all
from bft_nas.data.reading import Reader, apart

PREFIX = "hf:"
FORM = "hf:NAME[:CONFIG]"

_TRAIN, _TEST = "train", "test"
_VALIDATION = ("validation", "valid", "val", "dev")
_FIRST_VERSION = 4
"""Of the library: those before it run the code that comes with a data set."""
_NAMED = 20


@dataclass(frozen=True, eq=False)
class Place:
    """Where a data set is: a folder, or a name on the hub."""

    name: str
    config: str | None
    local: bool


def place_of(source: str) -> Place:
    """What ``hf:NAME[:CONFIG]`` names; a folder goes before a name on the hub. UserError when it is neither."""
    text = source.removeprefix(PREFIX)
    name, _, config = text.rpartition(":")
    for path, its_config in ((text, None), (name, config or None)):
        try:
            folder = Path(path).expanduser()
            if path and folder.is_dir():
                return Place(str(folder.absolute()), its_config, local=True)
        except (OSError, RuntimeError):
            continue
    if not text or text.startswith(("/", ".", "~")):
        raise UserError(f"{source}: no such folder; expected {FORM}, a name on the hub or a folder")
    return Place(name, config, local=False) if name else Place(text, None, local=False)


def load_hub(source: str, size: int, images: int | None, max_unreadable: int | None) -> Parts:
    """Reads what is trained on and what is held out; see `bft_nas.data.dataset.load_dataset`."""
    reader, notes = _reader(source, size, images, max_unreadable)
    return read(reader, notes, None)


def load_hub_training(source: str, size: int, images: int | None, max_unreadable: int | None) -> Split:
    """Reads what is trained on alone; see `bft_nas.data.dataset.load_training`."""
    reader, _ = _reader(source, size, images, max_unreadable)
    return read_all(replace(reader, only_train=True), None)


def _reader(
    source: str, size: int, images: int | None, max_unreadable: int | None
) -> tuple[Reader, tuple[str, ...]]:
    """Of what is trained on and what is held out, and what is left out: a line."""
    tables = _tables(source)
    train = _train_of(source, tables)
    found = next((name for name in _VALIDATION if name in tables), None)
    validation = None if found is None else _Table.of(source, found, tables[found], like=train)
    parts = [train] if validation is None else [train, validation]
    classes = [part.classes_of_all() for part in parts]
    check_images(images, train.classes, source)
    reader = Reader(
        Path(source),
        train.folder,
        None if validation is None else validation.folder,
        classes[0],
        None if validation is None else classes[1],
        size,
        images,
        max_unreadable,
        _content_of(parts),
    )
    used = {_TEST, *(part.folder.name for part in parts)}
    unused = [one_line(name) for name in tables if name not in used]
    notes = (f"splits left out: {', '.join(unused[:_NAMED])}",) if unused else ()
    return reader, notes


def has_hub_test(source: str) -> bool:
    """Whether a data set has test images with their labels, which some keep to themselves."""
    return _test_of(source) is not None


def load_hub_test(source: str, size: int, whites: Mapping[bool, int]) -> Split:
    """Reads the test images; see `bft_nas.data.dataset.load_test`."""
    test = _test_of(source)
    if test is None:
        raise UserError(f"{source}: no test images; expected a split {_TEST} with labels")
    reader = Reader(
        Path(source), test.folder, None, test.by_class(), {}, size, None, None, _content_of([test]), whites
    )
    return read_all(reader, None)


def first_images(source: str, count: int) -> list[Encoded]:
    """So many of those to train on, as they are. UserError as for all of them."""
    train = _train_of(source, _tables(source))
    return list(map(train.content, range(min(count, len(train.labels)))))


@dataclass(frozen=True, eq=False)
class _Table:
    """A split: its images, encoded, and their labels."""

    folder: Path
    """That it would be: ``hf:NAME/SPLIT``; an image in it is named by its row."""
    rows: Any
    column: str
    classes: tuple[str, ...]
    labels: Labels
    """-1 where there is none."""

    @classmethod
    def of(cls, source: str, split: str, table: Any, *, like: _Table | None = None) -> _Table:
        """UserError unless there is one column of images, and one of labels whose classes are ``like``'s."""
        import datasets

        folder = Path(source) / split
        column, label = (_column(folder, table, kind) for kind in (datasets.Image, datasets.ClassLabel))
        classes = tuple(table.features[label].names)
        if len(classes) < 2:
            raise UserError(f"{folder}: {label} has {len(classes)} class; expected at least 2")
        if like is not None and classes != like.classes:
            told = apart(classes, like.classes, like.folder.name)
            raise UserError(f"{folder}: other classes than in {like.folder.name}; {told}; expected the same")
        values = table.with_format("arrow")[:][label].fill_null(-1)
        rows = table.with_format(None).cast_column(column, datasets.Image(decode=False))
        return cls(folder, rows, column, classes, np.asarray(values.to_numpy(), np.int64))

    def content(self, row: int) -> Encoded:
        """An image as it is encoded."""
        value = self.rows[row][self.column] or {}
        content, path = value.get("bytes"), value.get("path")
        return Path(path) if content is None and path else BytesIO(content or b"")

    def by_class(self) -> dict[str, list[Path]]:
        """The names of the images of each class, in the order of the labels."""
        return {
            name: [self.folder / str(row) for row in np.flatnonzero(self.labels == label)]
            for label, name in enumerate(self.classes)
        }

    def classes_of_all(self) -> dict[str, list[Path]]:
        """As `by_class`. UserError when an image has no class or a class no image."""
        without = np.flatnonzero(self.labels < 0)
        if len(without):
            raise UserError(
                f"{self.folder / str(without[0])}: no label, as {len(without)} images of {len(self.labels)}; "
                "expected a class for each"
            )
        found = self.by_class()
        for name, images in found.items():
            if not images:
                raise UserError(f"{self.folder}: no images of class {name}; expected some of each class")
        return found


def _content_of(tables: Sequence[_Table]) -> Callable[[Path], Encoded]:
    """What gives the images of splits by their names."""
    by_folder = {table.folder: table for table in tables}
    return lambda path: by_folder[path.parent].content(int(path.name))


def _column(folder: Path, table: Any, kind: type) -> str:
    found = [name for name, feature in table.features.items() if isinstance(feature, kind)]
    if len(found) == 1:
        return str(found[0])
    columns = [f"{one_line(name)} ({_kind_of(feature)})" for name, feature in table.features.items()]
    said = f"several columns of {kind.__name__}" if found else f"no column of {kind.__name__}"
    raise UserError(f"{folder}: {said}; expected one; its columns are {', '.join(columns[:_NAMED])}")


def _kind_of(feature: Any) -> str:
    import datasets

    return str(feature.dtype) if isinstance(feature, datasets.Value) else type(feature).__name__


def _train_of(source: str, tables: Mapping[str, Any]) -> _Table:
    name = _TRAIN if _TRAIN in tables or len(tables) != 1 else next(iter(tables))
    if name not in tables or name in (_TEST, *_VALIDATION):
        splits = ", ".join(map(one_line, tables)) or "none"
        raise UserError(f"{source}: no split {_TRAIN}; expected one, its splits are {splits}")
    return _Table.of(source, name, tables[name])


def _test_of(source: str) -> _Table | None:
    tables = _tables(source)
    if _TEST not in tables:
        return None
    test = _Table.of(source, _TEST, tables[_TEST], like=_train_of(source, tables))
    return test if len(test.labels) and test.labels.min() >= 0 else None


def _tables(source: str) -> Mapping[str, Any]:
    """The splits of a data set by their names."""
    require("hf", source)
    import datasets

    if int(datasets.__version__.partition(".")[0]) < _FIRST_VERSION:
        raise UserError(
            f"{source}: datasets {datasets.__version__} runs code of data sets; expected {_FIRST_VERSION} or newer"
        )
    place = place_of(source)
    try:
        with _quiet():
            saved = place.local and place.config is None and _is_saved(Path(place.name))
            found = (
                datasets.load_from_disk(place.name)
                if saved
                else datasets.load_dataset(place.name, place.config)
            )
    except (MemoryError, UserError):
        raise
    # The library, and those that it downloads and reads with, have an exception for everything.
    except Exception as error:
        reason = one_line(error.__cause__ if isinstance(error.__cause__, Exception) else error)
        raise UserError(f"{source}: cannot be loaded ({reason[:300]}); expected {FORM} or a folder") from None
    return {_TRAIN: found} if isinstance(found, datasets.Dataset) else dict(found)


def _is_saved(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the library remarks; what it downloads is seen where somebody looks."""
    import datasets
    import huggingface_hub

    loggers = (datasets.logging, huggingface_hub.logging)
    before = [logger.get_verbosity() for logger in loggers]
    hidden = not sys.stderr.isatty() and not datasets.are_progress_bars_disabled()
    for logger in loggers:
        logger.set_verbosity(logger.CRITICAL)
    if hidden:
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        for logger, verbosity in zip(loggers, before, strict=True):
            logger.set_verbosity(verbosity)
        if hidden:
            datasets.enable_progress_bars()
