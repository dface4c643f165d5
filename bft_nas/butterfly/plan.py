"""How a butterfly transform of any size is cut into stages, and what it costs. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice


@cache
def factorize(n: int, radix: int) -> tuple[int, ...]:
    """Stage sizes of a square butterfly transform of ``n`` channels, largest first; their product is ``n``.

    As few stages as possible with no composite factor above ``radix`` (a prime above it cannot be split),
    and of those the factors with the smallest sum, which is the cheapest: 64 at radix 16 is 8*8, not 16*4.
    A single channel is one stage of size 1. Mixed radix as in FFTs, so ``n`` is never padded.

    Raises ValueError when ``n < 1`` or ``radix < 2``.

    >>> factorize(64, 4), factorize(24, 4), factorize(88, 4), factorize(512, 16)
    ((4, 4, 4), (4, 3, 2), (11, 4, 2), (8, 8, 8))
    """
    if n < 1:
        raise ValueError(f"a butterfly transform needs at least 1 channel, got {n}")
    if radix < 2:
        raise ValueError(f"a butterfly radix is 2 or more, got {radix}")
    return _fewest_then_smallest(n, radix) if n > 1 else (1,)


@cache
def _fewest_then_smallest(n: int, radix: int) -> tuple[int, ...]:
    if n == 1:
        return ()
    divisors = {d for low in range(1, int(n**0.5) + 1) if n % low == 0 for d in (low, n // low)}
    candidates = (
        tuple(sorted((d, *_fewest_then_smallest(n // d, radix)), reverse=True))
        for d in divisors
        if d > 1 and (d <= radix or _is_prime(d))
    )
    return min(candidates, key=lambda factors: (len(factors), sum(factors), factors))


def _is_prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))


@cache
def root_divisor(n: int) -> int:
    """The least divisor of a number that is at least its root.

    >>> [root_divisor(n) for n in (4, 6, 8, 12, 16, 24)]
    [2, 3, 4, 4, 4, 6]
    """
    return next(divisor for divisor in range(math.isqrt(n - 1) + 1, n + 1) if n % divisor == 0)


def root_radix(n: int) -> int:
    """The least radix that cuts a square transform of ``n`` channels into two stages: about the root of ``n``.

    Where ``n`` is a prime no radix does, and this is ``n``; 2 is the least.

    >>> root_radix(64), root_radix(96), root_radix(512), root_radix(7)
    (8, 12, 32, 7)
    """
    return max(2, root_divisor(n))


MERGED_STAGES = 3
"""More than these, some of them merged, are no faster than all as they are: each is a pass over the image."""


@cache
def cuts(stages: int) -> tuple[tuple[int, ...], ...]:
    """How neighbouring stages may be multiplied: all ways that leave 2 to `MERGED_STAGES`, and that which merges none.

    Each is a number of stages for each of those that are left: fewer passes over the image, at more products.

    >>> cuts(3), len(cuts(5)), cuts(1)
    (((2, 1), (1, 2), (1, 1, 1)), 11, ())
    """
    return tuple(cut for cut in _runs(stages) if 1 < len(cut) <= MERGED_STAGES or 1 < len(cut) == stages)


def merged_factors(factors: Sequence[int], cut: Sequence[int]) -> tuple[int, ...]:
    """The sizes of stages that are each the product of ``cut[i]`` neighbours.

    >>> merged_factors((4, 3, 2), (2, 1))
    (12, 2)
    """
    left = iter(factors)
    return tuple(math.prod(islice(left, count)) for count in cut)


def _runs(stages: int) -> list[tuple[int, ...]]:
    if stages == 0:
        return [()]
    return [(first, *rest) for first in range(stages, 0, -1) for rest in _runs(stages - first)]


@dataclass(frozen=True)
class ButterflyPlan:
    """The layout of a butterfly transform from ``n_in`` to ``n_out`` channels.

    Built from square transforms of ``size = min(n_in, n_out)`` channels: side by side and cut to ``n_out``
    when it grows, one a chunk of the zero-padded input and summed when it shrinks (Alizadeh-Vahid et al.,
    CVPR 2020, section 3.3).

    >>> plan = ButterflyPlan(64, 96, radix=4)
    >>> plan.size, plan.copies, plan.factors, plan.macs, plan.weights
    (64, 2, (4, 4, 4), 1664, 1536)
    """

    n_in: int
    n_out: int
    radix: int

    @cached_property
    def size(self) -> int:
        """Channels of each square transform."""
        return min(self.n_in, self.n_out)

    @cached_property
    def copies(self) -> int:
        """Number of square transforms."""
        return -(-max(self.n_in, self.n_out) // self.size)

    @cached_property
    def chunks(self) -> int:
        """Parts that the zero-padded input is cut into."""
        return -(-self.n_in // self.size)

    @cached_property
    def factors(self) -> tuple[int, ...]:
        """Stage sizes, the stage that mixes the most distant channels first."""
        return factorize(self.size, self.radix)

    @cached_property
    def weights(self) -> int:
        """Number of weights."""
        return self.copies * self.size * sum(self.factors)

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates per pixel: n * sum(factors) a square transform, and n for its residual."""
        return self.weights + self.residual_macs

    @cached_property
    def residual_macs(self) -> int:
        """Accumulates per pixel of the residuals, the part of ``macs`` that no counter of products sees."""
        return self.copies * self.size


@cache
def butterfly_macs(n_in: int, n_out: int, radix: int) -> int:
    """Multiply-accumulates per pixel of a butterfly transform; see `ButterflyPlan.macs`."""
    return ButterflyPlan(n_in, n_out, radix).macs
