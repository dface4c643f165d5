"""What a search measures at its end: the networks of its front, within seconds."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

from bft_nas.core.units import format_duration
from bft_nas.latency.measure import measure
from bft_nas.latency.networks import default_runtime, networks_of_run
from bft_nas.latency.single_stream import Rule
from bft_nas.record.latency import busy_text

if TYPE_CHECKING:
    from bft_nas.record.run import Run

PREPARING = 5.0
"""Seconds after the first network is ready, after which no further one is made ready."""
RULE = Rule(queries=32, seconds=0.2, most=4.0)


def measure_front(run: Run) -> str:
    """Measure winners, front and references in the default runtime with one thread, and say in words what was.

    The networks for which the seconds do not suffice have no latency; empty where there is nothing to measure.
    """
    started = time.perf_counter()
    networks = networks_of_run(run)
    if not networks:
        return ""
    measured = measure(networks, [default_runtime()], [1], RULE, preparing=PREPARING)
    run.record_latencies([each.latency for each in measured])
    seconds = format_duration(time.perf_counter() - started)
    text = f"{len(measured)} networks in {measured[0].latency.setup.text} ({seconds})"
    if busy := busy_text(measured[0].latency.share):
        text = f"{text}; {busy}"
    left = len(networks) - len(measured)
    return text if not left else f"{text}; bft-nas latency {shlex.quote(run.found_by)} measures {left} more"
