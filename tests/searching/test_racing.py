"""Who is trained further, and with which seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bft_nas.record.confirmed import compare
from bft_nas.searching.racing import MARGIN, PROMOTED, Due, Racer, going_on, next_round, promoted_of

SEEDS = (1, 2, 3)


@st.composite
def fields(draw: st.DrawFn) -> list[Racer]:
    kinds = draw(st.lists(st.sampled_from(["candidate", "dense", "reference"]), min_size=1, max_size=7))
    budgets = st.sets(st.sampled_from([10, 20]), min_size=1).map(frozenset)
    kinds_of = st.sampled_from("ab")
    return [
        Racer(f"{kind} {k}", draw(budgets), kind == "reference", kind == "dense", draw(kinds_of))
        for k, kind in enumerate(kinds)
    ]


@st.composite
def races(draw: st.DrawFn) -> tuple[list[Racer], dict[str, dict[int, float | None]]]:
    """Who takes part, and the outcome that each of the trainings would have."""
    behind = [Racer(f"reserve {k}", frozenset({10}), kind=kind, reserve=True) for k, kind in enumerate("aab")]
    racers = [*draw(fields()), *behind[: draw(st.integers(0, 3))]]
    outcome = st.integers(40, 60).map(lambda percent: percent / 100) | st.none()
    outcomes: dict[str, dict[int, float | None]] = {
        racer.key: {seed: draw(outcome) for seed in SEEDS} for racer in racers
    }
    return racers, outcomes


Known = dict[str, dict[int, float | None]]
Rungs = dict[str, float | None]


@st.composite
def halved_races(draw: st.DrawFn) -> tuple[list[Racer], Known, Rungs]:
    """The same, and the accuracy that each candidate has at the rung; without one where its training fails before."""
    racers, outcomes = draw(races())
    at_rung = st.integers(30, 50).map(lambda percent: percent / 100) | st.none()
    rungs: Rungs = {racer.key: draw(at_rung) for racer in racers if not racer.reference}
    for key, accuracy in rungs.items():
        if accuracy is None:
            outcomes[key][SEEDS[0]] = None
    return racers, outcomes, rungs


class Race:
    """What is known of a race whose outcomes are these; without accuracies at the rung there is none."""

    def __init__(self, racers: list[Racer], outcomes: Known, rungs: Rungs | None = None) -> None:
        self.racers, self.outcomes, self.at_rung = racers, outcomes, rungs
        self.known: Known = {}
        self.rungs: Rungs | None = None if rungs is None else {}

    def due(self) -> list[Due]:
        return next_round(self.racers, self.known, SEEDS, self.rungs)

    def train(self, due: Due) -> None:
        key = due.racer.key
        if due.to_rung:
            assert self.rungs is not None
            assert self.at_rung is not None
            assert key not in self.rungs
            self.rungs[key] = self.at_rung[key]
            if self.at_rung[key] is None:
                self.known.setdefault(key, {})[due.seed] = None
        else:
            assert due.seed not in self.known.get(key, {})
            self.known.setdefault(key, {})[due.seed] = self.outcomes[key][due.seed]

    def run(self, most: int = 10**6) -> list[Due]:
        """Train one after the other until nothing is left, or so many are done."""
        order: list[Due] = []
        while len(order) < most and (due := self.due()):
            self.train(due[0])
            order.append(due[0])
        return order

    def reread(self) -> Race:
        """Whoever resumes knows what is on disk, and nothing of the order in which it came."""
        race = Race(self.racers, self.outcomes, self.at_rung)
        race.known = {key: dict(sorted(self.known[key].items())) for key in sorted(self.known)}
        race.rungs = None if self.rungs is None else dict(sorted(self.rungs.items()))
        return race


def accuracies(known: Known) -> dict[str, dict[int, float]]:
    return {
        key: {seed: value for seed, value in each.items() if value is not None} for key, each in known.items()
    }


any_race = races().map(lambda race: Race(*race)) | halved_races().map(lambda race: Race(*race))


@given(any_race, st.integers(0, 20))
def test_a_confirmation_that_is_killed_trains_what_it_would_have_trained(race: Race, after: int) -> None:
    undisturbed = race.reread()
    order = undisturbed.run()
    before = race.run(after)
    resumed = race.reread()
    assert before + resumed.run() == order
    assert (resumed.known, resumed.rungs) == (undisturbed.known, undisturbed.rungs)


@given(any_race)
def test_the_workers_of_a_round_train_what_one_would_have_trained(race: Race) -> None:
    alone = race.reread()
    alone.run()
    while due := race.due():
        # They end in any order.
        for each in reversed(due):
            race.train(each)
            assert set(race.due()) <= set(due) or each is due[0]
    assert (race.known, race.rungs) == (alone.known, alone.rungs)


def assert_leaders_have_all_seeds(racers: list[Racer], known: Known) -> None:
    """The best candidate, the best one without butterflies and the best reference of each budget."""
    samples = accuracies(known)
    means = compare({racer.key: samples[racer.key] for racer in racers if samples.get(racer.key)}).means
    for budget in (10, 20):
        within = [racer for racer in racers if budget in racer.budgets and samples.get(racer.key)]
        for group in (
            [racer for racer in within if not racer.reference],
            [racer for racer in within if racer.dense],
            [racer for racer in within if racer.reference],
        ):
            if group:
                best = max(group, key=lambda racer: means[racer.key])
                assert set(known[best.key]) == set(SEEDS)


@given(races())
def test_the_best_of_each_kind_has_all_seeds_at_the_end(race: tuple[list[Racer], Known]) -> None:
    racers, outcomes = race
    ended = Race(racers, outcomes)
    ended.run()
    known = ended.known
    first = {racer.key: 1 for racer in racers if not racer.reserve or racer.key in known}
    assert {key: min(each) for key, each in known.items()} == first
    assert_leaders_have_all_seeds(racers, known)


@given(fields(), st.floats(0, 0.2))
def test_who_is_far_behind_saves_its_seeds(racers: list[Racer], behind: float) -> None:
    candidates = [racer for racer in racers if not racer.reference]
    samples = {racer.key: {1: 0.7 - behind * k} for k, racer in enumerate(racers)}
    kept = going_on(racers, samples, set(samples))
    assert kept <= set(samples)
    for racer in candidates:
        leaders = [r for r in candidates if r.budgets & racer.budgets]
        gap = max(samples[r.key][1] for r in leaders) - samples[racer.key][1]
        if gap <= MARGIN:
            assert racer.key in kept
    if behind > 0.1:
        for budget in (10, 20):
            far = [r for r in candidates if r.budgets == {budget}]
            for leader, other in pairwise(far):
                if not other.dense and leader.key in samples:
                    assert other.key not in kept


def test_who_may_be_the_best_is_one_and_a_half_errors_and_a_margin_behind_at_most() -> None:
    racers = [Racer(f"candidate {k}", frozenset({10})) for k in range(2)]

    def keeps(behind: float, seeds: Sequence[int], noise: float = 0.0) -> bool:
        """Whether the second one has another seed, whose accuracies are as far apart as the first one's."""
        scatter = dict(zip(seeds, (noise, -noise), strict=False))
        leader = {seed: 0.7 + each for seed, each in scatter.items()}
        other = {seed: 0.7 - behind - each for seed, each in scatter.items()}
        samples = {racers[0].key: leader, racers[1].key: other}
        return racers[1].key in going_on(racers, samples, set(samples))

    # By one seed each, at the spread of 0.01 that is expected of seeds: an error of the root of two of it.
    expected = 1.5 * 0.01 * math.sqrt(2) + 0.003
    assert keeps(expected - 1e-6, SEEDS[:1])
    assert not keeps(expected + 1e-6, SEEDS[:1])
    # By two seeds each that are 0.04 on either side, with two degrees of freedom beside the four expected.
    measured = math.sqrt((4 * 0.01**2 + 2 * (2 * 0.04**2)) / 6)
    known = 1.5 * measured + 0.003
    assert keeps(known - 1e-6, SEEDS[:2], 0.04)
    assert not keeps(known + 1e-6, SEEDS[:2], 0.04)


