"""Whether a proxy can be trusted: candidates of all ranks, trained as those that may win are.

The confirmation trains the best ones alone. Among them a proxy's mistakes are as large as their differences, so that
they tell little of how it ranks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bft_nas.searching.racing import AtRung, Due, Outcomes, Racer, untrained

if TYPE_CHECKING:
    from bft_nas.record import Run

SECOND_SEED = 3
"""One of so many networks is trained with a second seed, which tells how far seeds are apart."""


def of_all_ranks(run: Run, count: int) -> tuple[int, ...]:
    """The numbers of so many candidates of a run, or of all, evenly spread from the most accurate to the least."""
    entries = run.ledger.history.entries
    complete = [entry for entry in entries if entry.state == "complete" and entry.repeats is None]
    ranked = sorted(complete, key=lambda entry: (-entry.accuracies[-1], entry.number))
    places = np.linspace(0, len(ranked) - 1, min(count, len(ranked)))
    return tuple(ranked[round(place)].number for place in places)


def sample_round(
    racers: Sequence[Racer],
    outcomes: Mapping[str, Outcomes],
    seeds: Sequence[int],
    rungs: AtRung | None = None,
) -> list[Due]:
    """A `bft_nas.searching.racing.RoundRule`: everyone has the first seed, and one of `SECOND_SEED` a second one."""
    wanted = [Due(racer, seeds[0]) for racer in racers]
    wanted += [Due(racer, seeds[1]) for racer in racers[::SECOND_SEED]]
    return untrained(wanted, outcomes)
