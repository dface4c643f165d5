"""What a trained network's predictions are worth: accuracy with its interval, by class, confusion, calibration.

Needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Z = 1.959964
"""Standard errors on both sides of a mean that hold 95 percent of a normal distribution."""
BINS = 10
WORST = 10


@dataclass(frozen=True)
class Bin:
    """The predictions whose confidence is within a range."""

    images: int
    confidence: float
    """Their mean."""
    accuracy: float


@dataclass(frozen=True)
class Mistake:
    """An image that a network is sure of and wrong about."""

    index: int
    """Of the image in its split."""
    label: int
    predicted: int
    confidence: float
    name: str = ""
    """Of the image, where it has one."""


@dataclass(frozen=True)
class Measures:
    """What is told of predictions for images with labels."""

    confusion: tuple[tuple[int, ...], ...]
    """Images by label (row) and prediction (column)."""
    loss: float
    """Cross-entropy."""
    bins: tuple[Bin, ...]
    """By confidence, the least first; those without an image are left out."""
    worst: tuple[Mistake, ...]
    """The most confident mistakes, the worst first."""

    @property
    def images(self) -> int:
        """Predicted."""
        return sum(map(sum, self.confusion))

    @property
    def right(self) -> int:
        """Of them, predicted correctly."""
        return sum(row[at] for at, row in enumerate(self.confusion))

    @property
    def accuracy(self) -> float:
        """From 0 to 1."""
        return self.right / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 percent interval of the accuracy; see `wilson`."""
        return wilson(self.right, self.images)

    @property
    def calibration_error(self) -> float:
        """How far confidence and accuracy are apart on average, 0 to 1 (expected calibration error, ten bins)."""
        return sum(each.images * abs(each.accuracy - each.confidence) for each in self.bins) / self.images

    @property
    def confused(self) -> list[tuple[int, int, int]]:
        """How many images of one class were taken for another one, the most first: images, label, prediction."""
        pairs = [
            (count, label, other)
            for label, row in enumerate(self.confusion)
            for other, count in enumerate(row)
            if count and label != other
        ]
        return sorted(pairs, reverse=True)

    @property
    def by_class(self) -> list[tuple[int, int, int]]:
        """Of each class that has images: its label, how many were predicted correctly, and how many there are."""
        found = [(label, row[label], sum(row)) for label, row in enumerate(self.confusion)]
        return [each for each in found if each[2]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Measures:
        """The inverse of `to_dict`."""
        return cls(
            tuple(tuple(row) for row in content["confusion"]),
            content["loss"],
            tuple(Bin(**each) for each in content["bins"]),
            tuple(Mistake(**each) for each in content["worst"]),
        )


def wilson(right: int, images: int) -> tuple[float, float]:
    """The 95 percent interval of a part of so many images (Wilson 1927), both ends within 0 and 1.

    >>> [round(end, 4) for end in wilson(9_000, 10_000)]
    [0.894, 0.9057]
    """
    part, weight = right / images, Z * Z / images
    middle = (part + weight / 2) / (1 + weight)
    margin = Z / (1 + weight) * math.sqrt(part * (1 - part) / images + weight / (4 * images))
    return max(0.0, middle - margin), min(1.0, middle + margin)


def measures_of(
    logits: npt.NDArray[np.float32],
    labels: Sequence[int] | npt.NDArray[np.int64],
    names: Sequence[str] = (),
) -> Measures:
    """What is told of logits (images, classes) for images of these labels, and of these names if they have any."""
    truth = np.asarray(labels, np.int64)
    images, classes = logits.shape
    scores = logits.astype(np.float64)
    scores -= scores.max(1, keepdims=True)
    logs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    predicted = logits.argmax(1)
    confidence = np.exp(logs.max(1))
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (truth, predicted), 1)
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    right = predicted == truth
    bins = tuple(
        Bin(int(within.sum()), float(confidence[within].mean()), float(right[within].mean()))
        for within in (place == number for number in range(BINS))
        if within.any()
    )
    wrong = np.flatnonzero(~right)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:WORST]
    mistakes = [
        Mistake(
            int(at),
            int(truth[at]),
            int(predicted[at]),
            float(confidence[at]),
            names[at] if names else "",
        )
        for at in worst
    ]
    return Measures(
        tuple(tuple(map(int, row)) for row in confusion),
        float(-logs[np.arange(images), truth].mean()),
        bins,
        tuple(mistakes),
    )
