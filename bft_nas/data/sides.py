"""How large a source's images are, at a glance: no pixel of them is read."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from bft_nas.core.errors import UserError
from bft_nas.data import npz
from bft_nas.data.dataset import BENCHMARKS
from bft_nas.data.decode import EXTENSIONS

GLANCE = 20
"""Images of a folder that are looked at."""


def side_of(source: str) -> int | None:
    """The larger side in pixels of the images of a file of arrays, or of the largest of the first images of a folder.

    None for the benchmarks, which stand in for larger images, and where there is nothing to see.

    >>> side_of("fashion-mnist")
    """
    if source.partition("=")[0] in BENCHMARKS:
        return None
    try:
        path = Path(source).expanduser()
        return _of_folder(path) if path.is_dir() else npz.side_of(path)
    # What is wrong with a source is told by whoever loads it.
    except (OSError, UserError, RuntimeError, ValueError):
        return None


def _of_folder(folder: Path) -> int | None:
    from PIL import Image

    files = (path for path in sorted(folder.rglob("*")) if path.suffix.lower().lstrip(".") in EXTENSIONS)
    sides = []
    for path in islice(files, GLANCE):
        try:
            with Image.open(path) as image:
                sides.append(max(image.size))
        except Exception:
            # Files that are damaged in any way are named when they are loaded.
            continue
    return max(sides, default=None)
