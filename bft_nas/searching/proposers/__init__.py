"""Who proposes what is trained next: a surrogate model, random, TPE and NSGA-II.

A proposer is a function of the record: the same history and seed give the same proposal, so that a search which was
killed proposes what an undisturbed one would have. Another one is a file beside these and a line in `PROPOSERS`.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence

from bft_nas.record import History
from bft_nas.searching.proposers.optuna_samplers import OptunaProposer, nsga2, random, tpe
from bft_nas.searching.proposers.surrogate import Surrogate
from bft_nas.space.space import Proposal, SearchSpace

__all__ = ["PROPOSERS", "OptunaProposer", "Proposer"]


class Proposer(typing.Protocol):
    """Gives the next architecture of a search."""

    def __call__(self, space: SearchSpace, budgets: Sequence[int], history: History, seed: int) -> Proposal:
        """One proposal for one of the budgets.

        Args:
            space: whose every family can stay within the smallest budget.
            budgets: in MACs; with several, the choice among them is part of the proposal, as ``budget``.
            history: all proposals so far with what came of them, those that were stopped early included.
            seed: of this proposal alone: another one for each, whatever was resumed in between.
        """


PROPOSERS: Mapping[str, Callable[[], Proposer]] = {
    "surrogate": Surrogate,
    "tpe": lambda: OptunaProposer(tpe),
    "nsga2": lambda: OptunaProposer(nsga2),
    "random": lambda: OptunaProposer(random, learns=False),
}
"""By the name that the option ``sampler`` takes; each call makes one for one search."""
