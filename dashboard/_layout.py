"""What stands on the dashboard's page, and where; what fills it is in `_callbacks`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import dash_ag_grid as dag
from dash import Output, dcc, html

from bft_nas.core.errors import one_line
from bft_nas.core.units import format_macs
from bft_nas.dashboard._run_data import RunData
from bft_nas.dashboard._style import CONFIG
from bft_nas.dashboard._table import COLUMN_DEFINITIONS, DEFAULT_COLUMN, GRID_OPTIONS
from bft_nas.dashboard._view import (
    FUSIONS,
    STATES,
    TABS,
    View,
    budget_stops,
    nearest_stop,
    stored,
    view_query,
)
from bft_nas.dashboard.search_course import SEARCH_VIEWS

EVERY = 1500
"""Milliseconds between two looks at whether a run has changed."""
LIVE: dict[str, Any] = {"aria-live": "polite"}
EMPTY = {"layout": {"xaxis": {"visible": False}, "yaxis": {"visible": False}}}
Pieces = list[Any]

BUTTERFLY_VIEWS = {
    "where": (
        "Fusions over the front",
        "Stage by stage over the networks of the front, from the cheapest to the most accurate: what mixes channels, "
        "and with which radix.",
    ),
    "importance": (
        "Which choices matter",
        "How much of the differences in accuracy and in MACs each choice explains, by Optuna's estimate.",
    ),
    "parallel": ("Choices side by side", "A line for each candidate."),
}
"""The figures of the tab on butterflies, each with a heading and a line about it."""


def shell() -> Pieces:
    """What there is before a page: the address that somebody came by, and a place for the page."""
    return [
        dcc.Location(id="arrival", refresh=False),
        html.Div(id="page", children=html.P("Reading the run ...", className="about waiting")),
    ]


def lost_page(message: str, names: Sequence[str]) -> Pieces:
    """The page of a run that is not there."""
    return [
        html.Main(
            [
                html.H1("No run to show"),
                html.P(message, role="alert", className="problem"),
                html.Ul([html.Li(_run_link(name, "")) for name in names]),
            ]
        )
    ]


def outputs(keys: Sequence[str]) -> list[Output]:
    """What a callback writes, each as ``id.property``."""
    return [Output(name, prop) for name, _, prop in (key.partition(".") for key in keys)]


def fill(page: html.Div, keys: Sequence[str], values: Sequence[Any]) -> None:
    """Write into a page that is not in the browser yet what a callback would write into it there."""
    for key, value in zip(keys, values, strict=True):
        name, prop = key.split(".")
        setattr(page[name], prop, value)


def run_page(
    data: RunData, view: View, version: str, names: Sequence[str], problems: Sequence[str]
) -> Pieces:
    """The page of a run as a view wants it.

    Args:
        data: the run.
        view: with the run's name.
        version: what will differ when the run's records have changed.
        names: of all runs, the newest last.
        problems: what of the address was not understood.
    """
    return [
        dcc.Location(id="url", refresh=False),
        dcc.Interval(id="clock", interval=EVERY),
        dcc.Store(id="view", data=stored(view)),
        # A part of the view: what depends on it alone listens to it alone.
        dcc.Store(id="chosen"),
        # What was done in the front and in the table, as controls hold it.
        dcc.Store(id="axes", data={"x": view.x, "y": view.y}),
        dcc.Store(id="marked", data=view.marked),
        dcc.Store(id="version", data=version),
        dcc.Store(id="drawn"),
        dcc.Store(id="shapes"),
        html.A("To the candidates", href="#front-section", className="skip"),
        _header(data, names),
        html.Div(
            [html.P(problem) for problem in problems], className="problem", role="alert", hidden=not problems
        ),
        html.Div(id="gone", className="problem", role="alert", hidden=True),
        html.Div(id="trouble", className="problem", role="alert", hidden=True),
        html.Main([_filters(data, view), _front(view), _network(), _tabs(view, names)]),
    ]


def _header(data: RunData, names: Sequence[str]) -> html.Header:
    return html.Header(
        [
            html.Div(
                [
                    html.H1(data.name),
                    html.Details(
                        [
                            html.Summary(f"{len(names)} run{'' if len(names) == 1 else 's'}"),
                            html.Ul([html.Li(_run_link(name, data.name)) for name in reversed(names)]),
                        ],
                        className="runs",
                    ),
                    html.Span(id="live", className="live", role="status"),
                ],
                className="title",
            ),
            html.Dl(run_facts(data), id="facts", className="facts"),
        ]
    )


def run_facts(data: RunData) -> Pieces:
    """What stands under a run's name; how many candidates there are stands beside it."""
    return facts(pair for pair in data.facts if pair[0] != "Candidates")


