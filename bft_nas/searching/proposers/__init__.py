"""Who proposes what is trained next: a surrogate model, random, TPE and NSGA-II.

A proposer is a function of the record: the same history and seed give the same proposal, so that a search which was
killed proposes what an undisturbed one would have. Another one is a file beside these and a line in `PROPOSERS`.

The names alone are cheap to import: the help of the command line has them.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bft_nas.network.architecture import Architecture
    from bft_nas.record import History
    from bft_nas.space.space import Proposal, SearchSpace

__all__ = ["PROPOSERS", "Fits", "NothingFits", "Proposer", "anything_fits"]

Fits = Callable[["Architecture"], bool]
"""Whether a network may be proposed."""


class NothingFits(Exception):  # noqa: N818
    """None of the networks that a proposer made, or considered, may be proposed."""


def anything_fits(network: Architecture) -> bool:
    """Where no more is asked of a network than its MACs."""
    return True


class Proposer(typing.Protocol):
    """Gives the next architecture of a search."""

    def __call__(
        self,
        space: SearchSpace,
        budgets: Sequence[int],
        history: History,
        seed: int,
        fits: Fits = anything_fits,
    ) -> Proposal:
        """One proposal for one of the budgets.

        Args:
            space: whose every family can stay within the smallest budget.
            budgets: in MACs; with several, the choice among them is part of the proposal, as ``budget``.
            history: all proposals so far with what came of them, those that were stopped early included.
            seed: of this proposal alone: another one for each, whatever was resumed in between.
            fits: what is asked of a network besides; the proposer makes as many as it can afford.

        Raises:
            NothingFits: of what it has made nothing does.
        """


def _file(name: str) -> Any:
    return import_module(f"{__name__}.{name}")


def _of_optuna(sampler: str, *, learns: bool = True) -> Proposer:
    home = _file("optuna_samplers")
    return home.OptunaProposer(getattr(home, sampler), learns=learns)  # type: ignore[no-any-return]


PROPOSERS: Mapping[str, Callable[[], Proposer]] = {
    "surrogate": lambda: _file("surrogate").Surrogate(),
    "tpe": lambda: _of_optuna("tpe"),
    "nsga2": lambda: _of_optuna("nsga2"),
    "random": lambda: _of_optuna("random", learns=False),
}
"""By the name that the option ``sampler`` takes; each call makes one for one search."""
