"""The widths of a network whose every other choice is made: the largest that stay within a number of MACs."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from bft_nas.network.architecture import DENSE, Architecture, Block, Head, Stem
from bft_nas.network.cost import Layer, block_layers, halved, head_layers
from bft_nas.network.widths import on_grid, width_grid
from bft_nas.space.file import FamilyFile

STEPS_PER_OCTAVE = 64
"""Multipliers tried lie this dense; finer ones round to the same widths nearly always."""
MACS_PER_WIDTH = 1.7
"""About the power of the width with which MACs grow: only a first guess, what it costs is time."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage with every choice made but its width."""

    block: Block
    channels: float
    depth: int
    expansion: float
    squeeze_excite: bool


@dataclass(frozen=True, slots=True)
class Structure:
    """A network with every choice made but its widths."""

    family: FamilyFile
    resolution: int
    stages: tuple[Stage, ...]
    head_fusion: str


class WidthSolver:
    """Widths of one structure for a number of MACs. Remembers what each block costs at each pair of widths."""

    def __init__(self, structure: Structure, classes: int) -> None:
        self.structure = structure
        self.classes = classes
        family = structure.family
        size = halved(structure.resolution, family.stem.stride)
        self.stem_size = size
        self.sizes = [halved(size, 2) if family.stem.pool else size]
        for stage in structure.stages:
            self.sizes.append(halved(self.sizes[-1], stage.block.stride))
        bases = [float(family.stem.channels), *(stage.channels for stage in structure.stages)]
        self.bases = [*bases, float(family.head_channels), float(family.head_hidden)]
        self._remembered: dict[tuple[int, int, int], int] = {}

    def solve(self, allowance: int) -> tuple[int, Architecture] | None:
        """The widest network of at most ``allowance`` MACs, with its MACs; None if the narrowest has more.

        First the largest multiplier of all widths at once, by bisection (a butterfly's cost dips where a stage
        is added, so beyond the first multiplier that is too large there may be another that is not); then, as
        rounding to the grid leaves something over, each width up by one step if that still fits, those first
        that rounding cut most.
        """
        family = self.structure.family
        low, high = 0, math.ceil(STEPS_PER_OCTAVE * math.log2(family.width_max / family.width_min)) + 1
        widths = self.widths(family.width_min)
        macs = self.macs(widths)
        if macs > allowance:
            return None
        step, step_macs = low, macs
        while high - low > 1:
            guess = step + STEPS_PER_OCTAVE / MACS_PER_WIDTH * math.log2(allowance / step_macs)
            step = min(max(round(guess), low + 1), high - 1)
            tried = self.widths(self._multiplier(step))
            step_macs = self.macs(tried)
            if step_macs <= allowance:
                low, widths, macs = step, tried, step_macs
            else:
                high = step
        return self._filled(widths, macs, self._multiplier(low), allowance)

    def _multiplier(self, step: int) -> float:
        family = self.structure.family
        return min(family.width_max, family.width_min * 2 ** (step / STEPS_PER_OCTAVE))

    def _filled(
        self, widths: list[int], macs: int, multiplier: float, allowance: int
    ) -> tuple[int, Architecture]:
        grid = width_grid()
        cut_most = sorted(
            (i for i, base in enumerate(self.bases) if base and widths[i] < grid[-1]),
            key=lambda i: (widths[i] / (multiplier * self.bases[i]), i),
        )
        if multiplier < self.structure.family.width_max:
            for i in cut_most:
                wider = [*widths[:i], grid[bisect_left(grid, widths[i]) + 1], *widths[i + 1 :]]
                wider_macs = self.macs(wider)
                if macs < wider_macs <= allowance:
                    widths, macs = wider, wider_macs
        return macs, self.architecture(widths)

    def widths(self, multiplier: float) -> list[int]:
        """Stem, stages, head and hidden layer at a multiplier, on the grid; 0 where there is no such layer."""
        return [on_grid(multiplier * base) if base else 0 for base in self.bases]

    def macs(self, widths: Sequence[int]) -> int:
        """What `cost` says of the architecture of these widths, in a few microseconds."""
        total = self._stem_layer(widths[0]).macs
        for i in range(len(self.structure.stages)):
            key = (i, widths[i], widths[i + 1])
            known = self._remembered.get(key)
            if known is None:
                known = self._remembered[key] = self._stage_macs(*key)
            total += known
        key = (-1 - widths[-3], widths[-2], widths[-1])
        known = self._remembered.get(key)
        if known is None:
            fusion = self.structure.head_fusion
            layers = head_layers(widths[-3], self.sizes[-1], widths[-2], fusion, widths[-1], self.classes)
            known = self._remembered[key] = sum(layer.macs for layer in layers)
        return total + known

    def _stem_layer(self, width: int) -> Layer:
        return Layer("stem.conv", 3, width, self.stem_size, self.structure.family.stem.kernel)

    def _stage_macs(self, index: int, in_channels: int, channels: int) -> int:
        first, rest = self._rows(index, in_channels, channels)
        size, end = self.sizes[index], self.sizes[index + 1]
        macs = sum(layer.macs for layer in block_layers(first, in_channels, size))
        repeats = self.structure.stages[index].depth - 1
        if repeats:
            macs += repeats * sum(layer.macs for layer in block_layers(rest, channels, end))
        return macs

    def _rows(self, index: int, in_channels: int, channels: int) -> tuple[Block, Block]:
        """The first row of a stage and all that follow."""
        stage = self.structure.stages[index]
        like = stage.block

        def row(entering: int, stride: int) -> Block:
            expanded = expanded_channels(entering, stage.expansion)
            return Block(
                like.kind,
                channels,
                like.kernel,
                stride,
                like.activation,
                like.fusion,
                expanded,
                DENSE if expanded == entering else like.expand_fusion,
                squeeze_channels(expanded) if stage.squeeze_excite else 0,
                like.stage,
            )

        return row(in_channels, like.stride), row(channels, 1)

    def architecture(self, widths: Sequence[int]) -> Architecture:
        """The network of these widths."""
        family = self.structure.family
        rows: list[Block] = []
        for i, stage in enumerate(self.structure.stages):
            first, rest = self._rows(i, widths[i], widths[i + 1])
            rows += [first, *[rest] * (stage.depth - 1)]
        return Architecture(
            family.name,
            self.structure.resolution,
            Stem(widths[0], family.stem.kernel, family.stem.stride, family.stem.activation, family.stem.pool),
            tuple(rows),
            Head(widths[-2], self.structure.head_fusion, widths[-1], family.head_activation),
            self.classes,
        )


def expanded_channels(channels: int, expansion: float) -> int:
    """Channels inside an inverted block: the input's times the expansion, to the nearest multiple of 8."""
    return max(8, round(channels * expansion / 8) * 8) if expansion else 0


def squeeze_channels(expanded: int) -> int:
    """Channels in the middle of a squeeze-excite: a quarter of the expanded ones, a multiple of 8 (MobileNetV3)."""
    return max(8, round(expanded / 32) * 8)
