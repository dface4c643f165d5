"""A table of layers: milliseconds of operations at points of a grid, and of those in between. Needs no torch.

The grid's channels are a factor of 2 apart, its heights and widths about the root of 2; times between are interpolated
by their logarithms.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from bft_nas.butterfly.plan import root_divisor
from bft_nas.latency.butterfly_forms import Form, forms_of, operations_of
from bft_nas.latency.operations import Operation
from bft_nas.network.blocks._widths import squeeze_channels

FREE = frozenset({"split", "mean"})
"""Kinds of operations that have no time of their own: a split is part of the `interleave` behind it, and there is one
mean in a network."""
BLOCK = 8
"""Channels that a runtime's fast kernels take at a time: other widths are slower, and have points of their own."""
SIDES = (1, 2, 3, 4, *(base << octave for octave in range(10) for base in (5, 7)))
"""Heights and widths of the grid: those of networks at 224 and 160 pixels."""

Weighted = tuple[tuple[Operation, float], ...]
"""Operations of the grid around one, and the weights of the logarithms of their times."""


@dataclass(frozen=True)
class LayerTable:
    """What was measured on one machine with one runtime."""

    runtime: str
    version: str
    """Of the runtime."""
    machine: str
    points: Mapping[Operation, float]
    """Milliseconds of operations of the grid."""
    _known: dict[Operation, float] = field(default_factory=dict, repr=False, compare=False)
    _guessed: dict[Operation, float] = field(default_factory=dict, repr=False, compare=False)

    def milliseconds(self, operation: Operation) -> float:
        """Of any operation; of a butterfly in its fastest form."""
        if operation not in self._known:
            if operation.kind == "butterfly":
                found = self.of_form(operation, self.form_of(operation))
            else:
                found = self._between(operation)
            self._known[operation] = found
        return self._known[operation]

    def form_of(self, operation: Operation) -> Form:
        """In which form a butterfly is fastest."""
        return min(forms_of(operation), key=lambda form: self.of_form(operation, form))

    def of_form(self, operation: Operation, form: Form) -> float:
        """Milliseconds of a butterfly in a form."""
        return sum(map(self.milliseconds, operations_of(operation, form)))

    def _between(self, operation: Operation) -> float:
        if is_free(operation):
            return 0.0
        around = grid_around(operation)
        return math.exp(sum(weight * math.log(self._at(point)) for point, weight in around))

    def _at(self, point: Operation) -> float:
        """At a point of the grid; by the nearest one of its kind, in proportion, where it was not measured."""
        if point in self.points:
            return self.points[point]
        if point not in self._guessed:
            self._guessed[point] = self._guess(point)
        return self._guessed[point]

    def _guess(self, point: Operation) -> float:
        alike = [other for other in self.points if _kind_of(other) == _kind_of(point)]
        if not alike:
            raise KeyError(point)
        nearest = min(alike, key=lambda other: (_distance(other, point), other))
        return self.points[nearest] * _work(point) / _work(nearest)

    def with_points(self, points: Mapping[Operation, float]) -> LayerTable:
        """The table with more that was measured, in millionths of a millisecond, as files have it."""
        rounded = {point: max(1e-6, round(milliseconds, 6)) for point, milliseconds in points.items()}
        return replace(self, points={**self.points, **rounded}, _known={}, _guessed={})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `from_dict`."""
        rows = [[*point, milliseconds] for point, milliseconds in sorted(self.points.items())]
        return {"runtime": self.runtime, "version": self.version, "machine": self.machine, "points": rows}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> LayerTable:
        """The inverse of `to_dict`; anything else raises one of many exceptions."""
        points = {Operation(*row): float(milliseconds) for *row, milliseconds in content["points"]}
        if not all(milliseconds > 0 for milliseconds in points.values()):
            raise ValueError("milliseconds: expected more than 0")
        return cls(str(content["runtime"]), str(content["version"]), str(content["machine"]), points)


def is_free(operation: Operation) -> bool:
    """Whether it has no time of its own, as what is computed with the layer before it."""
    return operation.kind in FREE or operation.activation == "relu"


# The grid


def points_for(operations: Iterable[Operation]) -> set[Operation]:
    """What has to be measured for some operations."""
    found: set[Operation] = set()
    for operation in set(operations):
        parts = [operation]
        if operation.kind == "butterfly":
            parts = [part for form in forms_of(operation) for part in operations_of(operation, form)]
        for part in parts:
            if not is_free(part):
                found.update(point for point, _ in grid_around(part))
    return found


def grid_around(operation: Operation) -> Weighted:
    """The points of the grid between which an operation lies."""
    kind, grouped = operation.kind, operation.groups > 1
    if operation.is_depthwise:
        # One width tells the other ones.
        operation = operation._replace(in_channels=0, groups=0)
        return _corners(operation, {"out_channels": _channels_around(operation.out_channels)})
    if kind in ("conv", "linear", "column"):
        ins = _channels_around(operation.in_channels, grouped=grouped)
        if operation.in_channels < BLOCK and not grouped:
            ins = ((operation.in_channels, 1.0),)
        outs = _channels_around(operation.out_channels, grouped=grouped)
        operation = operation._replace(groups=min(_power(operation.groups), ins[0][0], outs[0][0]))
        return _corners(operation, {"in_channels": ins, "out_channels": outs})
    operation = operation._replace(in_channels=0, squeeze=0, flat=False)
    if kind == "row":
        channels = _channels_around(operation.out_channels, grouped=True)
        return _corners(operation._replace(groups=0), {"out_channels": channels})
    if operation.radix:
        channels = _channels_around(operation.out_channels, grouped=True)
        return _corners(operation, {"out_channels": channels, "radix": _octave(operation.radix)})
    # What has two halves has them in blocks.
    block = 2 * BLOCK if kind in ("interleave", "concat") else BLOCK
    channels = _channels_around(operation.out_channels, block, grouped=grouped)
    operation = operation._replace(groups=min(_power(operation.groups), channels[0][0]))
    return _corners(operation, {"out_channels": channels})


Around = Sequence[tuple[int, float]]
"""Values of the grid around one, with weights."""


def _corners(operation: Operation, axes: Mapping[str, Around]) -> Weighted:
    axes = {**axes, "side": _sides_around(operation.side)}
    found = []
    for corner in product(*axes.values()):
        values: dict[str, Any] = dict(zip(axes, (value for value, _ in corner), strict=True))
        point = operation._replace(**values)
        found.append((point, math.prod(weight for _, weight in corner)))
    return tuple(found)


def _channels_around(channels: int, block: int = BLOCK, *, grouped: bool = False) -> Around:
    """In whole blocks, or half a block below; in groups always whole, as they divide these."""
    short = 0 if grouped or channels % block == 0 else block // 2
    around = _octave(max(1.0, (channels + short) / block))
    return [(block * value - short, weight) for value, weight in around]


def _octave(value: float) -> Around:
    """The powers of 2 around a value of 1 or more."""
    low = math.floor(math.log2(value))
    part = math.log2(value) - low
    return ((2**low, 1.0),) if part < 1e-9 else ((2**low, 1 - part), (2 ** (low + 1), part))


def _sides_around(side: int) -> Around:
    place = bisect_left(SIDES, side)
    if place == len(SIDES) or SIDES[place] == side:
        return ((side, 1.0),)
    low, high = SIDES[place - 1], SIDES[place]
    part = math.log(side / low) / math.log(high / low)
    return ((low, 1 - part), (high, part))


def _power(value: int) -> int:
    return int(2 ** round(math.log2(value))) if value else 0


def _kind_of(point: Operation) -> tuple[Any, ...]:
    """What two points have in common between which times are about in proportion to work."""
    return point.kind, min(point.groups, 2), point.activation


def _work(point: Operation) -> float:
    """About in proportion to its time."""
    channels = max(1, point.in_channels) * point.out_channels / max(1, point.groups)
    return float(channels * (point.kernel * point.side) ** 2 * max(1, point.radix) ** 0.5)


def _distance(one: Operation, other: Operation) -> float:
    numbers = (
        (
            each.in_channels,
            each.out_channels,
            each.side**2,
            each.kernel**2,
            each.radix,
            each.stride,
            each.groups,
        )
        for each in (one, other)
    )
    return sum(abs(math.log2((a + 1) / (b + 1))) for a, b in zip(*numbers, strict=True))


def whole(point: Operation) -> Operation:
    """A point of the grid as an operation that can be run: with the widths that follow from the one that it has."""
    channels = point.out_channels
    if point.kind == "squeeze_excite":
        return point._replace(in_channels=channels, squeeze=squeeze_channels(channels))
    if point.kind == "conv" and point.groups == 0:
        return point._replace(in_channels=channels, groups=channels)
    if point.kind == "row":
        middle = root_divisor(channels)
        return point._replace(in_channels=middle, groups=middle)
    if point.in_channels:
        return point
    return point._replace(in_channels=channels)


def needed(operations: Iterable[Operation], table: LayerTable) -> Iterator[Operation]:
    """The points for some operations that a table does not have, in order."""
    return iter(sorted(points_for(operations) - set(table.points)))
