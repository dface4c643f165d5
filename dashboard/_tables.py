"""The tables of the report, as HTML in which every text is escaped; their columns are `COLUMNS`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from bft_nas.record import Column
from bft_nas.record.columns import CODE, column_named, columns_for

Row = Mapping[Any, Any]


def table(label: str, columns: Sequence[Column], rows: pd.DataFrame, if_none: str) -> str:
    """A table with a row for each of a frame, or a sentence where the frame has none."""
    if rows.empty:
        return f'<p class="about">{escape(if_none)}</p>'
    body = "".join(_table_row(columns, row) for row in rows.to_dict("records"))
    return _scroll(label, columns, body)


def winners_table(best: pd.DataFrame, budgets: Sequence[int]) -> str:
    """A row for each budget: its winner, or that it has none."""
    if not budgets:
        return '<p class="about">No budget was given.</p>'
    by_budget = {row["for_budget"]: row for row in best.to_dict("records")}
    columns = (column_named("budget"), *columns_for("summary", best))
    body = ""
    for budget in budgets:
        if budget in by_budget:
            # A winner may have been proposed for another budget.
            body += _table_row(columns, {**by_budget[budget], "budget": budget})
        else:
            body += (
                f'<tr class="failed"><th scope="row" class="number">{_cell(columns[0], {"budget": budget})}</th>'
                f'<td colspan="{len(columns) - 1}">no complete candidate within it</td></tr>'
            )
    return _scroll("Winner of each budget", columns, body)


def texts_table(label: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of plain texts, whose first column names the row."""
    head = "".join(f'<th scope="col">{escape(heading[0].upper() + heading[1:])}</th>' for heading in headings)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    return _scrolled(label, head, body)


def _table_row(columns: Sequence[Column], row: Row) -> str:
    cells = "".join(f"<td{_class(column)}>{_cell(column, row)}</td>" for column in columns[1:])
    kind, head = _class(columns[0]), _cell(columns[0], row)
    if row["state"] != "failed":
        return f'<tr><th scope="row"{kind}>{head}</th>{cells}</tr>'
    # A reason is a sentence: it has a line of its own, where it is seen without scrolling.
    return (
        f'<tr class="failed"><th scope="row"{kind} rowspan="2">{head}</th>{cells}</tr>'
        f'<tr class="reason"><td colspan="{len(columns) - 1}"><div>{escape(str(row["reason"]))}</div></td></tr>'
    )


def _cell(column: Column, row: Row) -> str:
    text = escape(column.cell(row))
    if not text:
        return ""
    if column.name == "number":
        return _pick(int(row["number"]))
    if column.name == "fusions":
        return _stages(row)
    if column.format is CODE:
        return f"<code>{text}</code>"
    exact = column.exact(row.get(column.name))
    return f'<span title="{escape(exact)}">{text}</span>' if exact else text


def _scroll(label: str, columns: Sequence[Column], body: str) -> str:
    heads = "".join(
        f'<th scope="col"{_class(column)} title="{escape(column.hover)}">{escape(column.title)}</th>'
        for column in columns
    )
    return _scrolled(label, heads, body)


def _scrolled(label: str, heads: str, body: str) -> str:
    # Focusable, so that a wide table scrolls with the keyboard too.
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _class(column: Column) -> str:
    return ' class="number"' if column.alignment == "right" else ""


def key() -> str:
    """What the names of fusions mean."""
    return (
        '<span class="stages key"><code>d</code></span> dense,'
        ' <span class="stages key"><code class="butterfly">b4</code></span> butterfly of radix 4,'
        ' <span class="stages key"><code>g2</code></span> two groups,'
        ' <span class="stages key"><code>l4</code></span> low rank through a quarter of the channels'
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
