"""What several seeds say of networks: means, errors, differences and rankings."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bft_nas.record.confirmed import (
    Difference,
    Spread,
    Spreads,
    ceiling,
    difference,
    kendall_tau,
    mean,
    pooled_spread,
    spreads_of,
    standard_error,
    student_quantile,
    tau_error,
)

accuracies = st.floats(0, 1, allow_subnormal=False)
samples = st.dictionaries(st.integers(1, 5), accuracies, min_size=1)


# Of printed tables, two-sided 95 %.
@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.706), (2, 4.303), (3, 3.182), (5, 2.571), (10, 2.228), (30, 2.042)]
)
def test_students_t_is_that_of_the_tables(freedom: int, quantile: float) -> None:
    assert student_quantile(freedom) == pytest.approx(quantile, abs=5e-4)


@given(st.integers(1, 60), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_the_more_is_measured_the_narrower_is_the_interval(freedom: int, confidence: float) -> None:
    assert student_quantile(freedom, confidence) > student_quantile(freedom + 1, confidence)


@given(samples, samples, st.lists(samples, max_size=3))
def test_a_difference_turns_its_sign_with_the_networks(
    one: dict[int, float], other: dict[int, float], more: list[dict[int, float]]
) -> None:
    known = spreads_of([one, other, *more])
    there, back = difference(one, other, known), difference(other, one, known)
    assert there.mean == -back.mean
    assert there.margin == back.margin
    assert there.told_apart == back.told_apart


@given(samples, st.lists(samples, max_size=3))
def test_no_network_can_be_told_from_itself(sample: dict[int, float], more: list[dict[int, float]]) -> None:
    found = difference(sample, sample, spreads_of([sample, *more]))
    assert found.mean == 0
    assert not found.told_apart


@given(st.dictionaries(st.integers(1, 5), accuracies, min_size=3), st.floats(-0.5, 0.5))
def test_what_all_seeds_agree_on_is_told_apart_whatever_their_spread(
    sample: dict[int, float], shift: float
) -> None:
    assume(abs(shift) > 1e-6)
    shifted = {seed: value + shift for seed, value in sample.items()}
    found = difference(shifted, sample, spreads_of([sample, shifted]))
    assert found.mean == pytest.approx(shift, abs=1e-9)
    assert found.told_apart


@given(st.dictionaries(st.integers(1, 6), st.tuples(accuracies, accuracies), min_size=3))
def test_of_two_networks_it_is_the_t_test_of_paired_values(pairs: dict[int, tuple[float, float]]) -> None:
    one, other = ({seed: pair[side] for seed, pair in pairs.items()} for side in (0, 1))
    apart = [a - b for a, b in pairs.values()]
    found = difference(one, other, spreads_of([one, other]))
    assert found.mean == pytest.approx(statistics.fmean(apart), abs=1e-12)
    margin = student_quantile(len(apart) - 1) * statistics.stdev(apart) / math.sqrt(len(apart))
    assert found.margin == pytest.approx(margin, abs=1e-9)


def test_further_networks_with_all_seeds_make_an_interval_narrower() -> None:
    # Each has the same spread around its mean and what the seed does to all.
    noise = [(0.01, -0.01, 0.0), (-0.01, 0.0, 0.01), (0.0, 0.01, -0.01), (0.01, 0.0, -0.01)]
    found = [{k: 0.5 + 0.02 * n + 0.1 * k + e for k, e in enumerate(row)} for n, row in enumerate(noise)]
    two = difference(found[0], found[1], spreads_of(found[:2]))
    four = difference(found[0], found[1], spreads_of(found))
    assert two.mean == four.mean
    assert two.margin is not None
    assert four.margin is not None
    assert four.margin < two.margin / 1.5
    # What a seed does to all is no part of it.
    single = spreads_of(found).single
    assert single is not None
    assert single.deviation > 0.09


def test_without_any_spread_there_is_no_interval() -> None:
    known = spreads_of([{1: 0.7}, {1: 0.6}])
    assert difference({1: 0.7}, {1: 0.6}, known).margin is None
    assert not difference({1: 0.7}, {1: 0.6}, known).told_apart
    assert standard_error({1: 0.7}, None) is None
    assert pooled_spread([{1: 0.7}, {2: 0.1}]) is None


def test_of_a_network_with_fewer_seeds_the_spread_of_all_gives_the_interval() -> None:
    found = difference({1: 0.72, 2: 0.70, 3: 0.71}, {1: 0.66}, Spreads(Spread(0.01, 10)))
    assert found.mean == pytest.approx(0.05)
    assert found.margin == pytest.approx(2.228 * 0.01 * math.sqrt(1 + 1 / 3), abs=1e-4)
    assert standard_error({1: 0.72, 2: 0.70}, Spread(0.01, 10)) == pytest.approx(0.01 / math.sqrt(2))


def test_an_interval_that_ends_at_nothing_leaves_doubt() -> None:
    assert not Difference(0.5, 0.5).told_apart
    assert Difference(0.5, 0.25).told_apart
    assert Difference(-0.5, 0.25).told_apart


@given(st.lists(samples, min_size=1))
def test_the_pooled_spread_is_between_those_of_the_networks(found: list[dict[int, float]]) -> None:
    own = [pooled_spread([sample]) for sample in found]
    known = [each for each in own if each is not None]
    spread = pooled_spread(found)
    assert (spread is None) == (not known)
    if spread is not None:
        assert spread.freedom == sum(each.freedom for each in known)
        low, high = min(e.deviation for e in known), max(e.deviation for e in known)
        assert low - 1e-9 <= spread.deviation <= high + 1e-9


def test_a_mean_needs_a_seed() -> None:
    with pytest.raises(ValueError, match="expected a seed at least"):
        mean({})


rankings = st.lists(st.integers(0, 9).map(float), min_size=2, max_size=12)


@given(rankings)
def test_tau_depends_on_order_alone(values: list[float]) -> None:
    assume(len(set(values)) > 1)
    assert kendall_tau(values, [3 * value + 1 for value in values]) == pytest.approx(1)
    assert kendall_tau(values, [-value for value in values]) == pytest.approx(-1)
    assert math.isnan(kendall_tau(values, [1.0] * len(values)))


@given(rankings.flatmap(lambda one: st.tuples(st.just(one), st.permutations(one))))
def test_tau_counts_pairs_in_order(both: tuple[list[float], list[float]]) -> None:
    one, other = both
    assume(len(set(one)) == len(one))
    pairs = [(i, j) for i in range(len(one)) for j in range(i)]
    agreeing = sum((one[i] - one[j]) * (other[i] - other[j]) > 0 for i, j in pairs)
    assert kendall_tau(one, other) == pytest.approx(2 * agreeing / len(pairs) - 1)


def test_the_ceiling_falls_as_seeds_spread() -> None:
    networks = [{1: 0.5 + 0.01 * k, 2: 0.5 + 0.01 * k} for k in range(8)]
    reached = [ceiling(networks, Spread(deviation, 8)) for deviation in (0.0, 0.005, 0.02)]
    assert reached[0] == pytest.approx(1)
    assert reached[0] > reached[1] > reached[2]
    assert -1 <= ceiling([{1: 0.5}, {1: 0.51}, {1: 0.49}], Spread(0.5, 3)) <= 1
    assert tau_error(10) == pytest.approx(0.2485, abs=1e-3)
