"""Who is trained with a further seed: those that can still win, and those that the winner has to be compared with.

In rounds, each of which trains everyone concerned with one seed. Who takes part in a round follows from the rounds
before it alone, so that a confirmation that is killed within a round continues as if nothing had happened.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bft_nas.record.confirmed import Sample, Spread, compare

Outcomes = Mapping[int, float | None]
"""Accuracies by seed; None where training failed."""

MARGIN = 0.003
"""How far behind the best one may be, besides the errors of both means."""
ERRORS = 1.5
"""How many standard errors behind."""
EXPECTED = Spread(0.01, 4)
"""How far seeds are apart as long as little was measured, and how many degrees of freedom that is worth: 0.6 points
were measured of confirmations within 50M MACs on Fashion-MNIST, 1.1 to 1.5 within 15M on CIFAR-10."""


@dataclass(frozen=True)
class Racer:
    """A network that takes part."""

    key: str
    budgets: frozenset[int]
    """In MACs: those for which it is confirmed."""
    reference: bool = False
    dense: bool = False
    """A candidate without butterflies."""
    kind: str = ""
    """Of a candidate: see `bft_nas.searching.shortlist.kind_of`."""
    reserve: bool = False
    """It takes part once a candidate of its kind is the best one."""


Rule = Callable[[Sequence[Racer], Mapping[str, Outcomes], Sequence[int]], list[tuple[Racer, int]]]
"""What is still to be trained in the round that is under way, each with its seed; empty when nothing is left."""


def next_round(
    racers: Sequence[Racer], outcomes: Mapping[str, Outcomes], seeds: Sequence[int]
) -> list[tuple[Racer, int]]:
    """What is still to be trained in the round that is under way, each with its seed; empty when nothing is left.

    Everyone but the reserves has the first seed. Who is given another one is for `going_on` to say, by what was known
    when the round began. At the end the best candidate, the best one without butterflies and the best reference of each
    budget have all seeds, unless their trainings failed.
    """
    known: dict[str, dict[int, float | None]] = {racer.key: {} for racer in racers}
    concerned = {racer.key for racer in racers if not racer.reserve}
    while True:
        due = [
            (racer, seeds[len(known[racer.key])])
            for racer in racers
            if racer.key in concerned and len(known[racer.key]) < len(seeds)
        ]
        missing = [(racer, seed) for racer, seed in due if seed not in outcomes.get(racer.key, {})]
        if missing:
            return missing
        if not due:
            # Reserves that nobody called and that were trained all the same, such as for `bft-nas fidelity`.
            concerned = {r.key for r in racers if not known[r.key] and seeds[0] in outcomes.get(r.key, {})}
            if not concerned:
                return []
            continue
        for racer, seed in due:
            known[racer.key][seed] = outcomes[racer.key][seed]
        concerned = going_on(racers, {key: _accuracies(each) for key, each in known.items() if each})


def going_on(racers: Sequence[Racer], samples: Mapping[str, Sample]) -> set[str]:
    """Who needs another seed: within each budget the candidates that may be the best one, and whom to compare it with.

    A candidate may be the best one as long as it is at most `ERRORS` standard errors of the difference and `MARGIN`
    behind. The best one without butterflies and the best reference are always among them, and so are the reserves of
    the best one's kind that were not trained yet.
    """
    compared = compare({racer.key: samples[racer.key] for racer in racers if samples.get(racer.key)})
    means, spread = compared.means, _expected_spread(compared.spread)
    trained = [racer for racer in racers if racer.key in means]

    def may_be_best(racer: Racer, leader: Racer) -> bool:
        error = spread.deviation * math.sqrt(compared.variance(racer.key, leader.key))
        return means[racer.key] + ERRORS * error + MARGIN >= means[leader.key]

    found: set[str] = set()
    for budget in sorted(set().union(*(racer.budgets for racer in trained))):
        within = [racer for racer in trained if budget in racer.budgets]
        candidates = [racer for racer in within if not racer.reference]
        for group in (candidates, [r for r in candidates if r.dense], [r for r in within if r.reference]):
            if group:
                found.add(max(group, key=lambda racer: means[racer.key]).key)
        if candidates:
            leader = max(candidates, key=lambda racer: means[racer.key])
            found |= {r.key for r in candidates if may_be_best(r, leader)}
            found |= {r.key for r in racers if _is_called(r, leader, budget) and r.key not in samples}
    return found


def _is_called(racer: Racer, leader: Racer, budget: int) -> bool:
    return racer.reserve and racer.kind == leader.kind and budget in racer.budgets


def _expected_spread(measured: Spread | None) -> Spread:
    """What was measured of the spread between seeds, and what is expected of it, each by its degrees of freedom."""
    if measured is None:
        return EXPECTED
    both = (EXPECTED, measured)
    freedom = sum(each.freedom for each in both)
    return Spread(math.sqrt(sum(each.freedom * each.deviation**2 for each in both) / freedom), freedom)


def _accuracies(outcomes: Outcomes) -> dict[int, float]:
    return {seed: accuracy for seed, accuracy in outcomes.items() if accuracy is not None}
