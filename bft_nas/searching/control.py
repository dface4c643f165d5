"""What random search would have found with as many trainings, from the uniform ones of a run's proposals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from bft_nas.core.units import format_percent
from bft_nas.record import Run
from bft_nas.record.confirmed import student_quantile
from bft_nas.searching.proposers.schedule import is_uniform, known_networks

LEARNT = "surrogate"
"""The sampler of whose proposals some are uniform."""
LEAST_UNIFORM = 5
"""Trained ones, to say anything."""


def control_text(run: Run) -> str:
    """A sentence on a run that was searched by `LEARNT`; empty of others, and where too little was trained.

    With several budgets it is about the largest one.
    """
    if run.settings.sampler != LEARNT:
        return ""
    budget = run.settings.budgets[-1]
    known = known_networks(run.space)
    uniform: list[float] = []
    learnt: list[float] = []
    for position, entry in enumerate(run.ledger.history.sampled):
        if (
            position < known
            or entry.state != "complete"
            or not entry.facts
            or entry.facts["budget"] != budget
        ):
            continue
        (uniform if is_uniform(position, known) else learnt).append(entry.accuracies[-1])
    if len(uniform) < LEAST_UNIFORM or not learnt:
        return ""
    count = len(uniform) + len(learnt)
    best, half = expected_best(uniform, count)
    found = max(learnt)
    lead = f"{100 * (found - best):+.1f} points (95 %: ± {100 * half:.1f})"
    return (
        f"the best of the model's proposals has {format_percent(found)}, and random search with as many trainings "
        f"({count}) would be expected to find {format_percent(best)}, by the {len(uniform)} uniform proposals; "
        f"{lead if abs(found - best) > half else f'not to be told apart: {lead}'} (proxy trainings, unconfirmed)"
    )


def expected_best(sample: Sequence[float], count: int) -> tuple[float, float]:
    """The mean of the best of ``count`` draws from what a sample was drawn from, taken to be normal (Blom 1958).

    Returns:
        The mean, and half of its 95 % interval, by the errors of the sample's mean and deviation.

    >>> best, half = expected_best([0.4, 0.5, 0.6], 1)
    >>> round(best, 3), round(half, 3)
    (0.5, 0.248)
    >>> round(expected_best([0.4, 0.5, 0.6], 20)[0], 3)
    0.687
    """
    mean, deviation = statistics.fmean(sample), statistics.stdev(sample)
    above = statistics.NormalDist().inv_cdf((count - 0.375) / (count + 0.25))
    freedom = len(sample) - 1
    error = deviation * math.sqrt(1 / len(sample) + above**2 / (2 * freedom))
    return mean + above * deviation, student_quantile(freedom) * error
