"""Weights in the order in which the kernels read them, one behind the other."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

BLOCK_ROWS = 6
"""Output channels that a product of matrices makes at once (multiply.h)."""
OUTPUTS_TOGETHER = 16
"""Of a linear layer (linear.h)."""
ALIGNMENT = 16


@dataclass
class Weights:
    """All weights, as they are appended."""

    parts: list[Array] = field(default_factory=list)
    size: int = 0

    def append(self, values: Array) -> int:
        """Where they begin, in elements."""
        begin = self.size
        flat = np.ascontiguousarray(values, dtype=np.float32).reshape(-1)
        padded = np.pad(flat, (0, -len(flat) % ALIGNMENT))
        self.parts.append(padded)
        self.size += len(padded)
        return begin

    def tobytes(self) -> bytes:
        """Little-endian."""
        return np.concatenate(self.parts).astype("<f4").tobytes()


def blocks(rows: int) -> list[int]:
    """Rows in nearly equal blocks, as `multiply_rows` has them."""
    count = -(-rows // BLOCK_ROWS)
    return [rows // count + (i < rows % count) for i in range(count)]


def matrix(weights: Array, groups: int) -> Array:
    """(outputs, inputs of a group) to blocks of outputs, each (inputs, outputs of the block)."""
    packed = []
    for group in np.split(weights, groups):
        ends = np.cumsum(blocks(len(group)))[:-1]
        packed += [block.T.reshape(-1) for block in np.split(group, ends)]
    return np.concatenate(packed)


def linear(weights: Array) -> Array:
    """(outputs, inputs) to (outputs / 16, inputs, 16)."""
    outputs, inputs = weights.shape
    padded = np.pad(weights, ((0, -outputs % OUTPUTS_TOGETHER), (0, 0)))
    return padded.reshape(-1, OUTPUTS_TOGETHER, inputs).transpose(0, 2, 1)
