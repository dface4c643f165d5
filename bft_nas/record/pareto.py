"""Which candidates matter: dominance, fronts, ranks and hypervolume, for any number of objectives; winners.

Dominance of what was trained is decided here; who keeps a front up to date asks `nowhere_above`. Published results have
a front of their own, in `bft_nas.network.published`, which knows no records. The first part works on arrays of costs,
one row a candidate and one column an objective, each to be minimised. The second takes the results of a run, one row a
candidate, with the columns ``number``, ``state`` and those of its objectives; whatever else stands in a row is kept.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bft_nas.record.columns import CONFIRMED, PREDICTED, column_named

if TYPE_CHECKING:
    import pandas as pd

Costs = npt.NDArray[np.float64]
"""Of shape (candidates, objectives), each to be minimised."""

BLOCK = 256
"""Rows that are compared with all others at once: a few megabytes."""


@dataclass(frozen=True)
class Objective:
    """A column of results that a search makes small or large."""

    column: str
    maximised: bool = False

    @property
    def sign(self) -> int:
        """Makes a value of the column a cost."""
        return -1 if self.maximised else 1


def objective(name: str) -> Objective:
    """The objective that a column of results is; which way it gets better stands in the table of columns."""
    return Objective(name, maximised=column_named(name).direction == "up")


OBJECTIVES = (objective("macs"), objective("accuracy"))
"""Of every search."""
OBJECTIVES_IN_TIME = (*OBJECTIVES, objective(PREDICTED))
"""Of a search that predicts latencies."""


def nowhere_above(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether costs dominate others or are equal to them, in the objectives that both have.

    >>> nowhere_above((10, -0.5), (20, -0.5)), nowhere_above((10, -0.4), (20, -0.5))
    (True, False)
    """
    return all(map(operator.le, one, other))


def non_dominated(costs: Costs) -> npt.NDArray[np.bool_]:
    """Which rows no other one dominates: is below in one objective and not above in any. Equal rows stand together.

    >>> non_dominated(np.array([[10, -0.5], [20, -0.4], [30, -0.6], [10, -0.5]])).tolist()
    [True, False, True, True]
    """
    if not len(costs):
        return np.zeros(0, bool)
    # In order of the first objective, then the second, ...: who dominates a row stands before it.
    rows, places = np.unique(costs, axis=0, return_inverse=True)
    kept = _first_two(rows) if rows.shape[1] == 2 else _any_number(rows)
    return kept[places.reshape(-1)]


def _first_two(rows: Costs) -> npt.NDArray[np.bool_]:
    """Of two objectives, in order: a row is kept when its second one is below that of all before it."""
    before = np.concatenate([[math.inf], np.minimum.accumulate(rows[:, 1])[:-1]])
    return rows[:, 1] < before


def _any_number(rows: Costs) -> npt.NDArray[np.bool_]:
    kept = np.ones(len(rows), bool)
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        # All rows differ, so who is nowhere above is below somewhere; every row is nowhere above itself.
        not_above = (rows[None, : start + len(block)] <= block[:, None]).all(axis=2)
        kept[start : start + BLOCK] = not_above.sum(axis=1) == 1
    return kept


def ranked(points: Mapping[int, Sequence[float]], objectives: Sequence[Objective] = OBJECTIVES) -> list[int]:
    """Numbers in order of rank: by front, then the least crowded first (NSGA-II), then by number.

    Args:
        points: by number, a value for each of the objectives, as a column of results has it.

    >>> ranked({0: (30, 0.5), 1: (10, 0.4), 2: (20, 0.3), 3: (20, 0.45)})
    [0, 1, 3, 2]
    """
    numbers = np.array(sorted(points), dtype=np.int64)
    values = np.array([points[int(number)] for number in numbers], dtype=np.float64)
    values = values.reshape(len(numbers), len(objectives))
    order: list[int] = []
    while len(numbers):
        front = non_dominated(values * [objective.sign for objective in objectives])
        crowding = _crowding(values[front])
        order += [int(number) for number in numbers[front][np.lexsort((numbers[front], -crowding))]]
        numbers, values = numbers[~front], values[~front]
    return order


def _crowding(values: Costs) -> npt.NDArray[np.float64]:
    """How far a point's neighbours are apart, each objective scaled to 1; infinite at the ends (NSGA-II)."""
    distance = np.zeros(len(values))
    for each in values.T:
        line = np.argsort(each, kind="stable")
        low, high = each[line[0]], each[line[-1]]
        distance[line[[0, -1]]] = math.inf
        if high > low:
            distance[line[1:-1]] += (each[line[2:]] - each[line[:-2]]) / (high - low)
    return distance


