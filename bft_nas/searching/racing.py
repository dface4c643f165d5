"""Who is trained further: those that can still win, and those that the winner has to be compared with.

In rounds, each of which trains everyone concerned with one seed. After the first one, or the rung of its training where
there is one, the best candidates go on. Who takes part in a round follows from the rounds before it alone, so that a
confirmation that is killed within a round continues as if nothing had happened.

A *racer* is what this module knows of a network; a `Contender` (contenders.py) has its architecture besides, and a
`Job` (jobs.py) is one of its trainings, which is `Due` until then. A *round* trains everyone concerned with one seed
more. The *rung* is the epoch of the first seed's training after which candidates are compared and the worse ones left.
A *reserve* is called once a candidate of its kind leads.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from bft_nas.record.confirmed import Sample, Spread, compare

Outcomes = Mapping[int, float | None]
"""Accuracies by seed; None where training failed."""
AtRung = Mapping[str, float | None]
"""Accuracies at the rung with the first seed, by key of a racer; None where training failed, or did not tell it."""

MARGIN = 0.003
"""How far behind the best one may be, besides the errors of both means."""
ERRORS = 1.5
"""How many standard errors behind."""
EXPECTED = Spread(0.01, 4)
"""How far seeds are apart as long as little was measured, and how many degrees of freedom that is worth: 0.6 points
were measured of confirmations within 50M MACs on Fashion-MNIST, 1.1 to 1.5 within 15M on CIFAR-10."""
PROMOTED = 2
"""One of so many candidates goes on from the rung, where the seeds of a network are 2 points apart, and the accuracies
of 24 networks have a tau of 0.84 with those that they end with (benchmarks/results/table.md)."""
SEEDED = 3
"""One of so many may have further seeds where there is no rung."""
LEAST_PROMOTED = 3


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


@dataclass(frozen=True)
class Due:
    """A training that is to be done."""

    racer: Racer
    seed: int
    to_rung: bool = False
    """It is not to go on from there as yet."""


class RoundRule(typing.Protocol):
    """Says what is still to be trained in the round that is under way; nothing when nothing is left."""

    def __call__(
        self,
        racers: Sequence[Racer],
        outcomes: Mapping[str, Outcomes],
        seeds: Sequence[int],
        rungs: AtRung | None = None,
    ) -> list[Due]:
        """See `next_round`."""


def next_round(
    racers: Sequence[Racer],
    outcomes: Mapping[str, Outcomes],
    seeds: Sequence[int],
    rungs: AtRung | None = None,
) -> list[Due]:
    """What is still to be trained in the round that is under way; empty when nothing is left.

    Everyone but the reserves has the first seed, candidates as far as the rung, where there is one; who is `promoted`
    goes on. Who is given another seed is for `going_on` to say, by what was known when the round began. At the end the
    best candidate, the best one without butterflies and the best reference of each budget have all seeds, unless their
    trainings failed.

    Args:
        racers: who takes part.
        outcomes: of whole trainings, by key of a racer.
        seeds: in their order.
        rungs: accuracies of candidates at the rung; None where trainings have none.
    """
    return _Race(racers, outcomes, seeds, rungs).missing()


def untrained(asked: Sequence[Due], outcomes: Mapping[str, Outcomes]) -> list[Due]:
    """Those of some trainings of which no outcome is known."""
    return [due for due in asked if due.seed not in outcomes.get(due.racer.key, {})]


class _Race:
    """A race run again from its beginning, by what is known of its trainings."""

    def __init__(
        self,
        racers: Sequence[Racer],
        outcomes: Mapping[str, Outcomes],
        seeds: Sequence[int],
        rungs: AtRung | None,
    ) -> None:
        self.racers, self.outcomes, self.seeds, self.rungs = racers, outcomes, seeds, rungs
        self.known: dict[str, dict[int, float | None]] = {racer.key: {} for racer in racers}
        """Of the rounds that have ended."""
        self.seen: dict[str, float] = {}
        """At the rung."""
        self.concerned = {racer.key for racer in racers if not racer.reserve}
        """Who takes part in the round that is under way."""

    def missing(self) -> list[Due]:
        """See `next_round`."""
        while True:
            to_rung, round_ = self._to_rung(), self._round()
            if not to_rung and not round_:
                round_ = self._uncalled()
            missing = untrained(round_, self.outcomes)
            if to_rung or missing:
                return [*to_rung, *missing]
            if not round_:
                return []
            self._end(round_)

    def _round(self) -> list[Due]:
        """Of everyone concerned the next seed."""
        return [
            Due(racer, self.seeds[len(self.known[racer.key])])
            for racer in self.racers
            if racer.key in self.concerned and len(self.known[racer.key]) < len(self.seeds)
        ]

    def _to_rung(self) -> list[Due]:
        """Who is not at the rung as yet; once all are, who goes on from there is concerned, and nobody else of them."""
        if self.rungs is None:
            return []
        new = [
            r for r in self.racers if r.key in self.concerned and not r.reference and not self.known[r.key]
        ]
        self.concerned -= {racer.key for racer in new}
        missing = [Due(racer, self.seeds[0], to_rung=True) for racer in new if racer.key not in self.rungs]
        if not missing:
            there = {racer.key: self.rungs[racer.key] for racer in new}
            self.seen |= {key: accuracy for key, accuracy in there.items() if accuracy is not None}
            able = {key: each for key, each in self.seen.items() if None not in self.known[key].values()}
            self.concerned |= {key for key in promoted(self.racers, able, PROMOTED) if not self.known[key]}
        return missing

    def _uncalled(self) -> list[Due]:
        """Whoever nobody called, or was left at the rung, and was trained all the same, as for `bft-nas fidelity`."""
        first = self.seeds[0]
        trained = {key for key, each in self.outcomes.items() if first in each or _accuracies(each)}
        return [Due(r, first) for r in self.racers if not self.known[r.key] and r.key in trained]

    def _end(self, round_: Sequence[Due]) -> None:
        """What a round has shown says who is concerned by the next one."""
        for due in round_:
            self.known[due.racer.key][due.seed] = self.outcomes[due.racer.key][due.seed]
        samples = {key: _accuracies(each) for key, each in self.known.items() if each}
        first = {key: each[self.seeds[0]] for key, each in samples.items() if self.seeds[0] in each}
        able = promoted(self.racers, first, SEEDED) if self.rungs is None else set(samples)
        self.concerned = going_on(self.racers, samples, able)


def promoted(racers: Sequence[Racer], first: Mapping[str, float], of: int) -> set[str]:
    """Which candidates go on by their first accuracies: in each budget one of so many, and the best dense one.

    >>> racers = [Racer(name, frozenset({10}), dense=name == "e") for name in "abcde"]
    >>> sorted(promoted(racers, {"a": 0.5, "b": 0.4, "c": 0.3, "d": 0.2, "e": 0.1}, 2))
    ['a', 'b', 'c', 'e']
    """
    found: set[str] = set()
    for budget in sorted(set().union(*(racer.budgets for racer in racers))):
        ranked = sorted(
            (r for r in racers if budget in r.budgets and r.key in first and not r.reference),
            key=lambda racer: -first[racer.key],
        )
        found |= {racer.key for racer in ranked[: promoted_of(len(ranked), of)]}
        found |= {racer.key for racer in [r for r in ranked if r.dense][:1]}
    return found


def promoted_of(candidates: int, of: int) -> int:
    """How many candidates go on, besides the best one without butterflies, where one of so many does."""
    return min(candidates, max(LEAST_PROMOTED, math.ceil(candidates / of)))


def going_on(racers: Sequence[Racer], samples: Mapping[str, Sample], able: Set[str]) -> set[str]:
    """Who needs another seed: within each budget the candidates that may be the best one, and whom to compare it with.

    A candidate that is ``able`` may be the best one as long as it is at most `ERRORS` standard errors of the difference
    and `MARGIN` behind. The best one without butterflies and the best reference are always among them, and so are the
    reserves of the best one's kind that were not trained yet.
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
            found |= {r.key for r in candidates if r.key in able and may_be_best(r, leader)}
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
