"""MACs and parameters of many rows at once: the layers of a kind in closed form, on arrays. Needs no torch.

The rule is that of `bft_nas.network.cost`, and a layer at a time it is in `bft_nas.network.layer`. An array has a value
for each row; a fusion is an array of radices, 0 where it is dense.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

from bft_nas.butterfly.plan import factorize, root_divisor, root_radix
from bft_nas.network.blocks._choices import ROOT, Choice, Chosen, most_groups
from bft_nas.network.blocks._widths import many_squeeze_channels
from bft_nas.network.checks import Activation
from bft_nas.network.layer import Array, learned
from bft_nas.network.low_rank import low_rank_plan
from bft_nas.network.widths import width_grid

BITS = 20
"""Of a width, more than any has: three of them are one number."""
AT_ROOT = 1
"""Stands for the radix `ROOT` among numbers: there is no radix of 1."""


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


def chosen_arrays(
    choices: Sequence[Choice], rows: Sequence[Chosen], activation: Activation = "relu"
) -> dict[str, Array]:
    """By key what many rows chose, 0 where a choice did not come up; a fusion is told by its number alone.

    The radix that follows the width is `AT_ROOT`. ``learned`` has what the activation learns for a channel.
    """
    import numpy as np

    keys = [choice.key for choice in choices if not choice.fusion]
    found = ([row.get(key, 0) for row in rows] for key in keys)
    arrays = {
        key: np.array([AT_ROOT if value == ROOT else value for value in values])
        for key, values in zip(keys, found, strict=True)
    }
    return arrays | {"learned": np.full(len(rows), learned(activation))}


@dataclass(frozen=True, slots=True)
class Mixed:
    """How the layers of each row mix their channels; all are 0 where it is dense."""

    radix: Array
    groups: Array
    narrowing: Array

    @classmethod
    def dense(cls, like: Array) -> Self:
        """As many dense rows as there are in an array."""
        none = like * 0
        return cls(none, none, none)

    @classmethod
    def of(cls, chosen: Mapping[str, Array], *channels: Array, prefix: str = "") -> Self:
        """What `chosen_fusion` makes of each row, for layers of these widths."""
        import numpy as np

        radix, groups, narrowing = (chosen[f"{prefix}{key}"] for key in ("radix", "groups", "narrowing"))
        if (radix == AT_ROOT).any():
            radix = np.where(radix == AT_ROOT, _each(root_radix, np.minimum.reduce(channels)), radix)
        if groups.any():
            groups = _each(most_groups, groups, np.gcd.reduce(np.broadcast_arrays(*channels)))
        return cls(radix, groups, narrowing)


def convolution(in_channels: Any, channels: Any, kernel: Any, size: Any, learns: Any = 0) -> Count:
    """A convolution that mixes all channels, with batch norm; ``size`` is that of its output.

    ``learns``, here and in what follows: how many values a channel the activation behind it has.
    """
    weights = kernel * kernel * in_channels * channels
    return Count(weights * size * size, weights + (2 + learns) * channels)


def factorised(
    in_channels: int, channels: Array, kernel: int, size: Array, end: Array, learns: int = 0
) -> Count:
    """A factorised stem with its batch norms, for images of ``size`` pixels; ``end`` is the size of its output."""
    middle = _each(root_divisor, channels)
    down, across = in_channels * kernel * middle, kernel * channels
    return Count(down * end * size + across * end * end, down + 2 * middle + across + (2 + learns) * channels)


def depthwise(channels: Array, kernel: Array, size: Array, learns: Any = 0) -> Count:
    """A depthwise convolution with batch norm."""
    return convolution(1, channels, kernel, size, learns)


def linear(in_channels: Any, channels: Any, learns: Any = 0) -> Count:
    """A linear layer with a bias."""
    weights = in_channels * channels
    return Count(weights, weights + (1 + learns) * channels)


def squeeze_excite(channels: Array) -> Count:
    """A squeeze-excite that scales these channels."""
    squeezed = many_squeeze_channels(channels)
    return linear(channels, squeezed) + linear(squeezed, channels)


def pointwise(in_channels: Array, channels: Array, mixed: Mixed, size: Array, learns: Any = 0) -> Count:
    """A channel fusion with batch norm."""
    import numpy as np

    radix = mixed.radix
    square = np.minimum(in_channels, channels)
    copies = -(-np.maximum(in_channels, channels) // square) * square
    butterfly = radix > 0
    weights = np.where(butterfly, copies * _factor_sums().at(square, radix), in_channels * channels)
    if mixed.groups.any():
        weights = weights // np.maximum(mixed.groups, 1)
    if mixed.narrowing.any():
        low = _each(_low_rank_weights, in_channels, channels, np.maximum(mixed.narrowing, 1))
        weights = np.where(mixed.narrowing > 0, low, weights)
    return Count((weights + copies * butterfly) * (size * size), weights + (2 + learns) * channels)


def _low_rank_weights(n_in: int, n_out: int, narrowing: int) -> int:
    return low_rank_plan(n_in, n_out, narrowing).weights


def _each(function: Callable[..., int], *arrays: Array) -> Array:
    """A function of whole numbers for each place of some arrays, called once for what is there several times."""
    import numpy as np

    # One number stands for those of a place: numpy finds what is alike among numbers far sooner than among rows.
    keys = np.zeros((), np.int64)
    for each in arrays:
        keys = (keys << BITS) | each
    _, places, which = np.unique(keys, return_index=True, return_inverse=True)
    flat = [np.broadcast_to(each, keys.shape).ravel()[places].tolist() for each in arrays]
    found = np.array([function(*row) for row in zip(*flat, strict=True)])
    return found[which].reshape(keys.shape)


class _FactorSums:
    """The sum of the factors of square butterfly transforms, remembered for each radix and width of the grid.

    The table has a row for each radix met and a column for each width up to the largest, 128 KiB a row.
    """

    def __init__(self) -> None:
        import numpy as np

        # Row 0 is that of dense fusions, row 1 that of radices not met yet; 0 stands for what is not known. A radix
        # that follows a width can be as large as it.
        widths = width_grid()[-1] + 1
        self.row = np.ones(widths, np.intp)
        self.row[0] = 0
        self.sums = np.zeros((2, widths), np.int32)
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
