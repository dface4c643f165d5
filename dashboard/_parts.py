"""Parts of pages: lists of facts, tables, figures, and how a callback's values come into them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from dash import Output, dcc, html

from bft_nas.core.errors import one_line
from bft_nas.dashboard._style import CONFIG

EMPTY = {"layout": {"xaxis": {"visible": False}, "yaxis": {"visible": False}}}
Pieces = list[Any]


def outputs(keys: Sequence[str]) -> list[Output]:
    """What a callback writes, each as ``id.property``."""
    return [Output(name, prop) for name, _, prop in (key.partition(".") for key in keys)]


def fill(page: html.Div, keys: Sequence[str], values: Sequence[Any]) -> None:
    """Write into a page that is not in the browser yet what a callback would write into it there."""
    for key, value in zip(keys, values, strict=True):
        name, prop = key.split(".")
        setattr(page[name], prop, value)


def facts(pairs: Iterable[tuple[str, str]]) -> Pieces:
    """The inside of a list of names and values."""
    return [html.Div([html.Dt(name), html.Dd(value)]) for name, value in pairs]


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], label: str) -> html.Div:
    """A table of text whose first column names the row, scrolled in a box."""
    head = html.Thead(html.Tr([html.Th(heading, scope="col") for heading in headings]))
    body = html.Tbody([html.Tr([html.Th(row[0], scope="row"), *map(html.Td, row[1:])]) for row in rows])
    return scrolled(html.Table([head, body]), label)


def long_table(headings: Sequence[str], rows: Iterable[Sequence[str]], label: str) -> html.Div:
    """A table of text with many rows, as one component: each cell of `table` is one, and all of them listen to all."""
    head, *body = ([_marked(cell) for cell in row] for row in (headings, *rows))
    lines = (f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *body))
    return scrolled(dcc.Markdown("\n".join(lines)), label, "tall")


def scrolled(content: Any, label: str, kind: str = "") -> html.Div:
    """A box that scrolls, with the keyboard too; of a kind that the style knows."""
    return html.Div(content, className=f"scroll {kind}", role="region", tabIndex="0", **named(label))


def _marked(text: str) -> str:
    """A text as Markdown that shows it as it is."""
    return re.sub(r"([\\`*_\[\]<>|~])", r"\\\1", one_line(text))


def named(label: str) -> dict[str, Any]:
    """What those hear who do not see."""
    return {"aria-label": label}


def figure(name: str) -> html.Figure:
    # What a figure shows is said by its label; Plotly's drawings say nothing to whoever does not see them.
    graph = dcc.Graph(id=name, config=CONFIG, responsive=True, figure=EMPTY)
    return html.Figure(graph, id=f"{name}-figure", className=name, **named(""))
