"""Whether values of choices are equally likely."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scipy.stats import chisquare


def least_chance(drawn: Iterable[tuple[Mapping[str, Any], Mapping[str, Sequence[Any]]]]) -> float:
    """How probable the least probable counts of a choice's values are, if all of them are equally likely.

    ``drawn`` are choices, each with the values that it was made from.
    """
    counts: dict[tuple[str, tuple[Any, ...]], Counter[Any]] = defaultdict(Counter)
    for choices, offered in drawn:
        for name, values in offered.items():
            counts[name, tuple(values)][choices[name]] += 1
    return min(
        float(chisquare([found[value] for value in values]).pvalue)
        for (_, values), found in counts.items()
        if len(values) > 1 and found.total() >= 5 * len(values)
    )
