"""Widths inside a block, of one row and of many. Needs no torch."""

from __future__ import annotations

from bft_nas.network.layer import Array


def expanded_channels(channels: int, expansion: float) -> int:
    """Channels inside the block: the input's times the expansion, to the nearest multiple of 8."""
    return max(8, round(channels * expansion / 8) * 8)


def many_expanded_channels(channels: Array, expansion: Array) -> Array:
    """`expanded_channels` of many rows."""
    return (channels * expansion / 8).round().clip(1).astype(int) * 8


def squeeze_channels(channels: int) -> int:
    """Channels in the middle of a squeeze-excite: a quarter of the scaled ones, a multiple of 8 (MobileNetV3)."""
    return max(8, round(channels / 32) * 8)


def many_squeeze_channels(channels: Array) -> Array:
    """`squeeze_channels` of many rows."""
    return (channels / 32).round().clip(1).astype(int) * 8
