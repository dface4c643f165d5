"""Times of several functions, interleaved: machines are noisy, and what disturbs one round disturbs all of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def medians(
    runs: Mapping[str, Callable[[], object]], rounds: int = 7, seconds: float = 0.002
) -> dict[str, float]:
    """Seconds of one call of each, the median over ``rounds`` rounds of all of them in turn.

    In a round each is called as often as takes ``seconds``, once at least.
    """
    calls = {}
    for name, run in runs.items():
        run()
        run()
        started = time.perf_counter()
        run()
        calls[name] = max(1, int(seconds / max(1e-6, time.perf_counter() - started)))
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            started = time.perf_counter()
            for _ in range(calls[name]):
                run()
            times[name].append((time.perf_counter() - started) / calls[name])
    return {name: statistics.median(each) for name, each in times.items()}
