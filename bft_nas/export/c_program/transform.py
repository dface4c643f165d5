"""A butterfly as the stages that its kernel runs: their order of rows, weights and tables of channels."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Self

import numpy as np
import numpy.typing as npt

from bft_nas.butterfly.plan import merged_factors
from bft_nas.export.folded_butterfly import FoldedButterfly

Array = npt.NDArray[np.float32]

MOST_ROWS = 8
"""Of a block that the kernel has; the rows of larger stages are several blocks."""
MERGED_MACS = 1.2
"""How many times the MACs of two stages their product may have and be as fast."""
DENSE_GAIN = 1.5
"""How many times the MACs of a transform its matrix may have and be as fast."""


def worth_structure(layer: FoldedButterfly) -> bool:
    """Whether stages are worth their memory traffic, or the whole matrix is faster."""
    structured: int = sum(stage.numel() for stage in layer.stages)
    return layer.in_channels * layer.out_channels > DENSE_GAIN * structured


def cut_of(layer: FoldedButterfly) -> tuple[int, ...]:
    """How many neighbouring stages are one, which have few more MACs as one: rows are read and written once less.

    By a rule for this kernel alone, whose stages stay in the cache; runtimes choose by time among
    `bft_nas.butterfly.plan.cuts`.
    """
    cut: list[int] = []
    factor, columns = 1, 1
    for following, stage in zip(layer.factors, layer.stages, strict=True):
        _, rows, more_columns = stage.shape
        products = rows * columns
        if cut and factor * following <= MOST_ROWS and products <= MERGED_MACS * (columns + rows):
            cut[-1] += 1
            factor, columns = factor * following, columns * more_columns
        else:
            cut.append(1)
            factor, columns = following, more_columns
    return tuple(cut)


@dataclass(frozen=True)
class Stage:
    """A stage, its rows in blocks; see butterfly.h."""

    weights: Array
    """(before, rest, blocks, columns, rows of a block)"""
    in_place: bool

    @property
    def rows(self) -> int:
        """That it writes."""
        before, rest, blocks, _, rows = map(int, self.weights.shape)
        return before * rest * blocks * rows


@dataclass(frozen=True)
class Transform:
    """All stages, without the rows that no output needs."""

    stages: tuple[Stage, ...]
    size: int
    chunks: int
    inputs: int
    scale: Array
    """Of the residual, (stored rows)."""
    bias: Array

    @classmethod
    def of(cls, layer: FoldedButterfly) -> Self:
        outputs = layer.out_channels
        cut = cut_of(layer)
        weights = [stage.numpy() for stage in layer.merged(cut)]
        factors = merged_factors(layer.factors, cut)
        total = prod(stage.shape[1] for stage in weights)
        before, rest = 1, prod(stage.shape[2] for stage in weights)
        stages: list[Stage] = []
        for factor, weight in zip(factors, weights, strict=True):
            _, rows, columns = weight.shape
            rest //= columns
            block = max(count for count in range(1, MOST_ROWS + 1) if factor % count == 0)
            # What begins with a larger e than the last output's is not computed; of the first stage, no further blocks.
            needed = -(-outputs * before // total)
            blocks = -(-outputs * rows // (total * block)) if before == 1 else rows // block
            blocked = weight.reshape(rest, before, rows // block, block, columns)[:, :needed, :blocks]
            packed = np.ascontiguousarray(blocked.transpose(1, 0, 2, 4, 3))
            stages.append(Stage(packed, in_place=rows == block))
            before *= rows
        stored = stages[-1].rows
        bias = np.pad(layer.bias.numpy(), (0, stored - outputs))
        scale = layer.residual_scale.numpy()[:stored]
        return cls(tuple(stages), layer.size, layer.chunks, layer.in_channels, scale, bias)

    @property
    def stored_rows(self) -> int:
        """That the last stage writes: the outputs, and what is left of their last group."""
        return len(self.bias)

    @property
    def between(self) -> int:
        """The most rows that there are between stages."""
        return max((stage.rows for stage in self.stages[:-1]), default=0)

    @property
    def scratch_rows(self) -> int:
        """Twice as many where a stage cannot work in place."""
        return self.between * (1 if all(stage.in_place for stage in self.stages[1:-1]) else 2)

    def first_channels(self) -> list[int]:
        """The input channel of each column of the first stage; -1 for those of zeros."""
        return self._channels(range(self.size))

    def residual_channels(self) -> list[int]:
        """The input channels that are added to each stored row, those of a row together."""
        return self._channels([row % self.size for row in range(self.stored_rows)])

    def _channels(self, of: range | list[int]) -> list[int]:
        channels = [chunk * self.size + c for c in of for chunk in range(self.chunks)]
        return [channel if channel < self.inputs else -1 for channel in channels]
