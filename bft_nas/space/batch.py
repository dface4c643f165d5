"""The widths of many structures at once: what `WidthSolver` finds for each of them, by the same steps on arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from bft_nas.network.blocks import (
    Block,
    Count,
    Mixed,
    chosen_arrays,
    convolution,
    factorised,
    linear,
    pointwise,
)
from bft_nas.network.cost import cost
from bft_nas.network.layer import Array, halved, learned
from bft_nas.network.widths import grid_steps, width_grid
from bft_nas.space.file import HEAD_CHOICES, FamilyFile
from bft_nas.space.solver import (
    ENOUGH,
    MACS_PER_WIDTH,
    STEPS_PER_OCTAVE,
    Structure,
    WidthSolver,
    multiplier_at,
    steps_of,
)

AT_ONCE = 4096
"""Structures in a batch: no more memory is taken however many are asked for."""
FEWEST = 16
"""Fewer are solved one after the other, which is as quick."""
LARGEST_EXACT = 1 << 53
"""MACs below it are exact as floats too, and their sums far from the limit of 64 bits."""

Asked = tuple[Structure, int]
"""A structure and its allowance in MACs."""


@dataclass(frozen=True, slots=True)
class Solved:
    """Widths, and what a network of them costs."""

    widths: tuple[int, ...]
    """Of `Structure.bases`."""
    macs: int
    params: int


def solve_all(asked: Sequence[Asked], classes: int, largest: int) -> list[Solved | None]:
    """The widest network of each structure, as `WidthSolver.solve` finds it; None where it is not feasible.

    Args:
        asked: what is to be solved.
        classes: outputs of the classifiers.
        largest: the most MACs that any of the structures can have.
    """
    found: list[Solved | None] = [None] * len(asked)
    for places, part in _parts(asked):
        batch = _batch_of(part, classes, largest)
        solved = batch.solve() if batch else [_solve_one(one, most, classes) for one, most in part]
        for place, each in zip(places, solved, strict=True):
            found[place] = each
    return found


def _parts(asked: Sequence[Asked]) -> Iterator[tuple[list[int], list[Asked]]]:
    """Those of one family each, and their places."""
    families: dict[int, list[int]] = {}
    for place, (structure, _) in enumerate(asked):
        families.setdefault(id(structure.family), []).append(place)
    for places in families.values():
        for start in range(0, len(places), AT_ONCE):
            some = places[start : start + AT_ONCE]
            yield some, [asked[place] for place in some]


def _batch_of(asked: Sequence[Asked], classes: int, largest: int) -> _Batch | None:
    """None where structures have to be solved one after the other, or are as quickly."""
    family = asked[0][0].family
    closed_forms = all("counts" in vars(stage.kind) for stage in family.stages)
    exact = max(largest, *(allowance for _, allowance in asked)) < LARGEST_EXACT
    return _Batch.of(asked, classes) if closed_forms and exact and len(asked) >= FEWEST else None


def _solve_one(structure: Structure, allowance: int, classes: int) -> Solved | None:
    solver = WidthSolver(structure, classes)
    solved = solver.solve(allowance)
    if solved is None:
        return None
    macs, widths = solved
    return Solved(tuple(widths), macs, cost(solver.architecture(widths)).params)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of one kind and stride of many structures: their first axis counts rows, the last one structures."""

    kind: type[Block]
    stride: int
    entering: list[int]
    """Of each row, which of the widths enters it."""
    leaving: list[int]
    size: Array
    repeats: Array
    chosen: Mapping[str, Array]

    def part(self, which: Array) -> Self:
        """Of some of the structures."""
        return replace(
            self,
            size=self.size[:, which],
            repeats=self.repeats[:, which],
            chosen={key: values[:, which] for key, values in self.chosen.items()},
        )

    def count(self, widths: Array) -> Count:
        """What they cost together in each structure."""
        each = self.kind.counts(
            self.chosen, widths[self.entering], widths[self.leaving], self.stride, self.size
        ).times(self.repeats)
        return Count(each.macs.sum(0), each.params.sum(0))


def _sizes(structures: Sequence[Structure]) -> Array:
    """Height and width of images, behind the stem's convolution, in front of each stage, and behind the last one."""
    stem, stages = structures[0].family.stem, structures[0].family.stages
    sizes = [np.array([structure.resolution for structure in structures])]
    for stride in (stem.stride, 2 if stem.pool else 1, *(stage.stride for stage in stages)):
        sizes.append(halved(sizes[-1], stride))
    return np.array(sizes)