def facts(pairs: Iterable[tuple[str, str]]) -> Pieces:
    """The inside of a list of names and values."""
    return [html.Div([html.Dt(name), html.Dd(value)]) for name, value in pairs]


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], label: str) -> html.Div:
    """A table of text whose first column names the row, scrolled in a box."""
    head = html.Thead(html.Tr([html.Th(heading, scope="col") for heading in headings]))
    body = html.Tbody([html.Tr([html.Th(row[0], scope="row"), *map(html.Td, row[1:])]) for row in rows])
    return _scrolled(html.Table([head, body]), label)


def long_table(headings: Sequence[str], rows: Iterable[Sequence[str]], label: str) -> html.Div:
    """A table of text with many rows, as one component: each cell of `table` is one, and all of them listen to all."""
    head, *body = ([_marked(cell) for cell in row] for row in (headings, *rows))
    lines = (f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *body))
    return _scrolled(dcc.Markdown("\n".join(lines)), label, "tall")


def _scrolled(content: Any, label: str, kind: str = "") -> html.Div:
    """A box that scrolls, with the keyboard too; of a kind that the style knows."""
    return html.Div(content, className=f"scroll {kind}", role="region", tabIndex="0", **_named(label))


def _marked(text: str) -> str:
    """A text as Markdown that shows it as it is."""
    return re.sub(r"([\\`*_\[\]<>|~])", r"\\\1", one_line(text))


def _named(label: str) -> dict[str, Any]:
    """What those hear who do not see."""
    return {"aria-label": label}


def _run_link(name: str, current: str) -> html.A:
    marks: dict[str, Any] = {"aria-current": "page"} if name == current else {}
    return html.A(name, href=f"/{view_query(View(run=name))}", **marks)


def _filters(data: RunData, view: View) -> html.Section:
    stops = budget_stops(data.budgets)
    budgets = {stops.index(budget): format_macs(budget) for budget in data.budgets}
    families = sorted({*data.results["family"], *view.families})
    return html.Section(
        [
            html.Div(
                [
                    _label("MACs", "macs-says"),
                    dcc.Slider(
                        id="macs",
                        min=0,
                        max=len(stops) - 1,
                        step=1,
                        value=nearest_stop(view.macs, stops),
                        marks={0: format_macs(stops[0]), **budgets},
                        allow_direct_input=False,
                    ),
                ],
                className="budget",
            ),
            _labelled("Fusions", dcc.Dropdown(FUSIONS, view.fusion or None, id="fusion", placeholder="any")),
            _labelled(
                "Family",
                dcc.Dropdown(families, list(view.families), id="families", multi=True, placeholder="all"),
            ),
            _labelled(
                "Status", dcc.Dropdown(STATES, list(view.states), id="states", multi=True, placeholder="all")
            ),
            dcc.Checklist(
                {"yes": "published results"},
                ["yes"] if view.published else [],
                id="published",
                className="switch",
            ),
        ],
        className="filters",
        **_named("Filters"),
    )


def _label(text: str, says: str) -> html.Div:
    return html.Div(
        [html.Span(text, className="name"), html.Span(id=says, className="says")], className="label"
    )


def _labelled(text: str, component: Any) -> html.Div:
    return html.Div([html.Span(text, className="name"), component], role="group", **_named(text))


