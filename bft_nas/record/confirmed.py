"""What several seeds say of networks: means, their errors, differences with intervals, and how rankings agree.

Everything is a function of accuracies by seed. Needs neither torch nor pandas.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

Sample = Mapping[int, float]
"""Accuracies by seed."""

CONFIDENCE = 0.95
PAIRED_FROM = 2
"""Degrees of freedom from which the differences seed by seed tell their spread: one would give an interval three times
as wide as two."""


@dataclass(frozen=True)
class Spread:
    """How far the accuracies of one network are apart from seed to seed."""

    deviation: float
    """Standard deviation."""
    freedom: float
    """Degrees of freedom behind it."""


@dataclass(frozen=True)
class Difference:
    """How much more accurate one network is than another."""

    mean: float
    margin: float | None
    """Half the width of the interval; None where no network has several seeds, so that nothing is known of it."""

    @property
    def low(self) -> float:
        """The lower end of the interval; minus infinity where there is none."""
        return -math.inf if self.margin is None else self.mean - self.margin

    @property
    def high(self) -> float:
        """The upper end of the interval; infinity where there is none."""
        return math.inf if self.margin is None else self.mean + self.margin

    @property
    def told_apart(self) -> bool:
        """Whether the interval leaves no doubt which one is more accurate."""
        return not self.low <= 0 <= self.high


def mean(sample: Sample) -> float:
    """The mean accuracy; ValueError without any."""
    if not sample:
        raise ValueError("expected a seed at least")
    return math.fsum(sample.values()) / len(sample)


def pooled_spread(samples: Iterable[Sample]) -> Spread | None:
    """The spread between seeds over all networks that have several; None where none has.

    Three seeds alone tell little of their spread, and networks of one search spread much alike.

    >>> pooled_spread([{0: 0.5, 1: 0.75}, {0: 0.9}])
    Spread(deviation=0.1767766952966369, freedom=1)
    """
    squares, freedom = 0.0, 0
    for sample in samples:
        if len(sample) > 1:
            middle = mean(sample)
            squares += math.fsum((value - middle) ** 2 for value in sample.values())
            freedom += len(sample) - 1
    return Spread(math.sqrt(squares / freedom), freedom) if freedom else None


def standard_error(sample: Sample, spread: Spread | None) -> float | None:
    """Of the mean; None where nothing is known of the spread."""
    return None if spread is None else spread.deviation / math.sqrt(len(sample))


@dataclass(frozen=True)
class Spreads:
    """How far accuracies are apart from seed to seed, over all networks that were confirmed together."""

    single: Spread | None = None
    """Of one network; None where none has several seeds."""
    paired: Spread | None = None
    """Of one network, without what a seed does to all of them; None where too few networks have all seeds."""
    seeds: frozenset[int] = frozenset()
    """Those of ``paired``."""


def spreads_of(samples: Sequence[Sample]) -> Spreads:
    """The spreads of networks that were confirmed with the same seeds, or fewer of them.

    Where several networks have all seeds, ``paired`` is what is left of their accuracies without the mean of each
    network and of each seed; for two networks it makes `difference` the t-test of paired values.
    """
    single = pooled_spread(samples)
    seeds = frozenset().union(*(sample.keys() for sample in samples))
    full = [sample for sample in samples if sample.keys() == seeds]
    freedom = (len(full) - 1) * (len(seeds) - 1)
    if freedom < PAIRED_FROM:
        return Spreads(single)
    table = np.array([[sample[seed] for seed in sorted(seeds)] for sample in full], dtype=np.float64)
    rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0, keepdims=True) + table.mean()
    return Spreads(single, Spread(math.sqrt(float((rest**2).sum()) / freedom), freedom), seeds)


def difference(one: Sample, other: Sample, spreads: Spreads) -> Difference:
    """How much more accurate one network is than another, with a 95 % interval (Student's t).

    Of two that have all seeds, seed by seed; otherwise the spread of single networks gives the interval. Both networks
    see the same validation images, which the difference cancels.

    >>> one, other = {1: 0.70, 2: 0.71, 3: 0.72}, {1: 0.68, 2: 0.70, 3: 0.69}
    >>> difference(one, other, spreads_of([one, other])).told_apart
    False
    """
    apart = mean(one) - mean(other)
    if spreads.paired is not None and one.keys() == other.keys() == spreads.seeds:
        return Difference(apart, _margin(spreads.paired, 2 / len(spreads.seeds)))
    if spreads.single is None:
        return Difference(apart, None)
    return Difference(apart, _margin(spreads.single, 1 / len(one) + 1 / len(other)))


def _margin(spread: Spread, variance: float) -> float:
    return student_quantile(round(spread.freedom)) * spread.deviation * math.sqrt(variance)


@cache
def student_quantile(freedom: int, confidence: float = CONFIDENCE) -> float:
    """Within how many standard errors a mean is, on both sides, with a confidence (Student's t).

    >>> [round(student_quantile(freedom), 3) for freedom in (1, 2, 30)]
    [12.706, 4.303, 2.042]
    """
    if freedom < 1:
        raise ValueError(f"freedom: expected 1 or more, got {freedom}")
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + confidence) / 2))


def kendall_tau(one: Sequence[float], other: Sequence[float]) -> float:
    """How well two rankings agree, from -1 to 1 (Kendall's tau-b); NaN where one of them ranks nothing.

    >>> kendall_tau([1, 2, 3, 4], [1, 3, 2, 4])
    0.6666666666666666
    """
    rows = np.array([one, other], dtype=np.float64)
    first, second = (np.sign(row[:, None] - row[None, :]) for row in rows)
    ranked = math.sqrt(float((first**2).sum()) * float((second**2).sum()))
    return float((first * second).sum()) / ranked if ranked else math.nan


def tau_error(networks: int) -> float:
    """The standard error of Kendall's tau of so many networks whose rankings have nothing in common."""
    return math.sqrt(2 * (2 * networks + 5) / (9 * networks * (networks - 1)))


DRAWS = 1000


def ceiling(samples: Sequence[Sample], spread: Spread) -> float:
    """The Kendall's tau that two confirmations with other seeds reach: no proxy can agree better.

    Networks are drawn as far apart as they are when the part of the spread is taken off, which noise alone adds.
    """
    means = np.array([mean(sample) for sample in samples])
    counts = np.array([len(sample) for sample in samples])
    noise = spread.deviation / np.sqrt(counts)
    apart = float(means.var(ddof=1))
    kept = math.sqrt(max(0.0, 1 - float((noise**2).mean()) / apart)) if apart > 0 else 0.0
    true = means.mean() + kept * (means - means.mean())
    random = np.random.default_rng(0)
    drawn = true + noise * random.standard_normal((DRAWS, 2, len(means)))
    return float(np.nanmean([kendall_tau(first, second) for first, second in drawn]))
