"""What random search would have found."""

import random
import statistics
from datetime import datetime
from pathlib import Path

import pytest

from bft_nas.core.units import format_percent
from bft_nas.record import Run
from bft_nas.searching.control import control_text, expected_best
from bft_nas.training.curve import Epoch
from tests.conftest import tiny_prepared, tiny_run


def test_the_best_of_many_draws_is_told_from_few_with_an_interval_that_holds_it() -> None:
    rng = random.Random(0)
    best = statistics.fmean(max(rng.gauss(0.5, 0.02) for _ in range(30)) for _ in range(2000))
    told = [expected_best([rng.gauss(0.5, 0.02) for _ in range(12)], 30) for _ in range(500)]
    assert statistics.fmean(mean for mean, _ in told) == pytest.approx(best, abs=0.002)
    assert 0.9 < statistics.fmean(abs(mean - best) < half for mean, half in told) < 0.98


def filled(folder: Path, sampler: str, count: int) -> Run:
    """Accuracies of 50, 51, 52 ... percent, in the order of proposal."""
    run = tiny_run(folder, tiny_prepared(sampler=sampler))
    rng = random.Random(0)
    for number in range(count):
        candidate = run.ledger.propose(run.space.sample(rng, 3_000_000), datetime.now())
        run.ledger.finish(candidate, [Epoch(1, 2.0, 0.5 + number / 100, 1.0)], 1.0)
    return run


def test_a_run_says_what_its_uniform_proposals_let_expect(tmp_path: Path) -> None:
    text = control_text(filled(tmp_path, "surrogate", 15))
    uniform = [0.5 + number / 100 for number in [*range(10), 14]]
    best, half = expected_best(uniform, 15)
    assert f"find {format_percent(best)}, by" in text
    assert f"not to be told apart: {100 * (0.63 - best):+.1f} points (95 %: ± {100 * half:.1f})" in text
    assert "(15)" in text
    assert "11 uniform" in text
    assert "63.0" in text
    assert text.endswith("unconfirmed)")


def test_with_several_budgets_it_is_about_the_largest_one_alone(tmp_path: Path) -> None:
    budgets = (2_000_000, 3_000_000)
    run = tiny_run(tmp_path, tiny_prepared(sampler="surrogate", budgets=budgets))
    rng = random.Random(0)
    chosen = [budgets[number % 2] for number in range(24)]
    accuracies = [(0.1 if budget == budgets[0] else 0.5) + n / 100 for n, budget in enumerate(chosen)]
    for budget, accuracy in zip(chosen, accuracies, strict=True):
        candidate = run.ledger.propose(run.space.sample(rng, budget), datetime.now())
        run.ledger.finish(candidate, [Epoch(1, 2.0, accuracy, 1.0)], 1.0)
    # Every second proposal, of which the first ten and every fifth after them are uniform.
    uniform = [accuracies[number] for number in (1, 3, 5, 7, 9, 19)]
    best, half = expected_best(uniform, 12)
    text = control_text(run)
    assert f"the best of the model's proposals has {format_percent(accuracies[23])}" in text
    assert f"(12) would be expected to find {format_percent(best)}, by the 6 uniform proposals" in text
    assert f"{100 * (accuracies[23] - best):+.1f} points (95 %: ± {100 * half:.1f})" in text


def test_a_repeated_proposal_has_its_turn_too(tmp_path: Path) -> None:
    run = filled(tmp_path, "surrogate", 12)
    run.ledger.repeat(run.space.sample(random.Random(0), 3_000_000), 0, datetime.now())
    # One more of the model's, and the uniform one that ends the round.
    for seed, accuracy in ((1, 0.9), (2, 0.1)):
        proposal = run.space.sample(random.Random(seed), 3_000_000)
        candidate = run.ledger.propose(proposal, datetime.now())
        run.ledger.finish(candidate, [Epoch(1, 2.0, accuracy, 1.0)], 1.0)
    text = control_text(run)
    assert "11 uniform" in text
    assert f"model's proposals has {format_percent(0.9)}" in text
    assert "told apart" not in text


def test_known_networks_are_neither_drawn_nor_of_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = filled(tmp_path, "surrogate", 15)
    monkeypatch.setattr("bft_nas.searching.control.known_networks", lambda space: 3)
    text = control_text(run)
    assert "(12)" in text
    assert "8 uniform" in text


@pytest.mark.parametrize(
    ("sampler", "count"), [("random", 15), ("tpe", 15), ("surrogate", 10), ("surrogate", 3)]
)
def test_other_runs_and_shorter_ones_say_nothing(sampler: str, count: int, tmp_path: Path) -> None:
    assert control_text(filled(tmp_path, sampler, count)) == ""