def _front(view: View) -> html.Section:
    return html.Section(
        [
            html.Div(
                [
                    html.H2("Accuracy against MACs"),
                    html.P(id="front-says", className="about"),
                    _figure("front"),
                ],
                className="front-side",
            ),
            html.Aside(
                [
                    html.Div(
                        [
                            _number("candidate", "Candidate", view.candidate),
                            _number("beside", "Beside it", view.beside),
                        ],
                        className="numbers",
                    ),
                    dcc.RadioItems(
                        {"candidate": "a click shows it", "beside": "a click compares it"},
                        "candidate",
                        id="picks",
                        inline=True,
                        className="switch",
                    ),
                    html.Div(id="card", **LIVE),
                    _figure("curve"),
                    html.Div(
                        [
                            html.Button("Export as PyTorch and ONNX", id="export"),
                            html.P(id="export-says", className="about", role="status"),
                            dcc.Download(id="exported"),
                        ],
                        className="export",
                    ),
                ],
                className="card",
                **_named("The candidate"),
            ),
        ],
        id="front-section",
        className="overview",
    )


def _number(name: str, label: str, value: int | None) -> html.Label:
    # Text, since a browser's own check of numbers would hide what was typed from the page.
    return html.Label(
        [
            html.Span(label),
            dcc.Input(
                id=name,
                value=None if value is None else str(value),
                type="text",
                inputMode="numeric",
                debounce=True,
                placeholder="none" if name == "beside" else "winner",
                maxLength=9,
                autoComplete="off",
            ),
        ]
    )


def _network() -> html.Section:
    return html.Section(
        [
            html.H2("The network", id="network-title"),
            html.P(id="network-says", className="about"),
            html.Div(_figure("strip"), className="wide"),
            html.Div(id="differences"),
            html.Details([html.Summary("Layer by layer"), html.Div(id="layers")]),
            html.Details(
                [
                    html.Summary("YAML"),
                    html.Div(
                        [
                            # A button, so that the keyboard reaches it.
                            dcc.Clipboard(
                                html.Button("Copy"),
                                copied_children=html.Button("Copied"),
                                target_id="yaml",
                                className="copy",
                            ),
                            html.Pre(id="yaml", tabIndex="0"),
                        ],
                        className="yaml",
                    ),
                ]
            ),
        ],
        id="network",
        className="network",
    )


def _tabs(view: View, names: Sequence[str]) -> html.Section:
    return html.Section(
        [
            # Dash's own tabs cannot be reached with the keyboard.
            dcc.RadioItems(TABS, view.tab, id="tab", className="tab-choice", inline=True),
            html.Div(
                _labelled(
                    "Runs on the plots",
                    dcc.Dropdown(list(reversed(names)), list(view.runs) or [view.run], id="runs", multi=True),
                ),
                id="search-controls",
                className="search-controls",
                hidden=view.tab != "search",
            ),
            html.Div(id="panel"),
        ],
        className="tabs",
    )


def panel(tab: str) -> Pieces:
    """What stands under a tab."""
    if tab == "table":
        return _table()
    views = (
        BUTTERFLY_VIEWS if tab == "butterflies" else {name: (text, "") for name, text in SEARCH_VIEWS.items()}
    )
    return [
        html.Div(
            [html.H3(heading), html.P(about, className="about", hidden=not about), _figure(figure)],
            className=f"view {figure}{' wide' if figure == 'parallel' else ''}",
        )
        for figure, (heading, about) in views.items()
    ]


def _table() -> Pieces:
    return [
        html.Div(
            [
                html.P(id="table-says", className="about"),
                html.Button("Download as CSV", id="csv"),
                dcc.Download(id="csv-file"),
            ],
            className="table-bar",
        ),
        dag.AgGrid(
            id="table",
            columnDefs=COLUMN_DEFINITIONS,
            defaultColDef=DEFAULT_COLUMN,
            dashGridOptions=GRID_OPTIONS,
            getRowId="params.data.id",
            className="grid",
        ),
        html.Div(id="confirmed"),
    ]


def _figure(name: str) -> html.Figure:
    # What a figure shows is said by its label; Plotly's drawings say nothing to whoever does not see them.
    graph = dcc.Graph(id=name, config=CONFIG, responsive=True, figure=EMPTY)
    return html.Figure(graph, id=f"{name}-figure", className=name, **_named(""))
