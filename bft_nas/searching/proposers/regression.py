"""What a network's accuracy is predicted from, and the model that predicts it: ridge regression and a few trees."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TREES = 64
EARLY_WEIGHT = 0.5
"""Of an accuracy before the last epoch, over that of one after it."""
PENALTIES = tuple(10.0**power for power in range(-1, 4))
"""Of the ridge regression; cross-validation picks one, in closed form."""


@dataclass(frozen=True)
class Point:
    """A network, as it was chosen and counted."""

    choices: Mapping[str, Any]
    """By name of the choice; see `bft_nas.space.Proposal.parameters`."""
    macs: int
    params: int
    resolution: int
    """Height and width of the images at deployment."""


@dataclass(frozen=True)
class Observed:
    """A network that was trained."""

    point: Point
    accuracies: Mapping[int, float]
    """By number of epochs trained, 0 to 1."""


class Accuracy:
    """Accuracies after the last epoch, predicted from those observed.

    Ridge regression on choices, logarithms of MACs and parameters, depth and the share of butterflies; half of each
    prediction is that of extremely randomised trees (Geurts et al. 2006) on the same, which see what is not a sum.

    Args:
        observed: at least two networks.
        epochs: of a whole training.
        seed: of the trees.
    """

    def __init__(self, observed: Sequence[Observed], epochs: int, seed: int) -> None:
        from sklearn.ensemble import ExtraTreesRegressor
        from sklearn.linear_model import RidgeCV

        rows = [(seen.point, e, a) for seen in observed for e, a in sorted(seen.accuracies.items())]
        self._epochs = epochs
        self._columns = _columns(point for point, _, _ in rows)
        features = self._features([point for point, _, _ in rows], [e for _, e, _ in rows])
        self._mean = features.mean(0)
        spread = features.std(0)
        self._spread = np.where(spread > 0, spread, 1.0)
        scaled = (features - self._mean) / self._spread
        accuracies = np.array([accuracy for _, _, accuracy in rows])
        weights = np.array([1.0 if e >= epochs else EARLY_WEIGHT for _, e, _ in rows])
        self._ridge = RidgeCV(PENALTIES).fit(scaled, accuracies, sample_weight=weights)
        self._trees = ExtraTreesRegressor(TREES, min_samples_leaf=2, max_features=0.5, random_state=seed)
        self._trees.fit(scaled, accuracies, sample_weight=weights)

    def predict(self, points: Sequence[Point]) -> NDArray[np.float64]:
        """The accuracy of each network, about 0 to 1."""
        scaled = (self._features(points, [self._epochs] * len(points)) - self._mean) / self._spread
        each: NDArray[np.float64] = (self._ridge.predict(scaled) + self._trees.predict(scaled)) / 2
        return each

    def _features(self, points: Sequence[Point], epochs: Sequence[int]) -> NDArray[np.float64]:
        features = np.zeros((len(points), len(self._columns) + len(_SHARED)))
        for row, point, epoch in zip(features, points, epochs, strict=True):
            for choice in point.choices.items():
                column = self._columns.get(choice)
                if column is not None:
                    row[column] = 1.0
            row[-len(_SHARED) :] = _shared(point, epoch / self._epochs)
        return features


_SHARED = ("log MACs", "log parameters", "resolution", "depth", "butterflies", "log epochs")
"""What all families have."""


def _shared(point: Point, part: float) -> tuple[float, ...]:
    choices = point.choices
    fusions = [value for name, value in choices.items() if name.endswith("fusion")]
    butterflies = sum(value == "butterfly" for value in fusions) / max(1, len(fusions))
    depth = sum(value for name, value in choices.items() if name.endswith(".depth"))
    return (
        math.log(point.macs),
        math.log(point.params),
        float(point.resolution),
        float(depth),
        butterflies,
        math.log(part),
    )


def _columns(points: Iterable[Point]) -> dict[tuple[str, Any], int]:
    """A column for each value that a choice was seen to take, but for the share of the budget, which MACs tell."""
    seen = dict.fromkeys(choice for point in points for choice in point.choices.items())
    kept = [choice for choice in seen if choice[0] != "budget_share"]
    return {choice: index for index, choice in enumerate(kept)}
