"""What several seeds say of networks: means, errors, differences and rankings."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bft_nas.record.confirmed import (
    Difference,
    Sample,
    Spread,
    ceiling,
    compare,
    kendall_tau,
    mean,
    pooled_spread,
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


@given(st.integers(1, 60))
def test_the_more_is_measured_the_narrower_is_the_interval(freedom: int) -> None:
    assert student_quantile(freedom) > student_quantile(freedom + 1)


fields = st.lists(samples, min_size=2, max_size=5).map(lambda found: dict(enumerate(found)))
"""Networks by number."""


@given(fields)
def test_a_difference_turns_its_sign_with_the_networks(field: dict[int, Sample]) -> None:
    found = compare(field)
    there, back = found.difference(0, 1), found.difference(1, 0)
    assert there.mean == -back.mean
    assert there.margin == back.margin
    assert there.told_apart == back.told_apart


@given(fields)
def test_no_network_can_be_told_from_itself_or_its_like(field: dict[int, Sample]) -> None:
    found = compare(field | {9: field[0]})
    for like in (0, 9):
        assert found.difference(0, like).mean == 0
        assert not found.difference(0, like).told_apart


@given(fields)
def test_the_order_of_networks_is_of_no_matter(field: dict[int, Sample]) -> None:
    turned = compare(dict(reversed(field.items())))
    assert turned.means == compare(field).means
    assert turned.variance(0, 1) == pytest.approx(compare(field).variance(0, 1))


@given(fields)
def test_of_a_network_with_all_seeds_it_is_the_mean(field: dict[int, Sample]) -> None:
    whole = {seed: 0.1 * seed for seed in range(1, 6)}
    assert compare(field | {9: whole}).means[9] == pytest.approx(mean(whole), abs=1e-9)


@given(st.dictionaries(st.integers(1, 5), accuracies, min_size=3), st.floats(-0.5, 0.5))
def test_what_all_seeds_agree_on_is_told_apart_whatever_their_spread(
    sample: dict[int, float], shift: float
) -> None:
    assume(abs(shift) > 1e-6)
    shifted = {seed: value + shift for seed, value in sample.items()}
    found = compare({"shifted": shifted, "sample": sample}).difference("shifted", "sample")
    assert found.mean == pytest.approx(shift, abs=1e-9)
    assert found.told_apart


@given(st.dictionaries(st.integers(1, 6), st.tuples(accuracies, accuracies), min_size=3))
def test_of_two_networks_it_is_the_t_test_of_paired_values(pairs: dict[int, tuple[float, float]]) -> None:
    one, other = ({seed: pair[side] for seed, pair in pairs.items()} for side in (0, 1))
    apart = [a - b for a, b in pairs.values()]
    found = compare({"one": one, "other": other}).difference("one", "other")
    assert found.mean == pytest.approx(statistics.fmean(apart), abs=1e-9)
    margin = student_quantile(len(apart) - 1) * statistics.stdev(apart) / math.sqrt(len(apart))
    assert found.margin == pytest.approx(margin, abs=1e-9)


def test_further_networks_with_all_seeds_make_an_interval_narrower() -> None:
    # Each has the same spread around its mean and what the seed does to all.
    noise = [(0.01, -0.01, 0.0), (-0.01, 0.0, 0.01), (0.0, 0.01, -0.01), (0.01, 0.0, -0.01)]
    found = [{k: 0.5 + 0.02 * n + 0.1 * k + e for k, e in enumerate(row)} for n, row in enumerate(noise)]
    two = compare(dict(enumerate(found[:2]))).difference(0, 1)
    four = compare(dict(enumerate(found))).difference(0, 1)
    assert two.mean == pytest.approx(four.mean)
    assert two.margin is not None
    assert four.margin is not None
    assert four.margin < two.margin / 1.5
    # What a seed does to all is no part of it.
    single = pooled_spread(found)
    assert single is not None
    assert single.deviation > 0.09


def test_a_network_gains_nothing_by_a_lucky_seed() -> None:
    # The first seed does all of them good; the last network has that one alone, and is worth as much as the second.
    field = {n: {1: 0.6 - 0.02 * n, 2: 0.5 - 0.02 * n, 3: 0.5 - 0.02 * n} for n in range(3)}
    found = compare(field | {9: {1: 0.58}})
    assert found.means[9] == pytest.approx(found.means[1])
    assert found.means[9] < found.means[0] < 0.58


def test_the_interval_of_a_difference_holds_the_truth_as_often_as_it_says() -> None:
    # Networks drop out after a seed or two, as in a confirmation; seeds do more to all of them than chance to one.
    random = np.random.default_rng(0)
    held = []
    for _ in range(1000):
        worth, luck = random.normal(0.5, 0.02, 6), random.normal(0, 0.02, 3)
        field = {
            n: {seed: worth[n] + luck[seed] + random.normal(0, 0.01) for seed in range(count)}
            for n, count in enumerate((3, 3, 3, 2, 1, 1))
        }
        found = compare(field)
        for one, other in ((0, 1), (0, 3), (0, 4), (4, 5)):
            difference = found.difference(one, other)
            held.append(difference.low <= worth[one] - worth[other] <= difference.high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.01)


def test_without_any_spread_there_is_no_interval() -> None:
    found = compare({"one": {1: 0.7}, "other": {1: 0.6}})
    assert found.difference("one", "other").mean == pytest.approx(0.1)
    assert found.difference("one", "other").margin is None
    assert not found.difference("one", "other").told_apart
    assert standard_error({1: 0.7}, None) is None
    assert standard_error({1: 0.72, 2: 0.70}, Spread(0.01, 10)) == pytest.approx(0.01 / math.sqrt(2))
    assert pooled_spread([{1: 0.7}, {2: 0.1}]) is None
    assert compare({}).means == {}


def test_where_few_seeds_are_known_the_spread_of_single_networks_gives_the_interval() -> None:
    found = compare({"one": {1: 0.72, 2: 0.70}, "other": {1: 0.66}})
    assert found.spread == pooled_spread([{1: 0.72, 2: 0.70}])
    # By the seed that both have.
    assert found.difference("one", "other").mean == pytest.approx(0.06)


def test_networks_without_a_seed_in_common_are_compared_by_those_that_each_has() -> None:
    found = compare({"one": {1: 0.72, 2: 0.70}, "other": {3: 0.66}})
    assert found.means == pytest.approx({"one": 0.71, "other": 0.66})
    assert found.variance("one", "other") == pytest.approx(1.5)


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


def scattered(deviation: float, *, shift: float = 0.0, networks: int = 8) -> dict[int, dict[int, float]]:
    """A percent from network to network, two seeds each, of which the second is as much kinder to all."""
    chance = np.random.default_rng(0).normal(0, deviation, (networks, 2))
    return {k: {1: 0.5 + 0.01 * k + a, 2: 0.5 + 0.01 * k + shift + b} for k, (a, b) in enumerate(chance)}


def test_the_ceiling_falls_as_seeds_spread() -> None:
    reached = [ceiling(compare(scattered(deviation))) for deviation in (1e-6, 0.005, 0.02)]
    assert reached[0] == pytest.approx(1)
    assert reached[0] > reached[1] > reached[2]
    # Where seeds are further apart than networks, rankings have nothing in common.
    assert ceiling(compare(scattered(0.5, networks=3))) == pytest.approx(0, abs=0.03)


def test_what_a_seed_does_to_all_networks_takes_nothing_from_the_ceiling() -> None:
    plain, shifted = (ceiling(compare(scattered(0.005, shift=shift))) for shift in (0.0, 0.1))
    assert shifted == pytest.approx(plain)


def test_a_confirmation_again_agrees_with_the_first_as_the_ceiling_says() -> None:
    random, true = np.random.default_rng(1), 0.01 * np.arange(10)

    def confirmed() -> dict[int, dict[int, float]]:
        seeds, chance = random.normal(0, 0.02, 3), random.normal(0, 0.01, (10, 3))
        counts = [3, 3, 2, 2, 1, 1, 1, 1, 1, 1]
        return {
            k: {seed: float(true[k] + seeds[seed] + chance[k, seed]) for seed in range(count)}
            for k, count in enumerate(counts)
        }

    pairs = [(compare(confirmed()), compare(confirmed())) for _ in range(200)]
    taus = [kendall_tau(list(one.means.values()), list(other.means.values())) for one, other in pairs]
    assert np.mean([ceiling(one) for one, _ in pairs[:50]]) == pytest.approx(np.mean(taus), abs=0.05)


def test_nothing_is_known_of_the_ceiling_without_two_seeds_or_two_networks() -> None:
    assert math.isnan(ceiling(compare({"a": {1: 0.5}, "b": {1: 0.6}})))
    assert math.isnan(ceiling(compare({"a": {1: 0.5, 2: 0.6}})))


def test_the_error_of_a_tau_is_that_of_rankings_by_chance() -> None:
    assert tau_error(10) == pytest.approx(0.2485, abs=1e-3)
