"""Where butterflies pay: what they are worth in each family of a run, and in each of its stages, at equal MACs.

It is what the accuracies of one search's candidates go with, by least squares, after their brief training: a family's
candidates are few, so that no number stands here without its interval or the word too few.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bft_nas.core.errors import UserError
from bft_nas.record.confirmed import Difference, student_quantile
from bft_nas.record.pareto import complete
from bft_nas.record.standings import lead_text

if TYPE_CHECKING:
    import pandas as pd

    from bft_nas.record.run import Run

LEAST_FREEDOM = 6
"""Networks beyond those that a line through them takes: with fewer, intervals are too wide to say anything."""
LEAST_OF_A_FAMILY = LEAST_FREEDOM + 3
"""Of a family, for what butterflies are worth in all of it; by stage it takes one more for each but one."""
TOO_FEW = "too few candidates, or too much alike, to tell"
WIDEST = 0.2
"""Half of the widest interval that says anything."""
SPAN = 0.5
"""By how much networks have to differ in a part: all of it is compared with none, and far beyond what was tried a line
through it says anything."""


@dataclass(frozen=True)
class Placement:
    """What butterflies are worth in one family: by how much accuracies are above those without, 0 to 1."""

    family: str
    networks: int
    """That were trained to the end."""
    with_butterflies: int
    """Of them."""
    whole: Difference | None
    """In every stage instead of in none; None where networks are too few or too much alike for a useful interval."""
    stages: Mapping[str, Difference | None]
    """By name: in ``stage 1`` and so on and in the ``head``, whatever the others have; None as above, or where all
    networks have the same there."""

    @property
    def is_known(self) -> bool:
        """Whether anything is."""
        return any((self.whole, *self.stages.values()))

    @property
    def text(self) -> str:
        """In a line: what is known of the family, and which of its stages are told apart."""
        told = [
            f"{name} {100 * each.mean:+.1f}"
            for name, each in self.stages.items()
            if each is not None and each.told_apart
        ]
        alone = f"; alone {', '.join(told)}" if told else ""
        return (
            f"{self.family}: {lead_text(self.whole) or TOO_FEW}, {self.with_butterflies} of {self.networks} candidates "
            f"have some{alone}"
        )


def placements(results: pd.DataFrame, headed: Collection[str] = ()) -> tuple[Placement, ...]:
    """What the complete candidates of results say of each family, in order of their names.

    Args:
        results: see `bft_nas.record.run.Run.results`.
        headed: families whose last fusion is that of the head.
    """
    done = complete(results)
    if done.empty:
        return ()
    found = []
    for family, rows in done.groupby("family"):
        accuracies, macs = rows["accuracy"].to_numpy(float), rows["macs"].to_numpy(float)
        parts = [parts_of(pattern) for pattern in rows["fusions"]]
        stages = max(map(len, parts))
        # One row a stage, one column a candidate.
        table = np.array([(*each, *[0.0] * (stages - len(each))) for each in parts]).T
        names = [f"stage {stage + 1}" for stage in range(stages)]
        if family in headed:
            names[-1] = "head"
        (whole,) = _told(worths(accuracies, macs, [table.mean(axis=0)]))
        each = _told(worths(accuracies, macs, list(table)))
        some = int((table > 0).any(axis=0).sum())
        found.append(Placement(str(family), len(rows), some, whole, dict(zip(names, each, strict=True))))
    return tuple(found)


def _told(found: Sequence[Difference | None]) -> list[Difference | None]:
    return [each if each is not None and (each.margin or 0) < WIDEST else None for each in found]


def parts_of(pattern: str) -> list[float]:
    """The part of the fusions of each stage that are butterflies, from a network's pattern of fusions.

    >>> parts_of("-/b4 b4/d - b8+d d")
    [1.0, 0.5, 0.0, 0.5, 0.0]
    """
    stages = [stage.replace("+", "/").split("/") for stage in pattern.split()]
    # A dash stands where a block mixes no channels.
    mixed = [[name for name in names if name != "-"] for names in stages]
    return [sum(name.startswith("b") for name in names) / max(1, len(names)) for names in mixed]


def worths(
    accuracies: Sequence[float] | np.ndarray[Any, Any],
    macs: Sequence[float] | np.ndarray[Any, Any],
    parts: Sequence[Sequence[float] | np.ndarray[Any, Any]],
    beside: Sequence[Sequence[float] | np.ndarray[Any, Any]] = (),
) -> list[Difference | None]:
    """How much more accurate networks are with all of a part than with none of it, the other parts and log MACs equal.

    Least squares, with 95 % intervals (Student's t). A part in which networks differ by less than `SPAN` has none; no
    part has one where there are too few networks, or where two parts always go together.

    Args:
        accuracies: one a network.
        macs: as many.
        parts: one row a part, with a value of 0 to 1 for each network.
        beside: what is to be equal too, in the form of ``parts``.
    """
    varying = [place for place, part in enumerate(parts) if np.ptp(part) > 0]
    given = [each for each in (np.log(macs), *beside) if np.ptp(each) > 0]
    scaled = [(np.asarray(each) - np.mean(each)) / np.std(each) for each in given]
    columns = np.column_stack([np.ones(len(accuracies)), *scaled, *(parts[place] for place in varying)])
    found: list[Difference | None] = [None] * len(parts)
    freedom = len(columns) - columns.shape[1]
    if freedom < LEAST_FREEDOM or np.linalg.matrix_rank(columns) < columns.shape[1]:
        return found
    slopes, *_ = np.linalg.lstsq(columns, np.asarray(accuracies, float), rcond=None)
    spread = np.sum((accuracies - columns @ slopes) ** 2) / freedom
    errors = np.sqrt(spread * np.diag(np.linalg.inv(columns.T @ columns)))
    for place, slope, error in zip(varying[::-1], slopes[::-1], errors[::-1], strict=False):
        if np.ptp(parts[place]) >= SPAN:
            found[place] = Difference(float(slope), student_quantile(freedom) * float(error))
    return found


def headed_families(run: Run, results: pd.DataFrame) -> frozenset[str]:
    """The families of a run whose last fusion is that of the head, by a candidate of each."""
    found = set()
    for family, rows in results.groupby("family") if len(results) else ():
        try:
            head = run.architecture(int(rows["number"].iloc[0])).head
        except UserError:
            continue
        if head.channels:
            found.add(str(family))
    return frozenset(found)


def placement_texts(run: Run) -> list[str]:
    """What a run says of butterflies in each family, a line each; one line where no family has candidates enough."""
    results = run.results()
    found = placements(results, headed_families(run, results))
    if not any(each.is_known for each in found):
        counts = ", ".join(f"{each.family} {each.networks}" for each in found) or "none is complete"
        return [f"{TOO_FEW} in any family ({counts}); expected {LEAST_OF_A_FAMILY} or more of one"]
    return [each.text for each in found]
