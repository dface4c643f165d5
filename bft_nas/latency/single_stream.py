"""Latencies by the single-stream rule of MLPerf Mobile: one query after the other, percentiles over all of them.

Source: Janapa Reddi et al. 2022, "MLPerf Mobile Inference Benchmark", and the rules of MLPerf Inference: after a
warm-up at least 1,024 queries and a least time. What MLPerf leaves to quiet phones is done here by turns: every
network is measured in each of several rounds, so that whatever disturbs a machine for a while disturbs all of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bft_nas.core.timing import SETTLING

Name = TypeVar("Name", bound=Hashable)
Query = Callable[[], object]
"""One image through one network, from its pixels in memory to its logits in memory."""

ROUNDS = 8
"""In which the queries of a network are asked."""
PERCENTILES = (50, 90)


@dataclass(frozen=True)
class Rule:
    """How long is measured."""

    queries: int = 64
    """Of each network, at least; MLPerf has 1,024."""
    seconds: float = 1.0
    """In queries of each network, at least; MLPerf has 60."""
    most: float = math.inf
    """Seconds in all, after which no round begins but the first: then there may be fewer queries."""


@dataclass(frozen=True)
class Percentiles:
    """How long the queries of one network took, in seconds."""

    p50: float
    p90: float
    queries: int


def single_stream(
    queries: Mapping[Name, Query],
    rule: Rule,
    *,
    progress: Callable[[float], None] = lambda done: None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[Name, Percentiles]:
    """Latencies of networks, measured in turns.

    A first round is not counted, nor are the first queries of a network's turn: what ran before leaves threads that
    spin for work, and caches full of its own.

    Args:
        queries: by the name of a network, what asks it once.
        rule: how long.
        progress: is told the part that is done after each turn.
        clock: of seconds.
    """
    ends = clock() + rule.most
    taken: dict[Name, list[float]] = {name: [] for name in queries}
    turns, done = (ROUNDS + 1) * len(queries), 0
    for round_number in range(ROUNDS + 1):
        if round_number > 1 and clock() >= ends:
            break
        for name, query in queries.items():
            seconds = _turn(query, rule, clock)
            if round_number > 0:
                taken[name] += seconds
            done += 1
            progress(done / turns)
    return {name: percentiles(seconds) for name, seconds in taken.items()}


def _turn(query: Query, rule: Rule, clock: Callable[[], float]) -> list[float]:
    """The seconds of each query of a turn, which is a round's part of the rule."""
    settled = clock() + SETTLING
    query()
    while clock() < settled:
        query()
    least, seconds = math.ceil(rule.queries / ROUNDS), rule.seconds / ROUNDS
    taken: list[float] = []
    whole = 0.0
    while len(taken) < least or whole < seconds:
        started = clock()
        query()
        taken.append(clock() - started)
        whole += taken[-1]
    return taken


def percentiles(seconds: Sequence[float]) -> Percentiles:
    """The 50th and the 90th percentile: the least time within which so many of a hundred queries were answered.

    >>> percentiles([0.4, 0.1, 0.2, 0.3])
    Percentiles(p50=0.2, p90=0.4, queries=4)
    """
    ordered = sorted(seconds)
    p50, p90 = (ordered[math.ceil(each * len(ordered) / 100) - 1] for each in PERCENTILES)
    return Percentiles(p50, p90, len(ordered))
