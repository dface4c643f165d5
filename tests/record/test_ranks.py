"""Dominance, ranks and hypervolume for any number of objectives."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bft_nas.record.pareto import Objective, dominated_volume, non_dominated, ranked

COSTS = st.integers(1, 4).flatmap(
    lambda objectives: st.lists(st.tuples(*[st.integers(0, 4)] * objectives), min_size=1, max_size=20)
)
"""Few different values, so that ties come up all the time."""


def dominates(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


@given(COSTS)
def test_who_is_kept_is_dominated_by_nobody_and_who_is_not_by_somebody(rows: list[tuple[int, ...]]) -> None:
    kept = non_dominated(np.array(rows, float))
    assert kept.tolist() == [not any(dominates(other, row) for other in rows) for row in rows]


@given(COSTS)
def test_the_hypervolume_counts_the_cells_that_some_row_dominates(rows: list[tuple[int, ...]]) -> None:
    cells = itertools.product(range(5), repeat=len(rows[0]))
    covered = sum(any(all(a <= b for a, b in zip(row, cell, strict=True)) for row in rows) for cell in cells)
    assert dominated_volume(np.array(rows, float), [5.0] * len(rows[0])) == pytest.approx(covered)


def test_a_third_objective_keeps_who_is_best_in_it_alone() -> None:
    objectives = (Objective("macs"), Objective("accuracy", maximised=True), Objective("milliseconds"))
    points = {0: (10, 0.9, 5.0), 1: (20, 0.8, 2.0), 2: (30, 0.7, 3.0)}
    assert set(ranked(points, objectives)[:2]) == {0, 1}
    assert ranked({n: p[:2] for n, p in points.items()}) == [0, 1, 2]


points = st.dictionaries(
    st.integers(0, 50),
    st.tuples(st.integers(1, 5), st.integers(0, 5).map(lambda fifth: fifth / 5)),
    min_size=1,
    max_size=25,
)


def beats(one: tuple[int, float], other: tuple[int, float]) -> bool:
    return one != other and one[0] <= other[0] and one[1] >= other[1]


@given(points)
def test_nobody_is_ranked_behind_somebody_that_he_beats(found: dict[int, tuple[int, float]]) -> None:
    order = ranked(found)
    assert sorted(order) == sorted(found)
    for position, number in enumerate(order):
        assert not any(beats(found[later], found[number]) for later in order[position + 1 :])


@given(points, st.randoms())
def test_the_rank_does_not_depend_on_the_order_of_arrival(
    found: dict[int, tuple[int, float]], rng: random.Random
) -> None:
    items = list(found.items())
    rng.shuffle(items)
    assert ranked(dict(items)) == ranked(found)


def test_within_a_front_the_ends_come_first_and_the_crowded_last() -> None:
    front = {0: (10, 0.1), 1: (20, 0.5), 2: (21, 0.51), 3: (22, 0.52), 4: (50, 0.9)}
    order = ranked(front)
    assert set(order[:2]) == {0, 4}
    assert order[-1] == 2
