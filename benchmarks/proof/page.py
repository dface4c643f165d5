"""docs/results.md from the records: accuracies with intervals, and differences that hold for all of them together.

python benchmarks/proof/page.py
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import records
from scipy import stats
from tasks import FORMER, NAMES, SEARCHES, TASKS, VARIANTS, Task

from bft_nas.record.latency import QUIET

SEARCHED = (*SEARCHES, *FORMER)
INT8 = "onnxruntime-int8.onnx"
TIMED = {"onnxruntime.onnx": "ms, ONNX Runtime", INT8: "ms, int8", "model.c": "ms, C"}
"""Files by what their column is called."""
PAGE = Path(__file__).parents[2] / "docs" / "results.md"
FINDINGS = Path(__file__).with_name("findings.md")
"""What people say of the records."""
TITLE = """\
# Results: what a search finds, trained to the end, beside what it has to beat

The winner of a search and known networks that are as wide as the same budget allows, all trained by `bft-nas train`
with the same recipe and as many epochs. Test images are read at the end.
"""
EARLIER = """\
### Earlier searches

What the default search named as it was once, trained in the same way. They say which change was worth what.
"""
METHOD = """\
## How to read the tables

- An accuracy is the mean over searches (each the mean of its winner's trainings) or, of a known network, over its
  trainings; after it stands the 95 % interval by Student's t. One search or one training has no interval, and proves
  nothing.
- A difference is the mean of the winner of `bft-nas search` less the other's, with Welch's interval; p-values are
  corrected by Holm over the rows of a table.
- The search without butterflies is `--fusion dense`, that of random proposals `--sampler random`, that in the modern
  space `--space modern`; each has as many seconds as the default one.
- *int8* is the test accuracy of the exported `onnxruntime-int8.onnx`; milliseconds are medians for one image and one
  thread of `onnxruntime.onnx`, that file and `model.c`, all networks of a task in turns.
- This page is made by `python benchmarks/proof/page.py` from `benchmarks/proof/records.jsonl`, which
  `python benchmarks/proof/proof.py run` fills with the commands that users have.
"""


@dataclass(frozen=True)
class Contestant:
    """What was found of a contestant in a task."""

    name: str
    accuracies: tuple[float, ...]
    """Points: one of each search, or of each training of a reference."""
    trainings: int
    rows: tuple[Mapping[str, Any], ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.accuracies)


def contestants(task: Task, found: Iterable[Mapping[str, Any]]) -> list[Contestant]:
    """Those of a task that have been trained, the best mean first."""
    rows: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in found:
        if row["task"] == task.name and "accuracy" in row and row["contestant"] not in task.variants:
            rows[row["contestant"]].append(row)
    made = [
        Contestant(
            name, units_of(name, trained, lambda row: 100 * row["accuracy"]), len(trained), tuple(trained)
        )
        for name, trained in rows.items()
    ]
    return sorted(made, key=lambda each: -each.mean)


def recipe_lines(task: Task, found: Sequence[Mapping[str, Any]]) -> list[str]:
    """What parts of the recipe are worth: other trainings of a reference, and the average of the weights."""
    rows = [row for row in found if row["task"] == task.name and "accuracy" in row]
    lines = []
    for variant in task.variants:
        name, _, what = variant.partition("-")
        pairs = [
            100 * (one["accuracy"] - other["accuracy"])
            for one in rows
            for other in rows
            if (one["contestant"], other["contestant"]) == (variant, name) and one["seed"] == other["seed"]
        ]
        if pairs:
            lines.append(f"- {name} {VARIANTS[what][0]}: {spread(pairs)} points of test accuracy.")
    averages = [
        100 * (row["last"]["averaged"] - row["last"]["accuracy"])
        for row in rows
        if "last" in row and "same_as" not in row
    ]
    if averages:
        text = f"{spread(averages)} points of validation accuracy after the last epoch"
        lines.append(
            f"- The moving average of the weights over the weights themselves, in all trainings: {text}."
        )
    return ["", "What parts of the recipe are worth, seed by seed:", "", *lines] if lines else []


def spread(values: Sequence[float]) -> str:
    """A mean of differences with its 95 % interval, where there are two at least."""
    off = margin(values)
    return f"{statistics.fmean(values):+.2f}" + (" (one seed)" if off is None else f" ± {off:.2f}")


def units_of(
    name: str, rows: Iterable[Mapping[str, Any]], value: Callable[[Mapping[str, Any]], float | None]
) -> tuple[float, ...]:
    """A value of each search, the mean over its winner's trainings, or of each training of a reference."""
    units: dict[Any, list[float]] = defaultdict(list)
    for row in rows:
        found = value(row)
        if found is not None:
            units[row["searched"] if name in SEARCHED else row["seed"]].append(found)
    return tuple(statistics.fmean(values) for values in units.values())


def margin(values: Sequence[float]) -> float | None:
    """Half of the 95 % interval of a mean; None of a single value."""
    if len(values) < 2:
        return None
    error = statistics.stdev(values) / math.sqrt(len(values))
    return float(stats.t.ppf(0.975, len(values) - 1)) * error


def compared(one: Sequence[float], other: Sequence[float]) -> tuple[float, float, float] | None:
    """The 95 % interval of a difference of means and its p-value (Welch); None where one has a single value."""
    if len(one) < 2 or len(other) < 2:
        return None
    result = stats.ttest_ind(one, other, equal_var=False)
    interval = result.confidence_interval(0.95)
    return float(interval.low), float(interval.high), float(result.pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """p-values of several comparisons, corrected so that they hold together (Holm, 1979)."""
    corrected = [0.0] * len(values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        highest = max(highest, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = highest
    return corrected


def deployed(each: Contestant, times: Mapping[str, Mapping[str, Any]], on: Sequence[str]) -> list[str]:
    """Accuracy in int8, the mean over searches too, and milliseconds of each file in one setup."""
    int8 = units_of(each.name, each.rows, lambda row: row.get("files", {}).get(INT8, {}).get("accuracy"))
    cells = [f"{100 * statistics.fmean(int8):.2f}" if int8 else ""]
    for file, setup in zip(TIMED, on, strict=True):
        timed = [times[row["job"]][file] for row in each.rows if file in times.get(row["job"], {})]
        found = [time["p50_ms"] for time in timed if time["on"] == setup and time["share"] >= QUIET]
        cells.append(f"{statistics.fmean(found):.2f}" if found else "")
    return cells


def setups(times: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Of each timed file the setup in which most were timed: milliseconds of two do not compare."""
    found = [[time[file]["on"] for time in times.values() if file in time] for file in TIMED]
    return [max(sorted(set(each)), key=each.count, default="") for each in found]


def tables(task: Task, found: Sequence[Mapping[str, Any]]) -> list[str]:
    """The lines of a task: what a reader knows, and searches as they were in a table of their own."""
    field = contestants(task, found)
    times = {
        row["of"]: row["milliseconds"] for row in found if row["task"] == task.name and "milliseconds" in row
    }
    ours = next((each for each in field if each.name == "default"), None)
    earlier = sorted(
        (each for each in field if each.name in FORMER), key=lambda each: [*FORMER].index(each.name)
    )
    lines = table([each for each in field if each.name not in FORMER], ours, times)
    missing = [NAMES[name] for name in SEARCHES if name not in {each.name for each in field}]
    lines += ["", f"Not trained to the end yet: {'; '.join(missing)}."] if missing else []
    on = "; ".join(filter(None, setups(times)))
    lines += ["", f"Milliseconds: {on}."] if on else []
    lines += recipe_lines(task, found)
    return [*lines, "", EARLIER, *table(earlier, ours, times)] if earlier else lines


def table(
    field: Sequence[Contestant], ours: Contestant | None, times: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """The lines of a table of some contestants, each beside that of the default search."""
    on = setups(times)
    same = set() if ours is None else {row.get("same_as", row["job"]) for row in ours.rows}
    alike = {each.name for each in field if same and {row["job"] for row in each.rows} <= same}
    others = [each for each in field if each is not ours and each.name not in alike]
    verdicts = {each.name: compared(ours.accuracies, each.accuracies) if ours else None for each in others}
    tested = {name: verdict for name, verdict in verdicts.items() if verdict is not None}
    p_values = dict(zip(tested, holm([verdict[2] for verdict in tested.values()]), strict=True))
    lines = [
        "| network | searches | trainings | test accuracy | winner less it | p (Holm) "
        f"| int8 | {' | '.join(TIMED.values())} | MACs | parameters | fusions |",
        "|---" * (10 + len(TIMED)) + "|",
    ]
    for each in field:
        off = margin(each.accuracies)
        accuracy = f"{each.mean:.2f}" + ("" if off is None else f" ± {off:.2f}")
        difference = "" if ours is None or each is ours else f"{ours.mean - each.mean:+.2f}"
        verdict = tested.get(each.name)
        if verdict is not None:
            difference += f" ({verdict[0]:+.2f} to {verdict[1]:+.2f})"
        if each is not ours and each.name in alike:
            difference = "the same network and trainings"
        searches = str(len(each.accuracies)) if each.name in SEARCHED else ""
        p_value = f"{p_values[each.name]:.3f}" if each.name in p_values else ""
        macs = ", ".join(sorted({f"{row['macs'] / 1e6:.1f}M" for row in each.rows}))
        params = ", ".join(sorted({f"{row['params'] / 1e6:.2f}M" for row in each.rows}))
        patterns = sorted({f"{row['family']} `{row['fusions']}`" for row in each.rows})
        fusions = "; ".join(patterns) if each.name in SEARCHED else ""
        lines.append(
            f"| {named(each.name)} | {searches} | {each.trainings} | {accuracy} | {difference} | {p_value} "
            f"| {' | '.join(deployed(each, times, on))} | {macs} | {params} | {fusions} |"
        )
    return lines


def named(contestant: str) -> str:
    """A contestant for people."""
    if contestant in FORMER:
        return f"*{contestant}*: {FORMER[contestant]}"
    return NAMES.get(contestant, contestant)


def page() -> str:
    """The text of docs/results.md."""
    found = list(records.read().values())
    parts = [TITLE, FINDINGS.read_text(encoding="utf-8").rstrip()]
    for task in TASKS.values():
        if any(row["task"] == task.name and "accuracy" in row for row in found):
            parts += [f"\n## {task.title}\n", f"{task.epochs} epochs each.\n", *tables(task, found)]
    return "\n".join([*parts, "", METHOD.rstrip()]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
