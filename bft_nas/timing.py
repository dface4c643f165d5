"""Times of several functions, interleaved: machines are noisy, and what disturbs one round disturbs all of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def medians(
    runs: Mapping[str, Callable[[], object]],
    rounds: int = 7,
    seconds: float = 0.002,
    finish: Callable[[], object] = lambda: None,
) -> dict[str, float]:
    """Seconds of one call of each, the median over ``rounds`` rounds of all of them in turn.

    In a round each is called as often as takes ``seconds``, once at least; ``finish`` waits for a device that has only
    been told what to do.
    """

    def once(run: Callable[[], object], calls: int) -> float:
        started = time.perf_counter()
        for _ in range(calls):
            run()
        finish()
        return (time.perf_counter() - started) / calls

    calls = {}
    for name, run in runs.items():
        once(run, 2)
        calls[name] = max(1, int(seconds / max(1e-6, once(run, 1))))
    times = [{name: once(run, calls[name]) for name, run in runs.items()} for _ in range(rounds)]
    return {name: statistics.median(each[name] for each in times) for name in runs}
