"""Whole networks from the sum of their operations: the correction, its error, and files of it."""

from __future__ import annotations

import random
import statistics

import pytest

from bft_nas.latency.operations import operations
from bft_nas.latency.prediction import Fit, NetworkTime, Predictor, total
from bft_nas.network import Architecture
from bft_nas.space.space import SearchSpace
from tests.latency.stored import stored_predictor, stored_table

SLOPES = {"mnasnet": 1.25, "mobilenet_v1": 1.1, "mobilenet_v3": 1.3, "shufflenet_v2": 1.2}


@pytest.fixture(scope="module")
def networks() -> list[Architecture]:
    rng, space = random.Random(3), SearchSpace.load("mobile")
    return [space.sample(rng, 30_000_000).architecture for _ in range(40)]


def measured(networks: list[Architecture], noise: float = 0.0) -> list[tuple[Architecture, float]]:
    rng, table = random.Random(0), stored_table()
    return [
        (net, (0.2 + SLOPES[net.family] * total(table, net)) * (1 + rng.uniform(-noise, noise)))
        for net in networks
    ]


def test_a_fit_finds_the_offset_and_the_slope_of_each_family(networks: list[Architecture]) -> None:
    predictor = Predictor.of(stored_table(), measured(networks))
    for net, milliseconds in measured(networks):
        assert predictor.milliseconds(net) == pytest.approx(milliseconds, rel=0.02)
    assert predictor.error < 0.02


def test_its_error_is_that_of_networks_which_it_has_not_seen(networks: list[Architecture]) -> None:
    predictor = Predictor.of(stored_table(), measured(networks, noise=0.2))
    # The median of a uniform error up to 20 % is 10 %.
    assert 0.05 < predictor.error < 0.2
    assert predictor.networks == len(networks)
    few = measured(networks[:12], noise=0.2)
    predictor = Predictor.of(stored_table(), few)
    errors = [abs(predictor.milliseconds(net) / ms - 1) for net, ms in few]
    assert predictor.error > 1.05 * statistics.median(errors)


def test_a_network_that_was_disturbed_counts_little(networks: list[Architecture]) -> None:
    times = measured(networks)
    disturbed = [(net, 4 * ms) if place % 10 == 0 else (net, ms) for place, (net, ms) in enumerate(times)]
    predictor = Predictor.of(stored_table(), disturbed)
    errors = sorted(abs(predictor.milliseconds(net) / ms - 1) for net, ms in times)
    assert errors[len(errors) // 2] < 0.1


def test_a_family_that_was_not_measured_has_the_slope_of_all() -> None:
    rows = [NetworkTime("one", each, 1 + 2 * each) for each in (1.0, 2.0, 3.0, 5.0)]
    fit = Fit.to(rows)
    assert fit.milliseconds("other", 4.0) == pytest.approx(9.0, rel=0.05)
    assert Fit({"": 1.0}, -5.0).milliseconds("any", 2.0) > 0


def test_wider_and_slower_networks_are_predicted_to_be_slower(networks: list[Architecture]) -> None:
    predictor = stored_predictor()
    small, large = (
        [SearchSpace.load("mobilenet_v1").sample(random.Random(seed), macs) for seed in range(5)]
        for macs in (5_000_000, 80_000_000)
    )
    slowest = max(predictor.milliseconds(each.architecture) for each in small)
    assert slowest < min(predictor.milliseconds(each.architecture) for each in large)
    assert all(operations(net) for net in networks)


def test_a_predictor_is_read_as_it_was_written(networks: list[Architecture]) -> None:
    predictor = stored_predictor()
    again = Predictor.from_json(predictor.to_json())
    assert again == predictor
    assert again.version == predictor.version
    assert [again.milliseconds(net) for net in networks] == [predictor.milliseconds(net) for net in networks]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": 99}', '{"format": 1, "slopes": {}}'])
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no table of layers"):
        Predictor.from_json(text)
