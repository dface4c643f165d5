"""How large a source's images are, at a glance: no pixel of them is read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from bft_nas.core.errors import UserError
from bft_nas.data import npz
from bft_nas.data.dataset import BENCHMARKS
from bft_nas.data.decode import EXTENSIONS, Encoded
from bft_nas.data.decoders import no_warnings
from bft_nas.data.folder import identity, is_shown
from bft_nas.data.hub import PREFIX, first_images

GLANCE = 20
"""Images of a folder, or of a data set of the hub, that are looked at."""


def side_of(source: str) -> int | None:
    """The larger side in pixels of the images of a file of arrays, or of the largest of the first images of a folder or
    of a data set of the hub.

    None for the benchmarks, which stand in for larger images, and where there is nothing to see.

    >>> side_of("fashion-mnist")
    """
    if source.partition("=")[0] in BENCHMARKS:
        return None
    try:
        if source.startswith(PREFIX):
            return _largest(first_images(source, GLANCE))
        path = Path(source).expanduser()
        return _largest(_first_files(path)) if path.is_dir() else npz.side_of(path)
    # What is wrong with a source is told by whoever loads it.
    except (OSError, UserError, RuntimeError, ValueError):
        return None


def _first_files(folder: Path) -> Iterable[Path]:
    files = (path for path in _in_order(folder) if path.suffix.lower().lstrip(".") in EXTENSIONS)
    return islice(files, GLANCE)


def _in_order(folder: Path) -> Iterator[Path]:
    """All files, of which no folder is listed before one of its files is asked for: there may be millions.

    As where they are loaded, links are followed, no folder is listed twice, and nothing hidden is seen.
    """
    seen = {identity(parent) for parent in (folder, *folder.resolve().parents)}
    for place, folders, names in os.walk(folder, followlinks=True):
        below = {identity(Path(place, name)): name for name in sorted(folders) if is_shown(name)}
        folders[:] = [name for key, name in below.items() if key not in seen]
        seen.update(below)
        yield from (Path(place, name) for name in sorted(names) if is_shown(name))


def _largest(images: Iterable[Encoded]) -> int | None:
    from PIL import Image

    sides = []
    for encoded in images:
        try:
            with no_warnings(), Image.open(encoded) as image:
                sides.append(max(image.size))
        except Exception:
            # Files that are damaged in any way are named when they are loaded.
            continue
    return max(sides, default=None)
