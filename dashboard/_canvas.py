"""Where on a figure there is room for a name: an estimate in pixels, made before anything is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

Places = np.ndarray[Any, np.dtype[np.float64]]

# The axes on a page of 1280 pixels: on a wider one there is more room, on a narrow one names are left out.
WIDTH = 700
HEIGHT = 370
# Below and above the points, as a part of the height.
ROOM = 0.05
# Of the points that stand for a line or a box.
SPACING = 8


@dataclass
class Canvas:
    """The axes of a front figure and what stands on them already."""

    ends: tuple[float, float]
    """The least and the most MACs shown, in millions."""
    accuracies: tuple[float, float]
    """The lowest and the highest accuracy of a point."""
    taken: Places = field(default_factory=lambda: np.empty((0, 2)))
    """One row a place: pixels from the left and from the bottom."""

    def across(self, millions: Any) -> Any:
        """How far from the left a number of MACs is, or each of an array of them."""
        return WIDTH * np.log(millions / self.ends[0]) / math.log(self.ends[1] / self.ends[0])

    def macs(self, across: float) -> float:
        """The MACs, in millions, that are so far from the left."""
        low, high = map(math.log, self.ends)
        return math.exp(low + (high - low) * across / WIDTH)

    def up(self, accuracy: Any) -> Any:
        """How far from the bottom an accuracy is, or each of an array of them."""
        low, high = self.accuracies
        return HEIGHT * (ROOM + (1 - 2 * ROOM) * (accuracy - low) / ((high - low) or 1.0))

    @property
    def up_ends(self) -> tuple[float, float]:
        """The accuracies at the bottom and at the top."""
        low, high = self.accuracies
        room = ((high - low) or 1.0) * ROOM / (1 - 2 * ROOM)
        return low - room, high + room

    def take(self, millions: ArrayLike, accuracies: ArrayLike) -> None:
        """Remember points of MACs in millions and accuracy."""
        across, up = self.across(np.asarray(millions, float)), self.up(np.asarray(accuracies, float))
        self._remember(np.column_stack((across, up)))

    def take_steps(self, points: Sequence[tuple[float, float]]) -> None:
        """Remember the line that goes right and then up from each point to the next."""
        for (here, low), (there, high) in pairwise(points):
            left, right, bottom = self.across(here), self.across(there), self.up(low)
            self.take_box(left, bottom, right - left, 0)
            self.take_box(right, bottom, 0, self.up(high) - bottom)

    def take_box(self, left: float, bottom: float, width: float, height: float) -> None:
        """Remember a box of text, or a line where it has no width or height."""
        columns, rows = math.ceil(width / SPACING), math.ceil(height / SPACING)
        self._remember(
            [
                (left + width * column / max(columns, 1), bottom + height * row / max(rows, 1))
                for column in range(columns + 1)
                for row in range(rows + 1)
            ]
        )

    def _remember(self, places: ArrayLike) -> None:
        # Of thousands of points most share a pixel; a set of complex numbers takes a tenth of one of pairs.
        found = np.unique(np.round(np.ascontiguousarray(places, float)).view(complex))
        self.taken = np.vstack((self.taken, found.view(float).reshape(-1, 2)))

    def clearance(self, left: float, bottom: float, width: float, height: float) -> float:
        """How far a box is from whatever is nearest to it; below zero when something is inside."""
        x, y = self.taken.T
        apart = np.maximum.reduce([left - x, x - left - width, bottom - y, y - bottom - height])
        return float(apart.min(initial=math.inf))