def test_who_failed_with_its_first_seed_is_not_trained_again() -> None:
    racers = [Racer("candidate 0", frozenset({10})), Racer("candidate 1", frozenset({10}))]
    known: Known = {"candidate 0": {1: None}, "candidate 1": {1: 0.5}}
    assert next_round(racers, known, SEEDS) == [Due(racers[1], 2)]
    assert next_round(racers, {"candidate 0": {1: None}, "candidate 1": {1: None}}, SEEDS) == []


def reserves_of_two_kinds() -> list[Racer]:
    budgets = frozenset({10})
    return [
        Racer("candidate 0", budgets, kind="a"),
        Racer("candidate 1", budgets, kind="b"),
        Racer("reserve 2", budgets, kind="a", reserve=True),
        Racer("reserve 3", budgets, kind="b", reserve=True),
    ]


def test_the_reserves_of_the_kind_that_leads_take_part_and_may_win() -> None:
    racers = reserves_of_two_kinds()
    accuracy = {"candidate 0": 0.5, "candidate 1": 0.6, "reserve 2": 0.9, "reserve 3": 0.7}
    race = Race(racers, {key: dict.fromkeys(SEEDS, value) for key, value in accuracy.items()})
    race.run()
    assert {key: len(each) for key, each in race.known.items()} == {
        "candidate 0": 1,
        "candidate 1": 2,
        "reserve 3": 3,
    }


