"""The widths of a network whose every other choice is made: the largest that stay within a number of MACs."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from bft_nas.network.architecture import Architecture, Head, Stem
from bft_nas.network.blocks import Block, Chosen, chosen_fusion
from bft_nas.network.cost import head_layers, stem_layers
from bft_nas.network.layer import halved
from bft_nas.network.widths import on_grid, width_grid
from bft_nas.space.file import FamilyFile, StageFile

STEPS_PER_OCTAVE = 64
"""Multipliers tried lie this dense; finer ones round to the same widths nearly always."""
MACS_PER_WIDTH = 1.7
"""About the power of the width with which MACs grow: only a first guess, what it costs is time."""

ENOUGH = 0.95
"""Of an allowance: what uses more of it is not filled up once more, which takes as long again for the last percents."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage with every choice made but its width."""

    file: StageFile
    channels: float
    depth: int
    chosen: Chosen
    """What its kind of block chose."""


@dataclass(frozen=True, slots=True)
class Structure:
    """A network with every choice made but its widths."""

    family: FamilyFile
    resolution: int
    stages: tuple[Stage, ...]
    head_chosen: Chosen
    """What the head chose of `bft_nas.space.file.HEAD_CHOICES`; nothing where there is no such layer."""

    @property
    def bases(self) -> tuple[float, ...]:
        """What the multiplier makes widths of: stem, stages, head and hidden layer, 0 where there is no such layer."""
        family, wider = self.family, self.head_chosen.get("width", 1.0)
        stages = (stage.channels for stage in self.stages)
        return float(family.stem.channels), *stages, wider * family.head_channels, wider * family.head_hidden


def steps_of(family: FamilyFile) -> int:
    """How many multipliers are tried of a family at most."""
    return math.ceil(STEPS_PER_OCTAVE * math.log2(family.width_max / family.width_min)) + 1


def multiplier_at(family: FamilyFile, step: int) -> float:
    """The multiplier of all widths of a family at a step."""
    return min(family.width_max, family.width_min * 2 ** (step / STEPS_PER_OCTAVE))


