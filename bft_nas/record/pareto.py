"""Which candidates matter: the front in (MACs down, accuracy up) and the winner of each budget.

Both take the results of a run, one row a candidate, with the columns ``number``, ``state``, ``macs`` and
``accuracy``; whatever else stands in a row is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd


def complete(results: pd.DataFrame) -> pd.DataFrame:
    """The candidates that were trained to the end and have an accuracy."""
    if results.empty:
        return results.copy()
    return results[(results["state"] == "complete") & results["accuracy"].notna()]


def front(results: pd.DataFrame) -> pd.DataFrame:
    """The complete candidates that no other beats in both MACs and accuracy, by rising MACs.

    Of candidates with the same MACs and the same accuracy the one with the lowest number stands for all.

    >>> results = pd.DataFrame(
    ...     {"number": [0, 1, 2], "state": "complete", "macs": [10, 20, 30], "accuracy": [0.5, 0.4, 0.6]}
    ... )
    >>> front(results)["number"].tolist()
    [0, 2]
    """
    candidates = complete(results)
    if candidates.empty:
        return candidates
    ordered = candidates.sort_values(["macs", "accuracy", "number"], ascending=[True, False, True])
    best_of_cheaper = ordered["accuracy"].cummax().shift(fill_value=-1.0)
    return ordered[ordered["accuracy"] > best_of_cheaper].reset_index(drop=True)


def hypervolume(points: Iterable[tuple[float, float]], most_macs: float) -> float:
    """The area that points (MACs, accuracy) dominate, up to so many MACs and down to an accuracy of 0, as a part of 1.

    >>> hypervolume([(50, 0.5), (25, 0.2)], most_macs=100)
    0.3
    """
    area, best, since = 0.0, 0.0, 0.0
    for macs, accuracy in sorted(point for point in points if point[0] <= most_macs):
        if accuracy > best:
            area += best * (macs - since)
            best, since = accuracy, macs
    return (area + best * (most_macs - since)) / most_macs


def winners(results: pd.DataFrame, budgets: Sequence[int]) -> pd.DataFrame:
    """The most accurate complete candidate within each budget, with the budget in the column ``for_budget``.

    Of equally accurate candidates the one with fewer MACs wins, then the one with the lower number. Whatever
    budget a candidate was proposed for, it may win any that it fits. A budget that nothing fits has no row.

    Args:
        results: one row a candidate.
        budgets: MACs, in the order in which the rows are wanted.
    """
    ranked = complete(results)
    if ranked.empty:
        return ranked.assign(for_budget=pd.Series(dtype="int64"))
    ranked = ranked.sort_values(["accuracy", "macs", "number"], ascending=[False, True, True])
    # The best within a budget is on the ranking's first row that fits.
    fitting = [(budget, ranked[ranked["macs"] <= budget].head(1)) for budget in budgets]
    rows = [row.assign(for_budget=budget) for budget, row in fitting if not row.empty]
    if not rows:
        return ranked.head(0).assign(for_budget=pd.Series(dtype="int64"))
    return pd.concat(rows, ignore_index=True)
