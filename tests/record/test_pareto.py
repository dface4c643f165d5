from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bft_nas.record.pareto import complete, front, hypervolume, winners

# Few different values, so that ties come up all the time.
OUTCOMES = st.lists(
    st.tuples(
        st.integers(1, 8),
        st.one_of(st.none(), st.integers(0, 5).map(lambda fifths: fifths / 5)),
        st.booleans(),
    ),
    max_size=14,
)


def make_frame(outcomes: Sequence[tuple[int, float | None, bool]]) -> pd.DataFrame:
    """Candidates in an order and with an index that have nothing to do with their numbers."""
    rows = [
        {
            "number": len(outcomes) - position,
            "state": "failed" if accuracy is None else "complete",
            "macs": macs * 1_000_000,
            "accuracy": float("nan") if accuracy is None else accuracy,
            "family": "even" if even else "odd",
        }
        for position, (macs, accuracy, even) in enumerate(outcomes)
    ]
    columns = ["number", "state", "macs", "accuracy", "family"]
    return pd.DataFrame(rows, columns=columns, index=[7] * len(rows))


def points(frame: pd.DataFrame) -> list[tuple[int, int, float]]:
    return [
        (int(n), int(m), float(a))
        for n, m, a in zip(frame["number"], frame["macs"], frame["accuracy"], strict=True)
    ]


def dominates(one: tuple[int, int, float], other: tuple[int, int, float]) -> bool:
    _, macs, accuracy = one
    _, other_macs, other_accuracy = other
    return macs <= other_macs and accuracy >= other_accuracy and (macs, accuracy) != other[1:]


@given(OUTCOMES)
def test_nothing_dominates_the_front(outcomes: list[tuple[int, float | None, bool]]) -> None:
    results = make_frame(outcomes)
    for on_front in points(front(results)):
        assert not any(dominates(other, on_front) for other in points(complete(results)))


@given(OUTCOMES)
def test_whatever_is_not_on_the_front_is_dominated_or_a_duplicate_with_a_higher_number(
    outcomes: list[tuple[int, float | None, bool]],
) -> None:
    results = make_frame(outcomes)
    kept = points(front(results))
    for point in points(complete(results)):
        duplicate = any(other[1:] == point[1:] and other[0] < point[0] for other in kept)
        assert point in kept or duplicate or any(dominates(other, point) for other in kept)


@given(OUTCOMES)
def test_the_front_rises_in_macs_and_accuracy(outcomes: list[tuple[int, float | None, bool]]) -> None:
    kept = front(make_frame(outcomes))
    assert kept["macs"].is_monotonic_increasing
    assert kept["macs"].is_unique
    assert kept["accuracy"].is_monotonic_increasing
    assert kept["accuracy"].is_unique


@given(OUTCOMES, st.lists(st.integers(0, 10), max_size=4, unique=True))
def test_winners_are_the_best_that_fit(
    outcomes: list[tuple[int, float | None, bool]], millions: list[int]
) -> None:
    results = make_frame(outcomes)
    budgets = [million * 1_000_000 for million in millions]
    best = winners(results, budgets)
    found = dict(zip(best["for_budget"].tolist(), points(best), strict=True))
    for budget in budgets:
        fitting = [point for point in points(complete(results)) if point[1] <= budget]
        if fitting:
            assert found[budget] == min(fitting, key=lambda point: (-point[2], point[1], point[0]))
        else:
            assert budget not in found
    assert list(found) == [budget for budget in budgets if budget in found]


@given(OUTCOMES)
def test_winners_are_on_the_front(outcomes: list[tuple[int, float | None, bool]]) -> None:
    results = make_frame(outcomes)
    assert set(points(winners(results, [3_000_000, 8_000_000]))) <= set(points(front(results)))


def test_rows_are_kept_whole() -> None:
    results = make_frame([(5, 0.4, True), (3, 0.2, False), (3, None, True)])
    kept = front(results)
    assert kept["family"].tolist() == ["odd", "even"]
    assert kept["number"].tolist() == [2, 3]
    assert kept.dtypes.to_dict() == results.dtypes.to_dict()
    best = winners(results, [4_000_000, 9_000_000])
    assert best["family"].tolist() == ["odd", "even"]
    assert best["macs"].dtype == results["macs"].dtype
    assert best["for_budget"].tolist() == [4_000_000, 9_000_000]


@pytest.mark.parametrize("results", [pd.DataFrame(), make_frame([]), make_frame([(2, None, True)])])
def test_without_complete_candidates_there_is_no_front_and_no_winner(results: pd.DataFrame) -> None:
    assert front(results).empty
    best = winners(results, [1_000_000])
    assert best.empty
    assert "for_budget" in best


def test_an_accuracy_of_zero_is_a_result() -> None:
    results = make_frame([(2, 0.0, True)])
    assert len(front(results)) == 1
    assert len(winners(results, [2_000_000])) == 1


def test_the_results_are_not_changed() -> None:
    results = make_frame([(5, 0.4, True), (3, 0.2, False)])
    before = results.copy(deep=True)
    front(results)
    winners(results, [4_000_000])
    pd.testing.assert_frame_equal(results, before)


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 10)), max_size=12))
def test_the_hypervolume_is_the_part_of_the_plane_that_some_point_dominates(
    points: list[tuple[int, int]],
) -> None:
    most, cells = 10, [(macs, tenths) for macs in range(10) for tenths in range(10)]
    covered = sum(any(m <= macs and t > tenths for m, t in points) for macs, tenths in cells)
    assert hypervolume([(m, t / 10) for m, t in points], most) == pytest.approx(covered / 100)
