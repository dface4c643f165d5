"""Two grouped layers through few channels, in the place of a dense one. Needs no torch.

A layer in groups, an interleave, and another layer in groups: a Monarch matrix (Dao et al. 2022, arXiv:2204.00595), or
a butterfly of two stages without its residual. With fewer channels in the middle it is MicroNet's factorised pointwise
convolution (Li et al. 2021, arXiv:2108.05894).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class LowRankPlan:
    """The groups of both layers. Each group of the second one has a channel of each group of the first one.

    >>> plan = low_rank_plan(96, 96, 4)
    >>> plan, plan.rank, plan.weights
    (LowRankPlan(n_in=96, n_out=96, first=4, second=6), 24, 960)
    """

    n_in: int
    n_out: int
    first: int
    """Groups of the layer that narrows, of ``n_in / first`` inputs and ``second`` outputs each."""
    second: int
    """Groups of the layer that widens, of ``first`` inputs and ``n_out / second`` outputs each."""

    @property
    def rank(self) -> int:
        """Channels in the middle."""
        return self.first * self.second

    @property
    def weights(self) -> int:
        """Number of weights, each of them multiplied once a pixel."""
        return self.n_in * self.second + self.n_out * self.first


@cache
def low_rank_plan(n_in: int, n_out: int, narrowing: int) -> LowRankPlan:
    """The cheapest plan with at least ``min(n_in, n_out) / narrowing`` channels in the middle.

    ValueError when a count is below 1.
    """
    if min(n_in, n_out, narrowing) < 1:
        raise ValueError(f"a low-rank fusion needs counts of 1 or more, got {n_in}, {n_out} and {narrowing}")
    least = min(n_in, n_out) / narrowing
    plans = [
        LowRankPlan(n_in, n_out, first, second)
        for first in _divisors(n_in)
        for second in _divisors(n_out)
        if first * second >= least
    ]
    return min(plans, key=lambda plan: (plan.weights, plan.rank, plan.first))


@cache
def _divisors(n: int) -> tuple[int, ...]:
    return tuple(sorted({d for low in range(1, int(n**0.5) + 1) if n % low == 0 for d in (low, n // low)}))
