"""What several seeds say of networks: means, their errors, differences with intervals, and how rankings agree.

Everything is a function of accuracies by seed. Needs neither torch nor pandas.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

Key = TypeVar("Key", bound=Hashable)
"""What a network is called."""
Sample = Mapping[int, float]
"""Accuracies by seed."""

CONFIDENCE = 0.95
PAIRED_FROM = 2
"""Degrees of freedom from which it is told what a seed does to all networks: one would give an interval three times as
wide as two."""

DIGITS = 12


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
class Comparison(Generic[Key]):
    """What networks are worth that were confirmed with the same seeds, or fewer of them; made by `compare`."""

    means: Mapping[Key, float]
    """Accuracies, as if each network had all seeds."""
    spread: Spread | None
    """Of one network from seed to seed, without what a seed does to all; None where no network has several seeds."""
    variances: npt.NDArray[np.float64]
    """Covariances of the means in the order of their keys, over the variance between seeds."""

    def variance(self, one: Key, other: Key) -> float:
        """Of the difference of two means, over the variance between seeds: 2 of networks with one seed each."""
        contrast = np.array([(key == one) - (key == other) for key in self.means], dtype=np.float64)
        return max(0.0, float(contrast @ self.variances @ contrast))

    def difference(self, one: Key, other: Key) -> Difference:
        """How much more accurate one network is than another on these images, with a 95 % interval (Student's t).

        What seeds leave to chance is in the interval; that other images would tell the two apart otherwise is not.
        """
        apart = self.means[one] - self.means[other]
        if self.spread is None:
            return Difference(apart, None)
        error = self.spread.deviation * math.sqrt(self.variance(one, other))
        return Difference(apart, student_quantile(round(self.spread.freedom)) * error)


def compare(samples: Mapping[Key, Sample], images: int | None = None) -> Comparison[Key]:
    """Networks by their accuracies with the same seeds, or fewer of them.

    An accuracy is the sum of what its network and its seed are worth, and of chance (a two-way analysis of variance by
    least squares): a network that has the lucky seeds alone gains nothing by them, and what a seed does to all is no
    part of an interval. Of a network with all seeds it is the mean, and of two of them the t-test of paired values.
    Where no networks have seeds in common by which to compare them all, means are those of the seeds that each has.

    Args:
        samples: accuracies by network.
        images: that they were measured on, where known: seeds of few images may agree to the image by luck, and their
            spread is taken for that of one image at least.

    >>> found = compare({"a": {1: 0.70, 2: 0.65, 3: 0.66}, "b": {1: 0.68, 2: 0.62, 3: 0.65}, "c": {1: 0.69}})
    >>> {name: round(mean, 3) for name, mean in found.means.items()}
    {'a': 0.67, 'b': 0.65, 'c': 0.66}
    >>> found.difference("a", "b").told_apart
    False
    """
    if not samples:
        return Comparison({}, None, np.zeros((0, 0)))
    networks, seeds = len(samples), sorted(set().union(*samples.values()))
    cells = [(place, seed) for place, sample in enumerate(samples.values()) for seed in sample]
    design = np.zeros((len(cells), networks + len(seeds) - 1))
    for row, (place, seed) in zip(design, cells, strict=True):
        row[place] = 1
        # What seeds are worth adds up to nothing: the last one is what the others leave.
        row[networks:] = -1 if seed == seeds[-1] else [seed == each for each in seeds[:-1]]
    values = np.array([value for sample in samples.values() for value in sample.values()])
    spread = _at_least_an_image(pooled_spread(samples.values()), images)
    if np.linalg.matrix_rank(design) < design.shape[1]:
        variances = np.diag([1 / len(sample) for sample in samples.values()])
        return Comparison({key: mean(sample) for key, sample in samples.items()}, spread, variances)
    variances = np.linalg.inv(design.T @ design)
    worth = variances @ design.T @ values
    rest, freedom = values - design @ worth, len(cells) - design.shape[1]
    if freedom >= PAIRED_FROM:
        spread = _at_least_an_image(Spread(math.sqrt(float(rest @ rest) / freedom), freedom), images)
    # Without the last digits, which depend on the order of the networks: two of the same accuracies are equal.
    means = {key: round(float(each), DIGITS) for key, each in zip(samples, worth, strict=False)}
    return Comparison(means, spread, variances[:networks, :networks].astype(np.float64))


def _at_least_an_image(spread: Spread | None, images: int | None) -> Spread | None:
    if spread is None or images is None:
        return spread
    return Spread(max(spread.deviation, 1 / images), spread.freedom)


@cache
def student_quantile(freedom: int) -> float:
    """Within how many standard errors a mean is, on both sides, with `CONFIDENCE` (Student's t).

    >>> [round(student_quantile(freedom), 3) for freedom in (1, 2, 30)]
    [12.706, 4.303, 2.042]
    """
    if freedom < 1:
        raise ValueError(f"freedom: expected 1 or more, got {freedom}")
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


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


def ceiling(found: Comparison[Key]) -> float:
    """The Kendall's tau that two confirmations with other seeds reach: no proxy can agree better.

    Networks are drawn as far apart as they are when the part of the spread is taken off, which noise alone adds; NaN
    where nothing is known of the noise, or of fewer than two networks.
    """
    networks = len(found.means)
    if found.spread is None or networks < 2:
        return math.nan
    means = np.array(list(found.means.values()))
    noise = found.spread.deviation**2 * found.variances
    apart = float(means.var(ddof=1))
    added = float(noise.trace() - noise.sum() / networks) / (networks - 1)
    kept = math.sqrt(max(0.0, 1 - added / apart)) if apart > 0 else 0.0
    true = means.mean() + kept * (means - means.mean())
    drawn = np.random.default_rng(0).multivariate_normal(true, noise, (DRAWS, 2), method="eigh")
    return float(np.nanmean([kendall_tau(first, second) for first, second in drawn]))
