"""A hard limit of milliseconds beside that of MACs: who stays below it, and how a network that does is found."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bft_nas.core.errors import UserError, setting
from bft_nas.core.units import format_macs
from bft_nas.network.architecture import Architecture
from bft_nas.space.drawing import mutate
from bft_nas.space.space import Proposal, SearchSpace

DRAWN = 100
"""Uniform networks from which a fast one is sought."""
PARENTS, CHILDREN, GENERATIONS = 10, 60, 12
"""The fastest so far, of which so many mutations are made so many times."""


@dataclass(frozen=True)
class LatencyLimit:
    """How fast networks are, and the slowest that may be trained."""

    predict: Callable[[Architecture], float]
    """Milliseconds of a network, the same whenever it is asked."""
    most: float | None = None
    """In milliseconds; without it networks are as slow as they are."""

    def fits(self, network: Architecture) -> bool:
        """Whether a network may be trained."""
        return self.most is None or self.predict(network) <= self.most

    def check(self, space: SearchSpace, budgets: Sequence[int], runtime: str) -> None:
        """UserError with the range that was found when no network of a space within a budget stays below the limit.

        Args:
            space: whose every family can stay within the smallest budget.
            budgets: in MACs; the limit is that of each of them.
            runtime: of the predictions, for the message.
        """
        if self.most is None:
            return
        for budget in budgets:
            found = descend(self, space, (budget,), seed=0)
            if found.fastest[0] > self.most:
                raise UserError(
                    f"{setting('latency')} {self.most:g}ms: below all networks of space '{space.name}' within "
                    f"{format_macs(budget)} MACs that were found; expected {found.fastest[0]:.2f} to "
                    f"{found.slowest:.2f} ms ({runtime}, predicted)"
                )


@dataclass(frozen=True)
class Descent:
    """What a search for fast networks alone has found."""

    fastest: tuple[float, Proposal]
    slowest: float
    """In milliseconds."""


def descend(limit: LatencyLimit, space: SearchSpace, budgets: Sequence[int], seed: int) -> Descent:
    """The first network below a limit, or else the fastest one found: uniform ones, then mutations of the fastest.

    Args:
        limit: with or without a ``most``, which ends the search where it is met.
        space: see `LatencyLimit.check`.
        budgets: in MACs; with several, the choice among them is a part of the proposals.
        seed: the same one gives the same network.
    """
    rng = random.Random(seed)
    known: dict[str, tuple[float, Proposal]] = {}

    def see(proposal: Proposal) -> bool:
        milliseconds = limit.predict(proposal.architecture)
        known[proposal.architecture.hash] = milliseconds, proposal
        return limit.most is not None and milliseconds <= limit.most

    def result() -> Descent:
        ranked = sorted(known.values(), key=lambda each: each[0])
        return Descent(ranked[0], ranked[-1][0])

    for _ in range(DRAWN):
        if see(space.propose_for(lambda name, values: rng.choice(values), budgets)):
            return result()
    for _ in range(GENERATIONS):
        parents = sorted(known.values(), key=lambda each: each[0])[:PARENTS]
        chosen = [parents[place % len(parents)][1].parameters for place in range(CHILDREN)]
        if any(see(drawn.proposal()) for drawn in mutate(space, rng, budgets, chosen)):
            return result()
    return result()
