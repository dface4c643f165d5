"""Times of several functions, interleaved: machines are noisy, and what disturbs one round disturbs all of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

# Seconds. Threads of OpenMP and of ONNX Runtime spin for tenths of a millisecond, and where there are more of them than
# cores, take others' time for longer.
SETTLING = 0.001


def medians(
    runs: Mapping[str, Callable[[], object]],
    rounds: int = 7,
    seconds: float = 0.002,
    finish: Callable[[], object] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Seconds of one call of each, the median over ``rounds`` interleaved rounds of all of them.

    In a round each is called as often as takes ``seconds``, once at least, after some calls that are not counted: what
    ran before leaves threads that spin for work, and caches full of its own. ``finish`` waits for a device that has
    only been told what to do. ``clock`` may count this thread's processor time alone, `time.thread_time`, where all
    that is timed runs in it.
    """

    def once(run: Callable[[], object], calls: int) -> float:
        started = clock()
        for _ in range(calls):
            run()
        finish()
        return (clock() - started) / calls

    def settled(run: Callable[[], object]) -> float:
        ends = time.perf_counter() + SETTLING
        seconds = once(run, 1)
        while time.perf_counter() < ends:
            seconds = once(run, 8)
        return seconds

    calls = {}
    for name, run in runs.items():
        once(run, 2)
        calls[name] = max(1, int(seconds / max(1e-6, settled(run))))
    times: list[dict[str, float]] = []
    for _ in range(rounds):
        times.append({})
        for name, run in runs.items():
            settled(run)
            times[-1][name] = once(run, calls[name])
    return {name: statistics.median(each[name] for each in times) for name in runs}
