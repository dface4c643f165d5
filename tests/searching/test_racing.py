"""Who is trained with a further seed."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bft_nas.record.confirmed import compare
from bft_nas.searching.racing import MARGIN, Racer, going_on, next_round

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


def run(racers: list[Racer], outcomes: Known, known: Known, most: int = 10**6) -> list[tuple[str, int]]:
    """Train one after the other until nothing is left, or so many are done."""
    order: list[tuple[str, int]] = []
    while len(order) < most and (due := next_round(racers, known, SEEDS)):
        racer, seed = due[0]
        known.setdefault(racer.key, {})[seed] = outcomes[racer.key][seed]
        order.append((racer.key, seed))
    return order


def accuracies(known: Known) -> dict[str, dict[int, float]]:
    return {
        key: {seed: value for seed, value in each.items() if value is not None} for key, each in known.items()
    }


@given(races(), st.integers(0, 20))
def test_a_confirmation_that_is_killed_trains_what_it_would_have_trained(
    race: tuple[list[Racer], Known], after: int
) -> None:
    racers, outcomes = race
    undisturbed: Known = {}
    order = run(racers, outcomes, undisturbed)
    known: Known = {}
    before = run(racers, outcomes, known, after)
    # Whoever resumes knows what is on disk, and nothing of the order in which it came.
    reread = {key: dict(sorted(known[key].items())) for key in sorted(known)}
    assert before + run(racers, outcomes, reread) == order
    assert reread == undisturbed


@given(races())
def test_the_workers_of_a_round_train_what_one_would_have_trained(race: tuple[list[Racer], Known]) -> None:
    racers, outcomes = race
    alone: Known = {}
    run(racers, outcomes, alone)
    together: Known = {}
    while due := next_round(racers, together, SEEDS):
        # They end in any order.
        for racer, seed in reversed(due):
            together.setdefault(racer.key, {})[seed] = outcomes[racer.key][seed]
            assert set(next_round(racers, together, SEEDS)) <= set(due) or racer is due[0][0]
    assert together == alone


@given(races())
def test_the_best_of_each_kind_has_all_seeds_at_the_end(race: tuple[list[Racer], Known]) -> None:
    racers, outcomes = race
    known: Known = {}
    run(racers, outcomes, known)
    first = {racer.key: 1 for racer in racers if not racer.reserve or racer.key in known}
    assert {key: min(each) for key, each in known.items()} == first
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


@given(fields(), st.floats(0, 0.2))
def test_who_is_far_behind_saves_its_seeds(racers: list[Racer], behind: float) -> None:
    candidates = [racer for racer in racers if not racer.reference]
    samples = {racer.key: {1: 0.7 - behind * k} for k, racer in enumerate(racers)}
    kept = going_on(racers, samples)
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


def test_who_failed_with_its_first_seed_is_not_trained_again() -> None:
    racers = [Racer("candidate 0", frozenset({10})), Racer("candidate 1", frozenset({10}))]
    known: Known = {"candidate 0": {1: None}, "candidate 1": {1: 0.5}}
    assert [(racer.key, seed) for racer, seed in next_round(racers, known, SEEDS)] == [("candidate 1", 2)]
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
    known: Known = {}
    run(racers, {key: dict.fromkeys(SEEDS, value) for key, value in accuracy.items()}, known)
    assert {key: len(each) for key, each in known.items()} == {
        "candidate 0": 1,
        "candidate 1": 2,
        "reserve 3": 3,
    }


def test_a_reserve_that_was_trained_for_another_reason_is_confirmed_where_it_leads() -> None:
    racers = reserves_of_two_kinds()
    accuracy = {"candidate 0": 0.5, "candidate 1": 0.6, "reserve 2": 0.9, "reserve 3": 0.7}
    known: Known = {"reserve 2": {1: 0.9}}
    run(racers, {key: dict.fromkeys(SEEDS, value) for key, value in accuracy.items()}, known)
    assert len(known["reserve 2"]) == len(SEEDS)
