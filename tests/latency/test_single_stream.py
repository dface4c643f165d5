"""The rule by which latencies are measured, with clocks that tick as the tests say."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import cycle, groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bft_nas.core.timing import SETTLING
from bft_nas.latency.single_stream import ROUNDS, Rule, percentiles, single_stream

SECONDS = st.floats(1e-4, 0.05)
LISTS = st.lists(SECONDS, min_size=1, max_size=5)
RULES = st.builds(Rule, st.integers(1, 100), st.floats(0, 0.5))


class Machine:
    """A clock, and networks that take some seconds, again and again the same ones."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[tuple[str, float, float]] = []
        """Networks, when they were asked, and how long they took."""

    def clock(self) -> float:
        return self.now

    def network(self, name: str, seconds: Sequence[float]) -> Callable[[], None]:
        lasting = cycle(seconds)

        def query() -> None:
            taken = next(lasting)
            self.asked.append((name, self.now, taken))
            self.now += taken

        return query


@given(networks=st.lists(LISTS, min_size=1, max_size=4), rule=RULES)
def test_every_network_is_asked_often_and_long_enough_in_every_round(
    networks: list[list[float]], rule: Rule
) -> None:
    machine = Machine()
    queries = {str(place): machine.network(str(place), each) for place, each in enumerate(networks)}
    told: list[float] = []
    found = single_stream(queries, rule, clock=machine.clock, progress=told.append)
    turns = [name for name, _ in groupby(machine.asked, key=lambda query: query[0])]
    assert len(queries) == 1 or turns == list(queries) * (ROUNDS + 1)
    for name, each in found.items():
        seconds = [taken for asked, _, taken in machine.asked if asked == name]
        assert rule.queries <= each.queries < len(seconds)
        assert sum(seconds) >= rule.seconds
        assert min(seconds) - 1e-9 <= each.p50 <= each.p90 <= max(seconds) + 1e-9
    assert told == sorted(told)
    assert told[-1] == 1


@given(seconds=SECONDS, other=SECONDS)
def test_a_network_that_takes_as_long_each_time_has_that_latency_whatever_runs_beside_it(
    seconds: float, other: float
) -> None:
    machine = Machine()
    queries = {"one": machine.network("one", [seconds]), "other": machine.network("other", [other])}
    found = single_stream(queries, Rule(8, 0), clock=machine.clock)
    assert found["one"].p50 == pytest.approx(seconds)
    assert found["one"].p90 == pytest.approx(seconds)


def test_a_first_round_is_not_counted() -> None:
    machine = Machine()
    cold = machine.network("it", [1.0, 1.0, 1.0, *[0.001] * 1000])
    found = single_stream({"it": cold}, Rule(8, 0), clock=machine.clock)
    assert found["it"].p90 == pytest.approx(0.001)


def test_what_comes_first_in_a_turn_is_not_counted() -> None:
    machine = Machine()
    last = ""

    def disturbed(name: str) -> Callable[[], None]:
        def query() -> None:
            nonlocal last
            # Slow after another network, and in the first tenth of a second.
            machine.now += 0.001 if last == name and machine.now > 0.1 else 0.02
            last = name

        return query

    found = single_stream({name: disturbed(name) for name in "ab"}, Rule(80, 0.08), clock=machine.clock)
    assert [each.p90 for each in found.values()] == pytest.approx([0.001, 0.001])
    assert SETTLING > 0.0005


@given(most=st.floats(0, 1), slow=st.floats(0.02, 0.2))
def test_it_ends_with_the_round_in_which_the_time_is_up_and_every_network_has_a_latency(
    most: float, slow: float
) -> None:
    machine = Machine()
    queries = {name: machine.network(name, [slow]) for name in "abc"}
    found = single_stream(queries, Rule(64, 1.0, most), clock=machine.clock)
    a_round = 3 * (1 + max(8, math.ceil(0.125 / slow) + 1)) * slow
    assert machine.now <= max(2 * a_round, most + a_round) + 1e-9
    assert len({each.queries for each in found.values()}) == 1
    assert all(each.p50 == pytest.approx(slow) for each in found.values())


@given(st.lists(SECONDS, min_size=1, max_size=200))
def test_a_percentile_is_the_least_time_within_which_so_many_were_answered(seconds: list[float]) -> None:
    found = percentiles(seconds)
    for part, value in ((0.5, found.p50), (0.9, found.p90)):
        assert value in seconds
        assert sum(each <= value for each in seconds) >= part * len(seconds) - 1e-9
        assert sum(each < value for each in seconds) < part * len(seconds)
