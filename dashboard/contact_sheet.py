"""Some images of each class on one page, as a network gets them: what is wrong with data is seen soonest by looking."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bft_nas.core.errors import UserError
from bft_nas.core.files import check_writable, write_text
from bft_nas.dashboard._html import facts_list, page_of

if TYPE_CHECKING:
    from bft_nas.data.dataset import Dataset, Pixels

OF_A_CLASS = 8
MOST_CLASSES = 200
MARK = "<!-- bft-nas: a contact sheet -->"
"""By which a page is known for one that may be replaced."""
SHEET = """
.sheet {
  display: grid; grid-template-columns: minmax(8rem, 14rem) 1fr; gap: 10px 20px; align-items: center; margin: 24px 0;
}
.sheet h3 { margin: 0; overflow-wrap: anywhere; }
.sheet div { display: flex; flex-wrap: wrap; gap: 6px; }
.sheet img { width: 96px; height: 96px; object-fit: contain; image-rendering: pixelated; background: var(--panel); }
"""


def write_contact_sheet(path: Path, dataset: Dataset, facts: Sequence[tuple[str, str]]) -> None:
    """Write a page with the first training images of each class, evenly spread over them.

    Args:
        path: the file; an older contact sheet there is replaced.
        dataset: its images.
        facts: what is said of it at the top, names and values.

    Raises:
        UserError: see `check_sheet`.
        RunError: it cannot be written.
    """
    check_sheet(path)
    rows = "".join(_rows(dataset))
    left = len(dataset.classes) - MOST_CLASSES
    more = f'<p class="about">{left} more classes are not shown.</p>' if left > 0 else ""
    content = f'{facts_list(facts)}\n<div class="sheet" role="list">{rows}</div>\n{more}'
    page = page_of(dataset.name, content, style=SHEET, mark=f"{MARK}\n")
    write_text(path, page)


def check_sheet(path: Path) -> None:
    """UserError unless a page can be written to a path: something else is there, or no folder to write."""
    if path.exists() and not _is_sheet(path):
        raise UserError(f"'{path}': exists and is no contact sheet; expected another name")
    if not path.parent.is_dir():
        raise UserError(f"'{path}': expected a folder that there is")
    check_writable(path.parent)


def _is_sheet(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as file:
            return MARK in file.read(200)
    except (OSError, UnicodeDecodeError):
        return False


def _rows(dataset: Dataset) -> Iterator[str]:
    labels = dataset.train.labels
    for label, name in enumerate(dataset.classes[:MOST_CLASSES]):
        places = np.flatnonzero(labels == label)
        chosen = places[
            np.unique(np.linspace(0, len(places) - 1, min(OF_A_CLASS, len(places))).round().astype(int))
        ]
        images = "".join(
            f'<img alt="{escape(name)}" src="data:image/png;base64,{_png(dataset.train.images[at])}">'
            for at in chosen
        )
        yield f'<h3>{escape(name)} <span class="about">{len(places):,}</span></h3><div role="listitem">{images}</div>'


def _png(pixels: Pixels) -> str:
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image.thumbnail((96, 96))
    content = io.BytesIO()
    image.save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()
