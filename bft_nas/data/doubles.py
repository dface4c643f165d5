"""Pictures that are both trained on and held out: of these a validation tells what is remembered."""

from __future__ import annotations

import hashlib

from bft_nas.data.division import Pixels, Split

_NAMED = 3


def doubles(train: Split, validation: Split) -> str:
    """How many held-out images are trained on too, to the pixel, in words with some names; empty where none is.

    Args:
        train, validation: of decoded images; where they are decoded as they are needed nothing is said.
    """
    labels: dict[bytes, set[int]] = {}
    for image, label in zip(train.images, train.labels.tolist(), strict=False):
        labels.setdefault(_of(image), set()).add(label)
    held = [
        (at, labels[_of(image)] - {int(validation.labels[at])})
        for at, image in enumerate(validation.images)
        if _of(image) in labels
    ]
    if not held:
        return ""
    named = [validation.names[at] for at, _ in held[:_NAMED] if validation.names]
    names = f": {', '.join(named)}{', ...' if len(held) > len(named) else ''}" if named else ""
    other = sum(1 for _, elsewhere in held if elsewhere)
    mislabelled = f", {other:,} of them as another class" if other else ""
    return f"{len(held):,} of {len(validation.labels):,} images to validate are also trained on{mislabelled}{names}"


def _of(image: Pixels) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()