def test_a_kind_that_leads_within_one_budget_calls_no_reserves_of_another() -> None:
    racers = [
        Racer("small a", frozenset({10}), kind="a"),
        Racer("large b", frozenset({20}), kind="b"),
        *(
            Racer(f"reserve {kind} {budget}", frozenset({budget}), kind=kind, reserve=True)
            for kind in "ab"
            for budget in (10, 20)
        ),
    ]
    samples = {"small a": {1: 0.5}, "large b": {1: 0.6}}
    assert going_on(racers, samples, set(samples)) == {*samples, "reserve a 10", "reserve b 20"}


def test_a_reserve_that_was_trained_for_another_reason_is_confirmed_where_it_leads() -> None:
    racers = reserves_of_two_kinds()
    accuracy = {"candidate 0": 0.5, "candidate 1": 0.6, "reserve 2": 0.9, "reserve 3": 0.7}
    race = Race(racers, {key: dict.fromkeys(SEEDS, value) for key, value in accuracy.items()})
    race.known = {"reserve 2": {1: 0.9}}
    race.run()
    assert len(race.known["reserve 2"]) == len(SEEDS)


def test_of_many_that_cannot_be_told_apart_a_third_has_further_seeds() -> None:
    racers = [Racer(f"candidate {k}", frozenset({10})) for k in range(12)]
    race = Race(racers, {racer.key: dict.fromkeys(SEEDS, 0.6 - 0.0001 * k) for k, racer in enumerate(racers)})
    race.run()
    assert [len(race.known[racer.key]) for racer in racers] == [3] * 4 + [1] * 8


# At the rung


