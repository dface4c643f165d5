"""What a brief training promises of a network: its accuracy, and what larger ones have yet to catch up with."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection

PER_DOUBLING = 1.4
"""What twice the MACs are worth that a brief training does not show yet, in standard deviations of its accuracies: by
88 networks within 15M MACs (benchmarks/results/table.md)."""


def gain_of_a_doubling(accuracies: Collection[float]) -> float:
    """What twice the MACs are worth beyond the brief trainings of a search, by how far these are apart.

    >>> gain_of_a_doubling([0.40, 0.44, 0.48]) > 0.04
    True
    >>> gain_of_a_doubling([0.4])
    0.0
    """
    return PER_DOUBLING * statistics.pstdev(accuracies) if accuracies else 0.0


def promise(accuracy: float, macs: int, budget: int, gain: float) -> float:
    """An accuracy less what a network lacks that leaves a part of the budget; ``gain`` is that of a doubling.

    >>> promise(0.45, 25_000_000, 50_000_000, 0.02)
    0.43
    """
    return accuracy + gain * math.log2(macs / budget)
