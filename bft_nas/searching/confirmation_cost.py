"""What a confirmation costs, said before it begins and while the search is under way."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bft_nas.record import Candidate, Run
from bft_nas.searching.contenders import Contender
from bft_nas.searching.racing import PROMOTED, SEEDED, Racer, promoted_of
from bft_nas.searching.shortlist import RESERVES, SHORTLIST
from bft_nas.training.confirmation import Confirmation, time_of

if TYPE_CHECKING:
    from bft_nas.searching.loop import Watcher
    from bft_nas.training.protocol import Protocol


@dataclass(frozen=True)
class Cost:
    """What a confirmation costs, in whole trainings; those that are left at the rung count as their part."""

    least: float
    """When nobody but the best candidate and the best reference gets a second seed."""
    most: float
    """When everybody who goes on gets all of them."""
    parts: int
    """At most: a training that goes on from the rung has two."""

    def __str__(self) -> str:
        least, most = math.ceil(self.least), math.ceil(self.most)
        return f"{least} to {most} trainings" if least < most else f"{most} trainings"


def cost_of(candidates: int, references: int, *, budgets: int, confirmation: Confirmation) -> Cost:
    """What it costs to confirm so many candidates, called reserves among them, and references at so many budgets.

    >>> from bft_nas.training.protocol import Protocol
    >>> confirmation = Confirmation(Protocol("images", "", 10, 100, 20, 6, epochs=2))
    >>> str(cost_of(SHORTLIST + 1 + RESERVES, 4, budgets=1, confirmation=confirmation))
    '17 to 35 trainings'
    """
    further = len(confirmation.seeds) - 1
    compared = min(budgets, candidates) + min(budgets, references)
    # As many of each budget as if it had all candidates, at most, and the best one without butterflies.
    of = PROMOTED if confirmation.rung else SEEDED
    able = min(candidates, budgets * (promoted_of(candidates, of) + 1))
    first, parts = float(candidates), candidates
    if confirmation.rung:
        part = confirmation.rung / confirmation.epochs
        first, parts = candidates * part + able * (1 - part), candidates + able
    return Cost(
        first + references + compared * further,
        first + references + (able + references) * further,
        parts + references + (able + references) * further,
    )


def expected_cost(run: Run, references: int, confirmation: Confirmation) -> Cost:
    """What the confirmation of a run costs that is compared with so many references at each budget."""
    budgets, trials = len(run.settings.budgets), run.settings.trials
    most = budgets * (SHORTLIST + 1 + RESERVES)
    candidates = most if trials is None else min(most, trials)
    return cost_of(candidates, budgets * references, budgets=budgets, confirmation=confirmation)


def cost_of_contenders(contenders: Sequence[Contender], confirmation: Confirmation) -> Cost:
    """What it costs to confirm these."""
    racers = [contender.racer for contender in contenders]
    references = sum(racer.reference for racer in racers)
    budgets: frozenset[int] = frozenset().union(*(racer.budgets for racer in racers))
    called = sum(_most_called(racers, budget) for budget in budgets)
    candidates = sum(not racer.reference and not racer.reserve for racer in racers) + called
    return cost_of(candidates, references, budgets=len(budgets), confirmation=confirmation)


def _most_called(racers: Sequence[Racer], budget: int) -> int:
    """How many reserves of one kind there are within a budget at most."""
    kinds = Counter(racer.kind for racer in racers if racer.reserve and budget in racer.budgets)
    return max(kinds.values(), default=0)


def seconds_of(run: Run, protocol: Protocol, workers: int) -> float | None:
    """How long a training of the confirmation keeps a run from the next one, from its proxy trainings; None without."""
    results = run.results()
    trained = results[results["state"] == "complete"]
    if trained.empty:
        return None
    # More workers than candidates had nothing to do.
    at_once = min(workers, len(trained))
    return float(trained["seconds"].mean()) * time_of(protocol, run.protocol) / at_once


class Forewarning:
    """A watcher of a search that is told what the confirmation will cost, once `ENOUGH` candidates were trained.

    Args:
        watcher: what is notified of all.
        cost: says it; empty where there will be none.
        known: candidates trained before: where they are enough, the plan has said it.
    """

    ENOUGH = 3

    def __init__(self, watcher: Watcher, cost: Callable[[], str], known: int) -> None:
        self.watcher = watcher
        self.cost = cost
        self.trained = known
        self.begin, self.step, self.epoch = watcher.begin, watcher.step, watcher.epoch
        self.lost, self.advise = watcher.lost, watcher.advise

    def end(self, candidate: Candidate, accuracy: float | None, reason: str, seconds: float) -> None:
        """See `bft_nas.searching.loop.Watcher`."""
        self.watcher.end(candidate, accuracy, reason, seconds)
        self.trained += accuracy is not None
        if self.trained == self.ENOUGH and accuracy is not None and (cost := self.cost()):
            self.advise(f"confirmation after the search: {cost}")
