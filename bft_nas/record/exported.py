"""files.json of a trained network: what files of its exports are worth on its test images. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bft_nas.core.errors import UserError, one_line
from bft_nas.core.files import write_text
from bft_nas.core.units import format_bytes, format_percent
from bft_nas.training.measures import wilson

FILES = "files.json"


@dataclass(frozen=True)
class FileEvaluation:
    """What a file of an export is worth on images that its network was not trained on."""

    file: str
    """Its name."""
    size: int
    """In bytes, with what it reads beside it."""
    split: str
    """``test``, or ``validation`` where there are no test images."""
    images: int
    right: int
    """Of them, predicted correctly."""
    same: int
    """Of them, given the class that the trained network gives them in PyTorch."""

    @property
    def accuracy(self) -> float:
        """From 0 to 1."""
        return self.right / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 percent interval of the accuracy; see `bft_nas.training.measures.wilson`."""
        return wilson(self.right, self.images)

    @property
    def text(self) -> str:
        """For people."""
        found = f"{self.file}: {format_percent(self.accuracy)} of {self.images:,} {self.split} images"
        agreed = f"{format_percent(self.same / self.images)} of them classified as in PyTorch"
        return f"{found}, {agreed}, {format_bytes(self.size)}"


def read_files(folder: Path) -> tuple[FileEvaluation, ...]:
    """Those of a trained network's folder; UserError when they cannot be read."""
    path = folder / FILES
    try:
        return tuple(map(_read, json.loads(path.read_text(encoding="utf-8"))))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path}: expected evaluations of files ({one_line(error)[:120]})") from None


def _read(row: Mapping[str, Any]) -> FileEvaluation:
    counts = (int(row[name]) for name in ("images", "right", "same"))
    found = FileEvaluation(str(row["file"]), int(row["size"]), str(row["split"]), *counts)
    if found.images < 1:
        raise ValueError("no images")
    return found


def add_files(folder: Path, found: Iterable[FileEvaluation]) -> None:
    """Keep evaluations beside those of other files; of one of the same name, the new one stands for the old."""
    kept = {each.file: each for each in (*read_files(folder), *found)}
    write_text(folder / FILES, json.dumps([asdict(each) for each in kept.values()], indent=1) + "\n")
