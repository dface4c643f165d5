"""Pictures that are both trained on and held out: of these a validation tells what is remembered."""

from __future__ import annotations

import hashlib

from bft_nas.data.division import Pixels, Split
from bft_nas.data.reading import names_of


def doubles(train: Split, validation: Split) -> str:
    """How many held-out images are trained on too, to the pixel, in words with some names; empty where none is.

    Args:
        train, validation: of decoded images; where they are decoded as they are needed nothing is said.
    """
    labels: dict[bytes, set[int]] = {}
    for image, label in zip(train.images, train.labels.tolist(), strict=False):
        labels.setdefault(_of(image), set()).add(label)
    held = {}
    for at, (image, label) in enumerate(zip(validation.images, validation.labels.tolist(), strict=False)):
        if known := labels.get(_of(image)):
            held[at] = bool(known - {label})
    if not held:
        return ""
    names = f": {names_of([validation.names[at] for at in held])}" if validation.names else ""
    other = sum(held.values())
    mislabelled = f", {other:,} of them as another class" if other else ""
    return f"{len(held):,} of {len(validation.labels):,} images to validate are also trained on{mislabelled}{names}"


def _of(image: Pixels) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()
