"""The rows of a network with what enters them. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bft_nas.network.blocks import Block
from bft_nas.network.layer import halved


class Row(NamedTuple):
    """A block and its input."""

    block: Block
    in_channels: int
    size: int
    """Height and width of the input."""

    @property
    def end(self) -> int:
        """Height and width of the output."""
        return halved(self.size, self.block.stride)


def walk(blocks: Iterable[Block], in_channels: int, size: int) -> Iterator[Row]:
    """Blocks in the order in which they run; ``in_channels`` and ``size`` are those of the first one's input."""
    for block in blocks:
        yield Row(block, in_channels, size)
        in_channels, size = block.channels, halved(size, block.stride)
