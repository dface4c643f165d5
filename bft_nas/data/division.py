"""Which images are trained on and which are held out: it follows from a hash of their names on every machine."""

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bft_nas.core.errors import UserError, one_line, setting
from bft_nas.data.image_files import ImageFiles

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

FOR_VALIDATION = "one of them for validation"


@dataclass(frozen=True, eq=False)
class Split:
    """Images, uint8 of shape (n, height, width, 1 or 3), and their labels, int64 of shape (n,)."""

    images: Pixels
    labels: Labels
    files: ImageFiles | None = None
    """Where the images are decoded each time they are needed; ``images`` then has none of them."""
    left_out: tuple[str, ...] = ()
    """Test images that could not be decoded, each with the reason."""
    names: tuple[str, ...] = ()
    """Of the images to be judged by, relative to their data, where they have any."""


@dataclass(frozen=True, eq=False)
class Parts:
    """What a source holds, as the search uses it."""

    classes: tuple[str, ...]
    train: Split
    validation: Split
    notes: tuple[str, ...] = ()
    """How the source was read, where it could have been read otherwise: a line each."""
    left_out: tuple[str, ...] = ()
    """Images that could not be decoded, each with the reason."""
    kept: str = ""
    """Where the decoded images are, in words, when there was a choice."""
    digest: str = ""
    """When it is known without looking at all pixels."""
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """Of the images to train on, when it is known without looking at all of them; see `Dataset.normalisation`."""
    whites: Mapping[bool, int] = field(default_factory=dict)
    """What was taken for white in images that are scaled; see `bft_nas.data.image_files.ImageFiles`."""


def divide(
    labels: Sequence[int], names: Iterable[str], images: int | None, *, hold_out: bool
) -> tuple[Sequence[int], Sequence[int]]:
    """Chooses the positions to train on, at most ``images``, and those held out, a fifth of each class.

    Both follow from a hash of the names: no listing's order and no library's random numbers matter.
    """
    if not hold_out and (images is None or images >= len(labels)):
        return range(len(labels)), ()
    hashes = [hash_of(name) for name in names]
    groups: dict[int, list[int]] = {}
    for position in sorted(range(len(labels)), key=hashes.__getitem__):
        groups.setdefault(labels[position], []).append(position)
    held: list[int] = []
    turns: list[tuple[bool, float, int, int]] = []
    for label, group in groups.items():
        fifth = max(1, len(group) // 5) if hold_out else 0
        held += group[:fifth]
        kept = group[fifth:]
        # One image of each class comes first; then the classes take turns as often as their sizes demand.
        turns += [(turn > 0, (turn + 0.5) / len(kept), label, at) for turn, at in enumerate(kept)]
    return sorted(turn[-1] for turn in sorted(turns)[:images]), sorted(held)


UNEVEN = 3.0
"""Images of the largest class over those of the smallest one from which it is said."""


def unevenness(split: Split, classes: Sequence[str]) -> str:
    """How much larger the largest class is than the smallest one, in words; empty where they are nearly alike."""
    counts = np.bincount(split.labels, minlength=len(classes))
    if counts.max() < UNEVEN * counts.min():
        return ""
    largest, smallest = (one_line(classes[int(at)]) for at in (counts.argmax(), counts.argmin()))
    return f"{largest} has {counts.max() / counts.min():.1f} times the images of {smallest}"


def hash_of(name: str) -> bytes:
    """8 bytes that stand for a name on every machine."""
    return hashlib.blake2b(composed(name).encode(errors="surrogateescape"), digest_size=8).digest()


def composed(name: str) -> str:
    """A name in the form by which it sorts and hashes alike on file systems that compose accents differently."""
    return unicodedata.normalize("NFC", name)


def same_names(some: Sequence[str], others: Sequence[str]) -> bool:
    """Whether these are the same in the same order, however their accents are composed."""
    return [*map(composed, some)] == [*map(composed, others)]


def check_images(images: int | None, classes: Sequence[str], source: Path | str) -> None:
    """UserError when there would not be an image for each class."""
    if images is not None and images < len(classes):
        raise UserError(
            f"{setting('images')} {images}: expected at least one for each of the {len(classes)} classes of {source}"
        )


def select(split: Split, positions: Sequence[int]) -> Split:
    """The images at these positions."""
    if len(positions) == len(split.labels):
        return split
    return Split(split.images[positions], split.labels[positions])