class WidthSolver:
    """Widths of one structure for a number of MACs. Remembers what each block costs at each pair of widths."""

    def __init__(self, structure: Structure, classes: int) -> None:
        self.structure = structure
        self.classes = classes
        family = structure.family
        stem = family.stem
        self.stem = Stem(**asdict(stem))
        self.sizes = [self.stem.end(structure.resolution)]
        for stage in structure.stages:
            self.sizes.append(halved(self.sizes[-1], stage.file.stride))
        self.bases = structure.bases
        self._remembered: dict[tuple[int, int, int], int] = {}

    def solve(self, allowance: int) -> tuple[int, list[int]] | None:
        """The largest widths within ``allowance`` MACs, behind the MACs that they come to; None if the least have more.

        First the largest multiplier of all widths at once, by bisection (a butterfly's cost dips where a stage
        is added, so beyond the first multiplier that is too large there may be another that is not); then, as
        rounding to the grid leaves something over, each width up by one step if that still fits, those first
        that rounding cut most; and those that grew again, until none does or `ENOUGH` is used.
        """
        family = self.structure.family
        low, high = 0, steps_of(family)
        widths = self.widths(family.width_min)
        macs = self.macs(widths)
        if macs > allowance:
            return None
        step, step_macs = low, macs
        while high - low > 1:
            guess = step + STEPS_PER_OCTAVE / MACS_PER_WIDTH * math.log2(allowance / step_macs)
            step = min(max(round(guess), low + 1), high - 1)
            tried = self.widths(multiplier_at(family, step))
            step_macs = self.macs(tried)
            if step_macs <= allowance:
                low, widths, macs = step, tried, step_macs
            else:
                high = step
        return self._filled(widths, macs, multiplier_at(family, low), allowance)

    def _filled(
        self, widths: list[int], macs: int, multiplier: float, allowance: int
    ) -> tuple[int, list[int]]:
        grid = width_grid()
        cut_most = sorted(
            (i for i, base in enumerate(self.bases) if base),
            key=lambda i: (widths[i] / (multiplier * self.bases[i]), i),
        )
        growing = cut_most if multiplier < self.structure.family.width_max else []
        while growing:
            tried, growing = growing, []
            for i in tried:
                if widths[i] == grid[-1]:
                    continue
                wider = [*widths[:i], grid[bisect_left(grid, widths[i]) + 1], *widths[i + 1 :]]
                wider_macs = self.macs(wider)
                if macs < wider_macs <= allowance:
                    widths, macs = wider, wider_macs
                    growing.append(i)
            if macs >= ENOUGH * allowance:
                break
        return macs, widths

    def widths(self, multiplier: float) -> list[int]:
        """Those of `Structure.bases` at a multiplier, on the grid."""
        return [on_grid(multiplier * base) if base else 0 for base in self.bases]

    def macs(self, widths: Sequence[int]) -> int:
        """What `cost` says of the architecture of these widths, in a few microseconds."""
        key = (-1, 0, widths[0])
        total = self._remembered.get(key)
        if total is None:
            total = self._remembered[key] = self._stem_macs(widths[0])
        for i, stage in enumerate(self.structure.stages):
            key = (i, widths[i], widths[i + 1])
            known = self._remembered.get(key)
            if known is None:
                known = self._remembered[key] = self._first_macs(*key)
            total += known
            if stage.depth > 1:
                key = (i, 0, widths[i + 1])
                known = self._remembered.get(key)
                if known is None:
                    known = self._remembered[key] = self._repeat_macs(i, widths[i + 1])
                total += known
        key = (-1 - widths[-3], widths[-2], widths[-1])
        known = self._remembered.get(key)
        if known is None:
            layers = head_layers(self._head(widths), widths[-3], self.sizes[-1], self.classes)
            known = self._remembered[key] = sum(layer.macs for layer in layers)
        return total + known

    def _stem_macs(self, width: int) -> int:
        layers = stem_layers(replace(self.stem, channels=width), 3, self.structure.resolution)
        return sum(layer.macs for layer in layers)

    def _head(self, widths: Sequence[int]) -> Head:
        activation = self.structure.family.head_activation
        fusion = chosen_fusion(self.structure.head_chosen, *widths[-3:-1])
        return Head(widths[-2], fusion, widths[-1], activation)

    def _first_macs(self, index: int, in_channels: int, channels: int) -> int:
        row = self._row(index, in_channels, channels, self.structure.stages[index].file.stride)
        return sum([layer.macs for layer in row.layers(in_channels, self.sizes[index])])

    def _repeat_macs(self, index: int, channels: int) -> int:
        """Of all rows of a stage but its first."""
        row = self._row(index, channels, channels, 1)
        each = sum([layer.macs for layer in row.layers(channels, self.sizes[index + 1])])
        return each * (self.structure.stages[index].depth - 1)

    def _row(self, index: int, in_channels: int, channels: int, stride: int) -> Block:
        stage = self.structure.stages[index]
        file = stage.file
        return file.kind.chosen(stage.chosen, in_channels, channels, stride, file.activation, index)

    def architecture(self, widths: Sequence[int]) -> Architecture:
        """The network of these widths."""
        family = self.structure.family
        rows: list[Block] = []
        for i, stage in enumerate(self.structure.stages):
            rows.append(self._row(i, widths[i], widths[i + 1], stage.file.stride))
            if stage.depth > 1:
                rows += [self._row(i, widths[i + 1], widths[i + 1], 1)] * (stage.depth - 1)
        return Architecture(
            family.name,
            self.structure.resolution,
            replace(self.stem, channels=widths[0]),
            tuple(rows),
            self._head(widths),
            self.classes,
        )
