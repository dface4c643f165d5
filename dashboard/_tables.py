"""The tables of the report, as HTML in which every text is escaped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from bft_nas.core.units import format_macs

Row = Mapping[Any, Any]


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading and the HTML of a row's cell."""

    heading: str
    cell: Callable[[Row], str]
    kind: str = ""
    """The cell's CSS class: ``number`` for what is aligned to the right."""


def table(label: str, columns: Sequence[Column], rows: pd.DataFrame, if_none: str) -> str:
    """A table with a row for each of a frame, or a sentence where the frame has none."""
    if rows.empty:
        return f'<p class="about">{escape(if_none)}</p>'
    body = "".join(_table_row(columns, row) for row in rows.to_dict("records"))
    return _scroll(label, columns, body)


def _table_row(columns: Sequence[Column], row: Row) -> str:
    cells = "".join(f"<td{_kind(column)}>{column.cell(row)}</td>" for column in columns[1:])
    kind, head = _kind(columns[0]), columns[0].cell(row)
    if row["state"] != "failed":
        return f'<tr><th scope="row"{kind}>{head}</th>{cells}</tr>'
    # A reason is a sentence: it has a line of its own, where it is seen without scrolling.
    return (
        f'<tr class="failed"><th scope="row"{kind} rowspan="2">{head}</th>{cells}</tr>'
        f'<tr class="reason"><td colspan="{len(columns) - 1}"><div>{escape(str(row["reason"]))}</div></td></tr>'
    )


def winners_table(best: pd.DataFrame, budgets: Sequence[int]) -> str:
    """A row for each budget: its winner, or that it has none."""
    if not budgets:
        return '<p class="about">No budget was given.</p>'
    by_budget = {row["for_budget"]: row for row in best.to_dict("records")}
    body = ""
    for budget in budgets:
        if budget in by_budget:
            body += _table_row(WINNER_COLUMNS, by_budget[budget])
        else:
            body += (
                f'<tr class="failed"><th scope="row" class="number">{_macs(budget)}</th>'
                f'<td colspan="{len(WINNER_COLUMNS) - 1}">no complete candidate within it</td></tr>'
            )
    return _scroll("Winner of each budget", WINNER_COLUMNS, body)


def _scroll(label: str, columns: Sequence[Column], body: str) -> str:
    heads = "".join(f'<th scope="col"{_kind(column)}>{escape(column.heading)}</th>' for column in columns)
    # Focusable, so that a wide table scrolls with the keyboard too.
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _kind(column: Column) -> str:
    return f' class="{column.kind}"' if column.kind else ""


def key() -> str:
    """What the names of fusions mean."""
    return (
        '<span class="stages key"><code>d</code></span> dense,'
        ' <span class="stages key"><code class="butterfly">b4</code></span> butterfly of radix 4'
    )


def _pick(number: int) -> str:
    """What shows a candidate when it is pressed."""
    return f'<button type="button" data-candidate="{number}">#{number}</button>'


def _stages(row: Row) -> str:
    items = "".join(f"<li>{_stage(stage)}</li>" for stage in str(row["fusions"]).split())
    return f'<ol class="stages">{items}</ol>'


def _stage(stage: str) -> str:
    kind = ' class="butterfly"' if "b" in stage else ""
    return f"<code{kind}>{escape(stage)}</code>"


def _text(name: str) -> Callable[[Row], str]:
    return lambda row: escape(str(row[name]))


def _code(name: str) -> Callable[[Row], str]:
    return lambda row: f"<code>{escape(str(row[name]))}</code>"


def _exact(name: str, short: Callable[[int], str]) -> Callable[[Row], str]:
    """A large number as people say it, with all its digits when pointed at."""

    def cell(row: Row) -> str:
        if pd.isna(row[name]):
            return ""
        return f'<span title="{int(row[name]):,}">{short(int(row[name]))}</span>'

    return cell


def _macs(macs: int) -> str:
    return f'<span title="{macs:,}">{format_macs(macs)}</span>'


def _millions(number: int) -> str:
    return f"{number / 1e6:.2f}M" if number >= 1_000_000 else f"{number / 1e3:.0f}K"


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def _accuracy(row: Row) -> str:
    if pd.isna(row["accuracy"]):
        return "failed"
    stopped = ", stopped" if row["state"] == "stopped" else ""
    return f"{row['accuracy']:.2%}{stopped}"


def _square(row: Row) -> str:
    return "" if pd.isna(row["resolution"]) else f"{int(row['resolution'])}x{int(row['resolution'])}"


def _seconds(row: Row) -> str:
    return "" if pd.isna(row["seconds"]) else f"{row['seconds']:.1f}"


BUDGET = Column("Budget", _exact("budget", format_macs), "number")
NUMBER = Column("No.", lambda row: _pick(int(row["number"])), "number")
ACCURACY = Column("Accuracy", _accuracy, "number")
MACS = Column("MACs", _exact("macs", format_macs), "number")
PARAMETERS = Column("Parameters", _exact("params", _millions), "number")
MEMORY = Column("Peak memory", _exact("peak_memory", _mebibytes), "number")
RESOLUTION = Column("Resolution", _square, "number")
FAMILY = Column("Family", _text("family"))
BUTTERFLIES = Column("Butterflies", lambda row: f"{row['butterfly_share']:.0%}", "number")
FUSIONS = Column("Fusions", _code("fusions"))

WINNER_COLUMNS = (
    Column("Budget", _exact("for_budget", format_macs), "number"),
    NUMBER,
    ACCURACY,
    MACS,
    PARAMETERS,
    FAMILY,
    RESOLUTION,
    Column("Fusions stage by stage", _stages),
)
FRONT_COLUMNS = (NUMBER, ACCURACY, MACS, PARAMETERS, MEMORY, FAMILY, RESOLUTION, BUTTERFLIES, FUSIONS)
REFERENCE_COLUMNS = (
    Column("Name", _text("name")),
    ACCURACY,
    MACS,
    PARAMETERS,
    RESOLUTION,
    BUDGET,
    FAMILY,
    BUTTERFLIES,
)
