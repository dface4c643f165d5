"""A table of layers: milliseconds of operations at points of a grid, and of those in between. Needs no torch.

The grid's channels are a factor of 2 apart, its heights and widths about the root of 2; times between are interpolated
by their logarithms.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from bft_nas.butterfly.plan import ButterflyPlan
from bft_nas.latency.operations import Operation
from bft_nas.network.blocks._widths import squeeze_channels

FREE = frozenset({"split", "mean"})
"""Kinds of operations that have no time of their own: a split is part of the `interleave` behind it, and there is one
mean in a network."""
BLOCK = 8
"""Channels that a runtime's fast kernels take at a time: other widths are slower, and have points of their own."""
LEAST_GAIN, MOST_GAIN = 4, 32
"""MACs of a butterfly folded to a dense layer, over its own: below the first it is never faster stage by stage, above
the second always."""

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
                found = min(self._of_form(operation, form) for form in forms_of(operation))
            else:
                found = self._of(operation)
            self._known[operation] = found
        return self._known[operation]

    def form_of(self, operation: Operation) -> str:
        """In which form a butterfly is fastest."""
        return min(forms_of(operation), key=lambda form: self._of_form(operation, form))

    def _of_form(self, operation: Operation, form: str) -> float:
        return sum(map(self._of, FORMS[form](operation)))

    def _of(self, operation: Operation) -> float:
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
        """The table with more that was measured."""
        return replace(self, points={**self.points, **points}, _known={}, _guessed={})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `from_dict`."""
        rows = [[*point, round(milliseconds, 6)] for point, milliseconds in sorted(self.points.items())]
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


# Forms of butterflies


def _dense(operation: Operation) -> list[Operation]:
    return [operation._replace(kind="conv", radix=0)]


def _structured(operation: Operation) -> list[Operation]:
    plan = ButterflyPlan(operation.in_channels, operation.out_channels, operation.radix)
    channels = plan.copies * plan.size
    first, *others = plan.factors
    return [
        Operation("staged", channels, channels, operation.side, radix=first),
        *(Operation("stage", channels, channels, operation.side, radix=factor) for factor in others),
    ]


FORMS: Mapping[str, Callable[[Operation], list[Operation]]] = {"dense": _dense, "structured": _structured}
"""What a butterfly is made of in each `bft_nas.export.folded_butterfly.InferenceForm`: ``staged`` is one of a single
stage, ``stage`` one stage more."""


def forms_of(operation: Operation) -> tuple[str, ...]:
    """The forms in which a butterfly may be fastest."""
    plan = ButterflyPlan(operation.in_channels, operation.out_channels, operation.radix)
    gain = operation.in_channels * operation.out_channels / plan.macs
    if gain < LEAST_GAIN:
        return ("dense",)
    return ("structured",) if gain > MOST_GAIN else tuple(FORMS)


# The grid


def points_for(operations: Iterable[Operation]) -> set[Operation]:
    """What has to be measured for some operations."""
    found: set[Operation] = set()
    for operation in set(operations):
        parts = [operation]
        if operation.kind == "butterfly":
            parts = [part for form in forms_of(operation) for part in FORMS[form](operation)]
        for part in parts:
            if not is_free(part):
                found.update(point for point, _ in grid_around(part))
    return found


def grid_around(operation: Operation) -> Weighted:
    """The points of the grid between which an operation lies."""
    kind = operation.kind
    if kind == "conv" and not operation.is_depthwise:
        operation = operation._replace(groups=_power(operation.groups))
        ins = _channels_around(operation.in_channels, exact_below=BLOCK, grouped=operation.groups > 1)
        outs = _channels_around(operation.out_channels, grouped=operation.groups > 1)
        return _corners(
            operation,
            (("in_channels", ins), ("out_channels", outs)),
        )
    if kind == "linear":
        ins, outs = _channels_around(operation.in_channels), _channels_around(operation.out_channels)
        return _corners(operation, (("in_channels", ins), ("out_channels", outs)))
    if kind in ("staged", "stage"):
        operation = operation._replace(in_channels=0)
        channels = _channels_around(operation.out_channels, grouped=True)
        return _corners(operation, (("out_channels", channels), ("radix", _octave(operation.radix))))
    # One width tells the other ones.
    channels = _channels_around(operation.out_channels)
    operation = operation._replace(in_channels=0, squeeze=0, groups=_power(operation.groups))
    if kind == "conv":
        operation = operation._replace(groups=0)
    return _corners(operation, (("out_channels", channels),))


Around = Sequence[tuple[int, float]]
"""Values of the grid around one, with weights."""


def _corners(operation: Operation, axes: Sequence[tuple[str, Around]]) -> Weighted:
    axes = [*axes, ("side", _sides_around(operation.side))]
    names = [name for name, _ in axes]
    found = []
    for corner in product(*(around for _, around in axes)):
        values: dict[str, Any] = dict(zip(names, (value for value, _ in corner), strict=True))
        point = operation._replace(**values)
        found.append((point, math.prod(weight for _, weight in corner)))
    return tuple(found)


def _channels_around(channels: int, *, exact_below: int = 0, grouped: bool = False) -> Around:
    if channels < exact_below:
        return ((channels, 1.0),)
    if channels % BLOCK == 0 or grouped:
        return [(BLOCK * value, weight) for value, weight in _octave(max(1.0, channels / BLOCK))]
    half = BLOCK // 2
    return [(BLOCK * value - half, weight) for value, weight in _octave(max(1.0, (channels + half) / BLOCK))]


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
    """What two points have in common between which times are in proportion to work."""
    return point.kind, point.kernel, point.groups != 1, point.groups == 0, point.activation


def _work(point: Operation) -> float:
    """About in proportion to its time."""
    channels = max(1, point.in_channels) * point.out_channels / max(1, point.groups)
    return float(channels * point.side**2 * max(1, point.radix) ** 0.5)


def _distance(one: Operation, other: Operation) -> float:
    pairs = zip(
        (one.in_channels, one.out_channels, one.side**2, one.radix, one.stride, one.groups),
        (other.in_channels, other.out_channels, other.side**2, other.radix, other.stride, other.groups),
        strict=True,
    )
    return sum(abs(math.log2((a + 1) / (b + 1))) for a, b in pairs)


def whole(point: Operation) -> Operation:
    """A point of the grid as an operation that can be run: with the widths that follow from the one that it has."""
    channels = point.out_channels
    if point.kind == "squeeze_excite":
        return point._replace(in_channels=channels, squeeze=squeeze_channels(channels))
    if point.kind == "conv" and point.groups == 0:
        return point._replace(in_channels=channels, groups=channels)
    if point.in_channels:
        return point
    return point._replace(in_channels=channels)


def needed(operations: Iterable[Operation], table: LayerTable) -> Iterator[Operation]:
    """The points for some operations that a table does not have, in order."""
    return iter(sorted(points_for(operations) - set(table.points)))
