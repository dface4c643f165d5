"""Proposals that learn."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from bft_nas.searching.proposers.regression import Accuracy, Observed, Point
from bft_nas.searching.proposers.schedule import FIRST, ROUND, is_uniform, turn_of
from bft_nas.searching.proposers.surrogate import (
    UNLIKE,
    Surrogate,
    observations,
    promising_families,
    proposed,
)
from bft_nas.searching.proposers.surrogate_sampler import SurrogateSampler
from bft_nas.searching.shortlist import CLOSE
from bft_nas.space.drawing import Drawn, draw
from bft_nas.space.published import suggest_published
from bft_nas.space.space import SearchSpace
from bft_nas.training.curve import Epoch
from tests.conftest import SPACE, tiny_prepared, tiny_run
from tests.space.chances import least_chance

BUDGETS = (15_000_000,)
KNOWN = 4
"""Known networks: one of each family of the default space."""
AHEAD = {"mobilenet_v1": 0.0, "shufflenet_v2": 0.02, "mobilenet_v3": 0.03, "mnasnet": 0.01}
"""Of the families in `made_up`."""


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace.load("mobile")


def made_up(choices: Mapping[str, Any], macs: int) -> float:
    """An accuracy that follows from what was chosen: butterflies help late, depth and MACs everywhere."""
    late: int = sum(
        value == "butterfly" for name, value in choices.items() if name.endswith(("3.fusion", "4.fusion"))
    )
    depth: int = sum(value for name, value in choices.items() if name.endswith(".depth"))
    return 0.3 + AHEAD[choices["family"]] + 0.02 * late + 0.002 * depth + 0.05 * math.log(macs / 15e6)


def points(drawn: list[Drawn]) -> list[Point]:
    return [Point(each.choices, each.macs, each.params, each.resolution) for each in drawn]


def test_what_was_not_trained_is_ranked_from_what_was(space: SearchSpace) -> None:
    correlations = []
    for seed in range(5):
        drawn = points(draw(space, random.Random(seed), BUDGETS, 140))
        known, others = drawn[:40], drawn[40:]
        noise = np.random.default_rng(seed).normal(0, 0.005, 40)
        observed = [
            Observed(
                point,
                {1: made_up(point.choices, point.macs) - 0.1 + e, 2: made_up(point.choices, point.macs) + e},
            )
            for point, e in zip(known, noise, strict=True)
        ]
        predicted = Accuracy(observed, epochs=2, seed=0).predict(others)
        truth = np.array([made_up(point.choices, point.macs) for point in others])
        correlations.append(np.corrcoef(predicted, truth)[0, 1])
        # The first epochs are known for what they are.
        assert abs(predicted.mean() - truth.mean()) < 0.02
    assert np.median(correlations) > 0.7


def test_candidates_stopped_early_teach_too(space: SearchSpace) -> None:
    drawn = points(draw(space, random.Random(1), BUDGETS, 160))
    known, others = drawn[:60], drawn[60:]
    truth = np.array([made_up(point.choices, point.macs) for point in others])

    def fit(stopped: bool) -> float:
        whole = [
            Observed(p, {1: made_up(p.choices, p.macs) - 0.1, 2: made_up(p.choices, p.macs)})
            for p in known[:12]
        ]
        early = [Observed(p, {1: made_up(p.choices, p.macs) - 0.1}) for p in known[12:]]
        predicted = Accuracy(whole + early * stopped, epochs=2, seed=0).predict(others)
        return float(np.corrcoef(predicted, truth)[0, 1])

    assert fit(stopped=True) > fit(stopped=False) + 0.05


def test_it_finds_better_networks_of_each_family_than_uniform_proposals_do(space: SearchSpace) -> None:
    observed: list[Observed] = []
    known: set[str] = set()
    found: dict[bool, list[float]] = {True: [], False: []}
    for position in range(25):
        proposal = proposed(
            space, BUDGETS, observed, position=position, avoided=[], known=known, seed=position
        )
        assert proposal.macs <= BUDGETS[0]
        accuracy = made_up(proposal.parameters, proposal.macs)
        # Every second turn of a family is of dense networks, and butterflies are better here.
        if position >= KNOWN and position // ROUND != 3:
            found[is_uniform(position)].append(accuracy - AHEAD[proposal.parameters["family"]])
        resolution = proposal.architecture.resolution
        observed.append(
            Observed(Point(proposal.parameters, proposal.macs, 1_000_000, resolution), {2: accuracy})
        )
        known.add(proposal.architecture.hash)
    assert np.mean(found[False]) > np.mean(found[True]) + 0.01
    assert np.median(found[False]) > np.max(found[True][:FIRST]) - 0.005


def test_the_first_ones_are_known_or_uniform_and_so_is_every_fifth_and_families_take_turns(
    space: SearchSpace,
) -> None:
    learnt = [10, 11, 12, 13, 15, 16, 17, 18, 20, 21, 22, 23]
    assert [position for position in range(25) if not is_uniform(position)] == learnt
    assert [position for position in range(25) if not is_uniform(position, KNOWN)] == [0, 1, 2, 3, *learnt]
    first = [
        proposed(space, BUDGETS, [], position=k, avoided=[], known=set(), seed=k).architecture
        for k in range(2 * KNOWN)
    ]
    assert [each.family for each in first] == [family.name for family in space.families] * 2
    begun = [space.propose(suggest_published(family, BUDGETS[0]), BUDGETS[0]) for family in space.families]
    assert first[:KNOWN] == [proposal.architecture for proposal in begun]
    assert not {each.hash for each in first[KNOWN:]} & {each.hash for each in first[:KNOWN]}


def test_of_a_uniform_proposal_every_value_of_a_choice_is_as_likely_as_another() -> None:
    tiny, budgets = SearchSpace.parse(SPACE, where="tiny.yaml", name="tiny"), (2_000_000, 3_000_000)
    last_of_a_round = FIRST + ROUND - 1
    found = [
        proposed(tiny, budgets, [], position=last_of_a_round, avoided=[], known=set(), seed=seed)
        for seed in range(500)
    ]
    assert least_chance((each.parameters, each.domains) for each in found) > 0.001


def test_a_known_network_that_was_trained_or_does_not_fit_is_not_proposed(space: SearchSpace) -> None:
    begun = space.propose(suggest_published(space.families[0], BUDGETS[0]), BUDGETS[0]).architecture
    for others in ({"known": {begun.hash}}, {"known": set(), "fits": lambda network: network != begun}):
        found = proposed(space, BUDGETS, [], position=0, avoided=[], seed=0, **others)
        assert found.architecture != begun


def test_proposals_of_a_round_are_unlike_one_another(space: SearchSpace) -> None:
    drawn = draw(space, random.Random(2), BUDGETS, FIRST)
    observed = [Observed(point, {2: made_up(point.choices, point.macs)}) for point in points(drawn)]
    avoided: list[Mapping[str, Any]] = []
    for position in range(FIRST, FIRST + 4):
        proposal = proposed(space, BUDGETS, observed, position=position, avoided=avoided, known=set(), seed=7)
        for other in avoided:
            names = (proposal.parameters.keys() | other.keys()) - {"budget_share"}
            assert sum(proposal.parameters.get(n) != other.get(n) for n in names) >= UNLIKE
        avoided.append(proposal.parameters)


@pytest.mark.parametrize("budgets", [BUDGETS, (10_000_000, 15_000_000)])
def test_families_within_reach_of_the_best_take_turns(budgets: tuple[int, ...], space: SearchSpace) -> None:
    accuracy = {
        "mobilenet_v1": 0.44 - CLOSE,
        "shufflenet_v2": 0.45,
        "mobilenet_v3": 0.46 - CLOSE,
        "mnasnet": 0.44 - CLOSE,
    }
    observed = [
        Observed(point, {2: accuracy[point.choices["family"]] + 0.001 * point.choices["budget_share"]})
        for point in points(draw(space, random.Random(3), budgets, 4 * FIRST))
    ]
    assert promising_families(observed) == ["mobilenet_v3", "shufflenet_v2"]
    positions = [position for position in range(FIRST, FIRST + 10) if not is_uniform(position)]
    found = [
        (proposal.parameters["family"], proposal.budget)
        for position in positions
        for proposal in [
            proposed(space, budgets, observed, position=position, avoided=[], known=set(), seed=1)
        ]
    ]
    # Of every budget as many.
    pairs = {(family, budget) for family in ("mobilenet_v3", "shufflenet_v2") for budget in budgets}
    assert set(found) == pairs
    assert max(map(found.count, pairs)) - min(map(found.count, pairs)) <= 1


def test_every_second_turn_of_a_family_is_of_its_networks_without_butterflies(space: SearchSpace) -> None:
    # Butterflies come out far better, so that all would have some.
    observed = [
        Observed(point, {2: 0.4 + 0.02 * sum(value == "butterfly" for value in point.choices.values())})
        for point in points(draw(space, random.Random(3), BUDGETS, 4 * FIRST))
    ]
    families = len(promising_families(observed))
    learnt = [position for position in range(FIRST, FIRST + 40) if not is_uniform(position)]
    found = [
        proposed(space, BUDGETS, observed, position=position, avoided=[], known=set(), seed=1).architecture
        for position in learnt[: 3 * families]
    ]
    dense = [set(network.fusion_pattern) <= set("d/- ") for network in found]
    assert dense == [turn == 1 for turn in range(3) for _ in range(families)]


def test_in_a_space_of_butterflies_alone_there_is_no_such_turn() -> None:
    space = SearchSpace.load("shufflenet_v2").restricted(fusion="butterfly")
    observed = [Observed(point, {2: 0.4}) for point in points(draw(space, random.Random(3), BUDGETS, FIRST))]
    for position in (FIRST, FIRST + 1):
        found = proposed(space, BUDGETS, observed, position=position, avoided=[], known=set(), seed=1)
        assert "b" in found.architecture.fusion_pattern


def test_in_a_space_of_one_family_there_are_no_turns_of_families() -> None:
    space = SearchSpace.load("shufflenet_v2")
    observed = [Observed(point, {2: 0.4}) for point in points(draw(space, random.Random(3), BUDGETS, FIRST))]
    assert promising_families(observed) == [None]
    proposal = proposed(space, BUDGETS, observed, position=FIRST, avoided=[], known=set(), seed=1)
    assert proposal.architecture.family == "shufflenet_v2"


@pytest.mark.parametrize("budgets", range(1, 7))
@pytest.mark.parametrize("families", range(1, 7))
def test_each_kind_of_each_family_within_each_budget_has_as_many_turns(budgets: int, families: int) -> None:
    turns = 2 * budgets * families
    learned = [position for position in range(FIRST, FIRST + 4 * turns) if not is_uniform(position)]
    found = Counter(turn_of(position, budgets, families) for position in learned[: 2 * turns])
    assert len(found) == turns
    assert set(found.values()) == {2}


@pytest.mark.parametrize("budgets", [(10_000_000, 15_000_000), (5_000_000, 10_000_000, 15_000_000)])
def test_several_budgets_take_turns(budgets: tuple[int, ...], space: SearchSpace) -> None:
    observed = [
        Observed(point, {2: made_up(point.choices, point.macs)})
        for point in points(draw(space, random.Random(3), budgets, FIRST))
    ]
    for position in (10, 12, 15):
        proposal = proposed(space, budgets, observed, position=position, avoided=[], known=set(), seed=1)
        assert proposal.budget == budgets[turn_of(position, len(budgets), 1).budget]


def test_all_that_a_run_recorded_is_learnt_from(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, tiny_prepared(scheduler="halving", epochs=3))
    curve = [Epoch(k, 2.0, accuracy, 1.0) for k, accuracy in enumerate((0.2, 0.3, 0.4), start=1)]
    rng = random.Random(5)
    complete, stopped, failed = (
        run.ledger.propose(run.space.sample(rng, 3_000_000), datetime.now()) for _ in range(3)
    )
    for row in range(1, 4):
        run.ledger.advance(complete, curve[:row])
    run.ledger.finish(complete, curve, 3.0)
    run.ledger.advance(stopped, curve[:1])
    run.ledger.stop(stopped, curve[:1], 1.0)
    run.ledger.fail(failed, "no luck", 1.0)
    seen = {each.point.macs: dict(each.accuracies) for each in observations(run.ledger.history)}
    assert seen[complete.macs] == {1: 0.2, 2: 0.3, 3: 0.4}
    assert seen[stopped.macs] == {1: 0.2}
    assert seen[failed.macs] == {3: 0.2}


def test_nothing_is_proposed_twice_in_a_small_space(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, tiny_prepared())
    proposer, hashes = Surrogate(), set()
    for number in range(24):
        proposal = proposer(run.space, [3_000_000], run.ledger.history, number)
        if not is_uniform(number):
            assert proposal.architecture.hash not in hashes
        if proposal.architecture.hash in hashes:
            continue
        hashes.add(proposal.architecture.hash)
        candidate = run.ledger.propose(proposal, datetime.now())
        run.ledger.finish(candidate, [Epoch(1, 2.0, 0.1 + number / 100, 1.0)], 1.0)


def test_a_study_of_ones_own_takes_it_as_a_sampler(space: SearchSpace) -> None:
    def objective(trial: optuna.Trial) -> float:
        proposal = space.propose_for(trial.suggest_categorical, BUDGETS)
        accuracy = made_up(proposal.parameters, proposal.macs)
        trial.report(accuracy - 0.1, 1)
        if trial.number % 3 == 2:
            raise optuna.TrialPruned
        trial.report(accuracy, 2)
        return accuracy

    def searched() -> list[Any]:
        study = optuna.create_study(direction="maximize", sampler=SurrogateSampler(space, BUDGETS, seed=4))
        study.optimize(objective, n_trials=14)
        return study.trials

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    trials = searched()
    assert [trial.params for trial in trials] == [trial.params for trial in searched()]
    found = [made_up(trial.params, 15_000_000) - AHEAD[trial.params["family"]] for trial in trials]
    assert np.mean(found[FIRST:]) > np.mean(found[:FIRST])
