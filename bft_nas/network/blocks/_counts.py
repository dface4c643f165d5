"""MACs and parameters of many rows at once: the layers of a kind in closed form, on arrays. Needs no torch.

The rule is that of `bft_nas.network.cost`, and a layer at a time it is in `bft_nas.network.layer`. An array has a value
for each row; a fusion is an array of radices, 0 where it is dense.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from bft_nas.butterfly.plan import factorize
from bft_nas.network.blocks._choices import LARGEST_RADIX, Choice, Chosen
from bft_nas.network.layer import Array
from bft_nas.network.widths import width_grid


@dataclass(frozen=True, slots=True)
class Count:
    """What each row costs."""

    macs: Array
    """Multiply-accumulates."""
    params: Array
    """Learned values."""

    def __add__(self, other: Count) -> Count:
        return Count(self.macs + other.macs, self.params + other.params)

    def times(self, repeats: Array) -> Count:
        """Of so many layers alike; none where it is 0."""
        return Count(self.macs * repeats, self.params * repeats)


def chosen_arrays(choices: Sequence[Choice], rows: Sequence[Chosen]) -> dict[str, Array]:
    """By key what many rows chose, 0 where a choice did not come up; a fusion is told by its radix alone."""
    import numpy as np

    keys = [choice.key for choice in choices if not choice.fusion]
    return {key: np.array([row.get(key, 0) for row in rows]) for key in keys}


def convolution(in_channels: Any, channels: Any, kernel: Any, size: Any) -> Count:
    """A convolution that mixes all channels, with batch norm; ``size`` is that of its output."""
    weights = kernel * kernel * in_channels * channels
    return Count(weights * size * size, weights + 2 * channels)


def depthwise(channels: Array, kernel: Array, size: Array) -> Count:
    """A depthwise convolution with batch norm."""
    return convolution(1, channels, kernel, size)


def linear(in_channels: Any, channels: Any) -> Count:
    """A linear layer with a bias."""
    weights = in_channels * channels
    return Count(weights, weights + channels)


def pointwise(in_channels: Array, channels: Array, radix: Array, size: Array) -> Count:
    """A channel fusion with batch norm."""
    import numpy as np

    square = np.minimum(in_channels, channels)
    mixed = -(-np.maximum(in_channels, channels) // square) * square
    butterfly = radix > 0
    weights = np.where(butterfly, mixed * _factor_sums().at(square, radix), in_channels * channels)
    return Count((weights + mixed * butterfly) * (size * size), weights + 2 * channels)


class _FactorSums:
    """The sum of the factors of square butterfly transforms, remembered for each radix and width of the grid.

    The table has a row for each radix met and a column for each width up to the largest, 128 KiB a row.
    """

    def __init__(self) -> None:
        import numpy as np

        # Row 0 is that of dense fusions, row 1 that of radices not met yet; 0 stands for what is not known.
        self.row = np.ones(LARGEST_RADIX + 1, np.intp)
        self.row[0] = 0
        self.sums = np.zeros((2, width_grid()[-1] + 1), np.int32)
        self.sums[0] = 1

    def at(self, channels: Array, radix: Array) -> Array:
        """Of each row; whatever where the radix is 0."""
        sums = self.sums[self.row[radix], channels]
        if not sums.all():
            self._learn(set(zip(channels[sums == 0].tolist(), radix[sums == 0].tolist(), strict=True)))
            sums = self.sums[self.row[radix], channels]
        return sums

    def _learn(self, missing: set[tuple[int, int]]) -> None:
        import numpy as np

        for channels, radix in missing:
            if self.row[radix] == 1:
                self.row[radix] = len(self.sums)
                self.sums = np.vstack([self.sums, self.sums[1:2]])
            self.sums[self.row[radix], channels] = sum(factorize(channels, radix))


@cache
def _factor_sums() -> _FactorSums:
    return _FactorSums()
