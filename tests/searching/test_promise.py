"""What a brief training promises of a network."""

from __future__ import annotations

import random
import statistics
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bft_nas.searching.contenders import contenders_of
from bft_nas.searching.promise import PER_DOUBLING, gain_of_a_doubling, promise
from bft_nas.searching.proposers.regression import Observed, Point
from bft_nas.searching.proposers.surrogate import proposed
from bft_nas.space.drawing import draw
from bft_nas.space.space import SearchSpace
from bft_nas.training.curve import Epoch
from tests.conftest import tiny_prepared, tiny_run

BUDGET = 15_000_000


@given(st.floats(0, 1), st.integers(1, 10**9), st.floats(0, 0.1))
def test_of_two_that_learn_as_fast_the_larger_one_promises_more(
    accuracy: float, macs: int, gain: float
) -> None:
    less, more = (promise(accuracy, count, 4 * macs, gain) for count in (macs, 2 * macs))
    assert more == pytest.approx(less + gain)
    assert promise(accuracy, macs, macs, gain) == accuracy


def test_it_follows_how_far_the_accuracies_of_a_search_are_apart() -> None:
    near = [0.80, 0.81, 0.82]
    assert gain_of_a_doubling(near) == pytest.approx(PER_DOUBLING * statistics.pstdev(near))
    assert gain_of_a_doubling([0.2, 0.5, 0.8]) == pytest.approx(30 * gain_of_a_doubling(near))
    assert gain_of_a_doubling([]) == 0


def test_what_is_proposed_uses_the_budget_where_smaller_ones_learn_as_fast() -> None:
    space = SearchSpace.load("mobile")
    drawn = draw(space, random.Random(0), (BUDGET,), 40)
    # Whatever they have in common, smaller ones come out a little better, as after brief trainings.
    observed = [
        Observed(
            Point(each.choices, each.macs, each.params, each.resolution),
            {2: 0.44 - 0.05 * each.macs / BUDGET + 0.01 * (at % 5)},
        )
        for at, each in enumerate(drawn)
    ]
    shares = [
        proposed(space, (BUDGET,), observed, position=position, avoided=[], known=set(), seed=position).macs
        / BUDGET
        for position in (10, 11, 12, 13, 15, 16, 17, 18)
    ]
    assert min(shares) > 0.95


def test_what_is_confirmed_is_what_promises_most(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, tiny_prepared())
    rng = random.Random(0)
    budget = run.settings.budgets[0]
    proposals = [run.space.sample(rng, budget) for _ in range(40)]
    small = [each for each in proposals if each.macs < 0.6 * budget][:6]
    large = [each for each in proposals if each.macs > 0.9 * budget][:6]
    for accuracy, each in [
        *((0.51, each) for each in small),
        *((0.50, each) for each in large),
        (0.4, proposals[-1]),
    ]:
        candidate = run.ledger.propose(each, datetime.now())
        run.ledger.finish(candidate, [Epoch(1, 2.0, accuracy, 1.0)], 1.0)
    confirmed = [each.candidate for each in contenders_of(run) if not each.racer.reserve]
    assert confirmed[0].macs > 0.9 * budget