def _rows_of(structures: Sequence[Structure], sizes: Array) -> tuple[_Rows, ...]:
    """All rows: of each stage the first one, and those behind it."""
    alike: dict[tuple[type[Block], int], list[tuple[int, int, Array, Array, Mapping[str, Array]]]] = {}
    for i, file in enumerate(structures[0].family.stages):
        stages = [structure.stages[i] for structure in structures]
        chosen = chosen_arrays(file.kind.choices, [stage.chosen for stage in stages], file.activation)
        repeats = np.array([stage.depth - 1 for stage in stages])
        first = (i, i + 1, sizes[i + 2], np.ones_like(repeats), chosen)
        alike.setdefault((file.kind, file.stride), []).append(first)
        if repeats.any():
            behind = (i + 1, i + 1, sizes[i + 3], repeats, chosen)
            alike.setdefault((file.kind, 1), []).append(behind)
    found = []
    for (kind, stride), rows in alike.items():
        entering, leaving, heights, times, choices = zip(*rows, strict=True)
        stacked = {key: np.array([each[key] for each in choices]) for key in choices[0]}
        found.append(
            _Rows(kind, stride, list(entering), list(leaving), np.array(heights), np.array(times), stacked)
        )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Structures of one family as arrays, the last axis of which counts them; see `WidthSolver` for what is done.

    Widths are places in the grid, in the order of `Structure.bases`.
    """

    family: FamilyFile
    classes: int
    scale: _Scale
    bases: Array
    """Places in the scale's bases."""
    allowance: Array
    sizes: Array
    """Those of `_sizes`."""
    head_chosen: Mapping[str, Array]
    rows: tuple[_Rows, ...]

    @classmethod
    def of(cls, asked: Sequence[Asked], classes: int) -> Self:
        """From structures and their allowances."""
        structures = [structure for structure, _ in asked]
        family = structures[0].family
        sizes = _sizes(structures)
        scale, bases = _Scale.of(family, np.array([structure.bases for structure in structures]).T)
        return cls(
            family,
            classes,
            scale,
            bases,
            np.array([allowance for _, allowance in asked]),
            sizes,
            chosen_arrays(HEAD_CHOICES, [structure.head_chosen for structure in structures]),
            _rows_of(structures, sizes),
        )

    def part(self, which: Array) -> Self:
        """Some of the structures."""
        return replace(
            self,
            bases=self.bases[:, which],
            allowance=self.allowance[which],
            sizes=self.sizes[:, which],
            head_chosen={key: values[which] for key, values in self.head_chosen.items()},
            rows=tuple(rows.part(which) for rows in self.rows),
        )

    def solve(self) -> list[Solved | None]:
        """See `WidthSolver.solve`."""
        found: list[Solved | None] = [None] * len(self.allowance)
        least = self._count(self._at_step(np.zeros_like(self.allowance))).macs
        (which,) = np.nonzero(least <= self.allowance)
        part = self.part(which)
        places = part._filled(part._largest_steps(least[which]))
        counted = part._count(places)
        widths = map(tuple, self.scale.grid[places].T.tolist())
        solved = map(Solved, widths, counted.macs.tolist(), counted.params.tolist())
        for place, each in zip(which.tolist(), solved, strict=True):
            found[place] = each
        return found

    def _largest_steps(self, macs: Array) -> Array:
        """The step of the largest multiplier; ``macs`` are those of the least."""
        low_macs = high_macs = macs
        found, which = np.zeros_like(macs), np.arange(len(macs))
        low = step = np.zeros_like(macs)
        high = np.full_like(macs, len(self.scale.multipliers))
        while True:
            searching = high - low > 1
            found[which[~searching]] = low[~searching]
            which, low, high, step, macs, low_macs, high_macs = (
                each[searching] for each in (which, low, high, step, macs, low_macs, high_macs)
            )
            if not len(which):
                return found
            # Not numpy's logarithm, which may differ in the last digit from the one that is asked for one network.
            octaves = np.array([math.log2(ratio) for ratio in (self.allowance[which] / macs).tolist()])
            guess = np.rint(step + STEPS_PER_OCTAVE / MACS_PER_WIDTH * octaves)
            step = guess.clip(low + 1, high - 1).astype(int)
            # Small widths are the same at many steps, and are counted once.
            places = self._at_step(step, which)
            as_low = (places == self._at_step(low, which)).all(0)
            as_high = (places == self._at_step(high, which)).all(0)
            macs = np.where(as_low, low_macs, high_macs)
            (new,) = np.nonzero(~(as_low | as_high))
            macs[new] = self.part(which[new])._count(places[:, new]).macs
            fits = macs <= self.allowance[which]
            low, low_macs = np.where(fits, (step, macs), (low, low_macs))
            high, high_macs = np.where(fits, (high, high_macs), (step, macs))

    def _filled(self, steps: Array) -> Array:
        """The widths at these steps, each up as long as that still fits and it is worth it; see `WidthSolver`."""
        scale = self.scale
        multipliers, bases, places = scale.multipliers[steps], scale.bases[self.bases], self._at_step(steps)
        growing = (multipliers < self.family.width_max) & (bases > 0)
        cut = np.full(places.shape, np.inf)
        np.divide(scale.grid[places], multipliers * bases, out=cut, where=growing)
        order, macs = np.argsort(cut, axis=0, kind="stable"), self._count(places).macs
        part, which = self, np.arange(len(steps))
        while len(which):
            places[:, which], macs[which], growing = part._wider(
                places[:, which], macs[which], growing, order[:, which]
            )
            (left,) = np.nonzero(growing.any(0) & (macs[which] < ENOUGH * part.allowance))
            part, which, growing = part.part(left), which[left], growing[:, left]
        return places

    def _wider(self, places: Array, macs: Array, growing: Array, order: Array) -> tuple[Array, Array, Array]:
        """Each of the growing widths one place up if that still fits, one after the other; and which did."""
        grown, each = np.zeros_like(growing), np.arange(len(macs))
        for layer in order:
            grows = growing[layer, each] & (places[layer, each] < len(width_grid()) - 1)
            if not grows.any():
                continue
            wider = places.copy()
            wider[layer, each] += grows
            wider_macs = self._count(wider).macs
            taken = (macs < wider_macs) & (wider_macs <= self.allowance)
            places, macs = np.where(taken, wider, places), np.where(taken, wider_macs, macs)
            grown[layer, each] = taken
        return places, macs, grown

    def _at_step(self, steps: Array, which: Array | slice = slice(None)) -> Array:
        """Widths at the multipliers of these steps, one for each of some structures."""
        return self.scale.places[self.bases[:, which], steps]

    def _count(self, places: Array) -> Count:
        """See `WidthSolver.macs`."""
        family, widths, (size, end) = self.family, self.scale.grid[places], self.sizes[:2]
        stem, learns = family.stem, learned(family.stem.activation)
        if stem.factorised:
            total = factorised(3, widths[0], stem.kernel, size, end, learns)
        else:
            total = convolution(3, widths[0], stem.kernel, end, learns)
        for rows in self.rows:
            total += rows.count(widths)
        learns = learned(family.head_activation)
        last, head, hidden = widths[-3:]
        if family.head_channels:
            total += pointwise(last, head, Mixed.of(self.head_chosen, last, head), self.sizes[-1], learns)
            last = head
        if family.head_hidden:
            total += linear(last, hidden, learns)
            last = hidden
        return total + linear(last, self.classes)


@dataclass(frozen=True, slots=True)
class _Scale:
    """The widths that a multiplier can make of each base of a family."""

    grid: Array
    """Widths, the last of which is 0, where there is no such layer."""
    multipliers: Array
    """At each step."""
    bases: Array
    places: Array
    """In the grid: of each base at each step, and -1 behind the last."""

    @classmethod
    def of(cls, family: FamilyFile, bases: Array) -> tuple[Self, Array]:
        """For all that are among some bases, and where each of them is."""
        grid = np.array([*width_grid(), 0])
        multipliers = np.array([multiplier_at(family, step) for step in range(steps_of(family))])
        different, which = np.unique(bases, return_inverse=True)
        places = np.searchsorted(grid_steps(), multipliers * different[:, None])
        places[different == 0] = len(grid) - 1
        places = np.pad(places, ((0, 0), (0, 1)), constant_values=-1)
        return cls(grid, multipliers, different, places), which.reshape(bases.shape)