@given(halved_races())
def test_who_leads_at_the_rung_goes_on_and_the_others_are_left(
    drawn: tuple[list[Racer], Known, Rungs],
) -> None:
    racers, outcomes, rungs = drawn
    race = Race(racers, outcomes, rungs)
    order = race.run()
    assert race.rungs is not None
    # Everyone is looked at first, references are trained to the end, and nobody goes on who failed.
    candidates = [racer for racer in racers if not racer.reference]
    assert {r.key for r in candidates if not r.reserve} <= set(race.rungs) <= {r.key for r in candidates}
    for racer in racers:
        own = [(due.seed, due.to_rung) for due in order if due.racer is racer]
        whole = [seed for seed, to_rung in own if not to_rung]
        if racer.reference:
            assert own[0] == (1, False)
        elif own:
            assert own[0] == (1, True)
            assert rungs[racer.key] is not None or not whole
        assert whole == sorted(whole)
    for budget in (10, 20):
        there = {r.key: rungs[r.key] for r in candidates if budget in r.budgets and r.key in race.rungs}
        ranked = sorted((accuracy for accuracy in there.values() if accuracy is not None), reverse=True)
        for key, accuracy in there.items():
            if accuracy is not None and accuracy > (ranked[1:] or [0.0])[0]:
                assert 1 in race.known[key]


@given(halved_races())
def test_the_best_of_those_that_went_on_has_all_seeds_at_the_end(
    drawn: tuple[list[Racer], Known, Rungs],
) -> None:
    racers, outcomes, rungs = drawn
    race = Race(racers, outcomes, rungs)
    race.run()
    assert_leaders_have_all_seeds(racers, race.known)


def test_where_all_that_went_on_fail_the_next_ones_go_on() -> None:
    racers = [Racer(f"candidate {k}", frozenset({10})) for k in range(8)]
    outcomes: Known = {
        racer.key: dict.fromkeys(SEEDS, 0.5 if k > 3 else None) for k, racer in enumerate(racers)
    }
    race = Race(racers, outcomes, {racer.key: 0.4 - 0.01 * k for k, racer in enumerate(racers)})
    race.run()
    assert {key for key, each in race.known.items() if None not in each.values()} >= {"candidate 4"}


def test_half_of_the_candidates_goes_on_and_three_at_least() -> None:
    assert [promoted_of(count, PROMOTED) for count in (0, 1, 3, 4, 9, 12, 13)] == [0, 1, 3, 3, 5, 6, 7]
    racers = [Racer(f"candidate {k}", frozenset({10}), dense=k > 6) for k in range(9)]
    race = Race(
        racers,
        {racer.key: dict.fromkeys(SEEDS, 0.6) for racer in racers},
        {racer.key: 0.5 - 0.01 * k for k, racer in enumerate(racers)},
    )
    race.run()
    assert {*race.known} == {f"candidate {k}" for k in (0, 1, 2, 3, 4, 7)}


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_who_has_a_seed_for_another_reason_has_the_first_one_and_may_win_though_it_was_left(
    seed: int,
) -> None:
    racers = [Racer(f"candidate {k}", frozenset({10})) for k in range(6)]
    outcomes: Known = {racer.key: dict.fromkeys(SEEDS, 0.5) for racer in racers}
    outcomes["candidate 5"] = dict.fromkeys(SEEDS, 0.6)
    race = Race(racers, outcomes, {racer.key: 0.4 - 0.01 * k for k, racer in enumerate(racers)})
    race.known = {"candidate 5": {seed: 0.6}}
    race.run()
    assert set(race.known["candidate 5"]) == set(SEEDS)


def test_who_was_trained_to_the_end_before_there_was_a_rung_takes_no_place_there() -> None:
    racers = [Racer(f"candidate {k}", frozenset({10})) for k in range(12)]
    outcomes: Known = {racer.key: dict.fromkeys(SEEDS, 0.6 + 0.001 * k) for k, racer in enumerate(racers)}
    race = Race(racers, outcomes, {racer.key: 0.5 for racer in racers})
    before = [racer.key for racer in racers[:9]]
    race.known = {key: {1: outcomes[key][1]} for key in before}
    race.rungs = dict.fromkeys(before)
    race.run()
    assert all(set(race.known[racer.key]) == set(SEEDS) for racer in racers[9:])