def dominated_volume(costs: Costs, reference: Sequence[float]) -> float:
    """The volume of what some row dominates, up to a reference point: the hypervolume of minimised costs.

    By slices along the first objective, so that each costs the volume of one objective less: for fronts, which are
    small.

    >>> dominated_volume(np.array([[1.0, 3.0], [2.0, 1.0]]), reference=(4.0, 4.0))
    7.0
    """
    inside = costs[(costs < np.asarray(reference)).all(axis=1)]
    if not len(inside):
        return 0.0
    rows = inside[non_dominated(inside)]
    rows = rows[np.lexsort(rows.T[::-1])]
    if rows.shape[1] == 1:
        return float(reference[0] - rows[0, 0])
    ends = [*rows[1:, 0], reference[0]]
    if rows.shape[1] == 2:
        heights = reference[1] - np.minimum.accumulate(rows[:, 1])
        return float(((ends - rows[:, 0]) * heights).sum())
    slices = (
        (end - row[0]) * dominated_volume(rows[: i + 1, 1:], reference[1:])
        for i, (row, end) in enumerate(zip(rows, ends, strict=True))
        if end > row[0]
    )
    return float(sum(slices))


def hypervolume(points: Iterable[tuple[float, float]], most_macs: float) -> float:
    """The area that points (MACs, accuracy) dominate, up to so many MACs and down to an accuracy of 0, as a part of 1.

    >>> hypervolume([(50, 0.5), (25, 0.2)], most_macs=100)
    0.3
    """
    costs = np.array([(macs, -accuracy) for macs, accuracy in points], dtype=np.float64).reshape(-1, 2)
    return dominated_volume(costs, (most_macs, 0.0)) / most_macs


# Of results


def complete(results: pd.DataFrame) -> pd.DataFrame:
    """The candidates that were trained to the end and have an accuracy."""
    if results.empty:
        return results.copy()
    return results[(results["state"] == "complete") & results["accuracy"].notna()]


def front(results: pd.DataFrame, objectives: Sequence[Objective] | None = None) -> pd.DataFrame:
    """The complete candidates that no other one dominates, in the order of the objectives: by rising MACs first.

    Without any named, these are `OBJECTIVES_IN_TIME` where each of the candidates has all of them.

    Of candidates that are equal in all objectives the one with the lowest number stands for all.

    >>> import pandas as pd
    >>> results = pd.DataFrame(
    ...     {"number": [0, 1, 2], "state": "complete", "macs": [10, 20, 30], "accuracy": [0.5, 0.4, 0.6]}
    ... )
    >>> front(results)["number"].tolist()
    [0, 2]
    """
    candidates = complete(results)
    if candidates.empty:
        return candidates
    if objectives is None:
        objectives = OBJECTIVES_IN_TIME if _is_timed(candidates) else OBJECTIVES
    columns = [objective.column for objective in objectives]
    costs = candidates[columns].to_numpy(np.float64) * [objective.sign for objective in objectives]
    kept = candidates[non_dominated(costs)].sort_values("number").drop_duplicates(columns)
    ascending = [not objective.maximised for objective in objectives]
    return kept.sort_values(columns, ascending=ascending).reset_index(drop=True)


def _is_timed(candidates: pd.DataFrame) -> bool:
    return PREDICTED in candidates and bool(candidates[PREDICTED].notna().all())


def front_in(results: pd.DataFrame) -> str:
    """In what else than MACs and accuracy alone `front` is one, in words; empty where it is in nothing else."""
    timed = _is_timed(complete(results))
    return "in MACs, accuracy and predicted milliseconds" if timed else ""


def by_proxy(results: pd.DataFrame) -> pd.DataFrame:
    """Results as they are without confirmations: by the accuracies that every candidate has."""
    return results.drop(columns=list(CONFIRMED), errors="ignore")


def winners(results: pd.DataFrame, budgets: Sequence[int]) -> pd.DataFrame:
    """The most accurate complete candidate within each budget, with the budget in the column ``for_budget``.

    By the column ``confirmed``, where any within the budget has a value there, otherwise by ``accuracy``. Of equally
    accurate candidates the one with fewer MACs wins, then the one with the lower number. Whatever budget a candidate
    was proposed for, it may win any that it fits. A budget that nothing fits has no row.

    Args:
        results: one row a candidate.
        budgets: MACs, in the order in which the rows are wanted.
    """
    import pandas as pd

    candidates = complete(results)
    if candidates.empty:
        return candidates.assign(for_budget=pd.Series(dtype="int64"))
    # What was not confirmed comes last of all that was, and by its proxy accuracy where nothing was.
    by = [name for name in ("confirmed", "accuracy") if name in candidates]
    best_first = candidates.sort_values(
        [*by, "macs", "number"], ascending=[*(False for _ in by), True, True], na_position="last"
    )
    # The best within a budget is the first row that fits.
    fitting = [(budget, best_first[best_first["macs"] <= budget].head(1)) for budget in budgets]
    rows = [row.assign(for_budget=budget) for budget, row in fitting if not row.empty]
    if not rows:
        return best_first.head(0).assign(for_budget=pd.Series(dtype="int64"))
    return pd.concat(rows, ignore_index=True)
