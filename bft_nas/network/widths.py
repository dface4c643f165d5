"""Channel counts that networks are given. Needs no torch."""

from __future__ import annotations

import math
from bisect import bisect_left
from functools import cache
from itertools import pairwise


def divisible(channels: float, divisor: int = 8) -> int:
    """The multiple of ``divisor`` nearest to a channel count, not below 90 % of it (MobileNetV2's code).

    >>> divisible(11), divisible(12), divisible(20)
    (16, 16, 24)
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor


@cache
def width_grid() -> tuple[int, ...]:
    """Multiples of 8 without a prime factor above 5, which cut into even butterfly stages and fill vector registers.

    >>> width_grid()[:8]
    (8, 16, 24, 32, 40, 48, 64, 72)
    """
    powers = (2**a * 3**b * 5**c for a in range(3, 16) for b in range(11) for c in range(8))
    return tuple(sorted(n for n in powers if n <= 1 << 15))


def on_grid(channels: float) -> int:
    """The width of the grid nearest to a channel count, as ratios go.

    >>> on_grid(100), on_grid(90), on_grid(0)
    (96, 96, 8)
    """
    return width_grid()[bisect_left(grid_steps(), channels)]


@cache
def grid_steps() -> tuple[float, ...]:
    """Where rounding passes from one width of the grid to the next: halfway, as ratios go."""
    return tuple(math.sqrt(low * high) for low, high in pairwise(width_grid()))
