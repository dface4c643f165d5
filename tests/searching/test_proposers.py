"""Who proposes what is trained next: a function of the record and the seed."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime
from pathlib import Path
from statistics import fmean

import pytest

from bft_nas.record import Run
from bft_nas.searching.proposers import PROPOSERS
from bft_nas.searching.proposers.optuna_samplers import OptunaProposer
from bft_nas.training.curve import Epoch
from tests.conftest import tiny_prepared, tiny_run

BUDGET = 3_000_000


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return tiny_run(tmp_path, tiny_prepared(scheduler="halving", epochs=3))


def searched(run: Run, candidates: int) -> None:
    """Random candidates, every third of them stopped early, every seventh failed."""
    rng = random.Random(5)
    for number in range(candidates):
        candidate = run.ledger.propose(run.space.sample(rng, BUDGET), datetime.now())
        curve = [Epoch(1, 2.0, rng.random(), 1.0)]
        if number % 7 == 6:
            run.ledger.fail(candidate, "no luck", 1.0)
        elif number % 3 == 2:
            run.ledger.stop(candidate, curve, 1.0)
        else:
            run.ledger.finish(candidate, curve * 3, 3.0)


@pytest.mark.parametrize("name", PROPOSERS)
def test_the_same_record_and_seed_give_the_same_proposal_whoever_asks(name: str, run: Run) -> None:
    kept = PROPOSERS[name]()
    for part in range(4):
        searched(run, 6)
        history = run.ledger.history
        seeds = [10 * part + k for k in range(3)]
        asked = [kept(run.space, [BUDGET], history, seed).architecture for seed in seeds]
        anew = [PROPOSERS[name]()(run.space, [BUDGET], history, seed).architecture for seed in seeds]
        assert asked == anew


@pytest.mark.parametrize("name", PROPOSERS)
def test_a_proposal_is_within_its_budget_and_says_what_it_chose_from(name: str, run: Run) -> None:
    budgets = [2_000_000, BUDGET]
    proposal = PROPOSERS[name]()(run.space, budgets, run.ledger.history, 1)
    assert proposal.macs <= proposal.budget
    assert proposal.budget == proposal.parameters["budget"]
    assert proposal.parameters.keys() == proposal.domains.keys()
    assert all(value in proposal.domains[name] for name, value in proposal.parameters.items())


@pytest.mark.parametrize("name", ["tpe", "nsga2"])
def test_a_sampler_comes_to_better_networks_of_fewer_macs_than_random_ones(name: str, tmp_path: Path) -> None:
    """By a made-up accuracy, of butterflies and large kernels; the last of 80 proposals."""

    def last_ones(sampler: str) -> tuple[float, float]:
        run = tiny_run(tmp_path, tiny_prepared(sampler=sampler), sampler)
        proposer, found = PROPOSERS[sampler](), []
        for seed in range(80):
            proposal = proposer(run.space, [BUDGET], run.ledger.history, seed)
            chosen = Counter(proposal.parameters.values())
            accuracy = 0.3 + 0.1 * (chosen["butterfly"] + chosen[5])
            found.append((accuracy, proposal.macs / BUDGET))
            candidate = run.ledger.propose(proposal, datetime.now())
            run.ledger.finish(candidate, [Epoch(1, 2.0, accuracy, 1.0)], 1.0)
        accuracies, macs = zip(*found[-20:], strict=True)
        return fmean(accuracies), fmean(macs)

    learnt, drawn = last_ones(name), last_ones("random")
    assert learnt[0] > drawn[0] + 0.05
    assert learnt[1] < drawn[1] - 0.1


def test_samplers_learn_from_candidates_that_were_stopped_early(run: Run) -> None:
    searched(run, 9)
    proposer = PROPOSERS["tpe"]()
    assert isinstance(proposer, OptunaProposer)
    proposer(run.space, [BUDGET], run.ledger.history, 0)
    trials = {trial.number: trial for trial in proposer.study.trials}
    stopped = [entry for entry in run.ledger.history.entries if entry.state == "stopped"]
    assert len(stopped) == 3
    for entry in stopped:
        # In the record it is running, since it may be promoted.
        assert not entry.trial.state.is_finished()
        assert trials[entry.number].values == [entry.accuracy, entry.macs]
