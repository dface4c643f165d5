"""What stands on the dashboard's page, and where; what fills it is in `_callbacks`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dash_ag_grid as dag
from dash import dcc, html

from bft_nas.core.units import format_macs
from bft_nas.dashboard._parts import Pieces, facts, figure, named
from bft_nas.dashboard._run_data import RunData
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
from bft_nas.dashboard.butterflies import WHERE_THEY_ARE
from bft_nas.dashboard.choices import WHAT_DECIDES
from bft_nas.dashboard.placement import WHAT_THEY_ARE_WORTH
from bft_nas.dashboard.search_course import SEARCH_VIEWS

TRAINED = "/trained"
"""The path of the page of trained networks."""
EVERY = 1500
"""Milliseconds between two looks at whether a run has changed."""
LIVE: dict[str, Any] = {"aria-live": "polite"}

BUTTERFLY_VIEWS = {
    "where": (
        "Fusions over the front",
        f"Over the networks of the front, from the cheapest to the most accurate. {WHERE_THEY_ARE}",
    ),
    "placement": (
        "What they are worth, family by family",
        WHAT_THEY_ARE_WORTH,
    ),
    "importance": (
        "Which choices matter",
        WHAT_DECIDES,
    ),
    "parallel": (
        "Choices side by side",
        "A line for each candidate, in the colour of its share of butterflies as in the front.",
    ),
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


def run_page(
    data: RunData, view: View, version: str, names: Sequence[str], problems: Sequence[str], trained: int
) -> Pieces:
    """The page of a run as a view wants it.

    Args:
        data: the run.
        view: with the run's name.
        version: what will differ when the run's records have changed.
        names: of all runs, the newest last.
        problems: what of the address was not understood.
        trained: how many networks were trained to the end.
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
        dcc.Store(id="whole"),
        html.A("To the candidates", href="#front-section", className="skip"),
        _header(data, names, trained),
        html.Div(
            [html.P(problem) for problem in problems], className="problem", role="alert", hidden=not problems
        ),
        html.Div(id="gone", className="problem", role="alert", hidden=True),
        html.Div(id="trouble", className="problem", role="alert", hidden=True),
        html.Main([_filters(data, view), _front(view), _network(), _tabs(view, names)]),
    ]


def _header(data: RunData, names: Sequence[str], trained: int) -> html.Header:
    return html.Header(
        [
            html.Div(
                [
                    html.H1(data.name),
                    runs_list(names, data.name),
                    html.A(trained_text(trained), href=TRAINED, id="trained-count", className="other"),
                    html.Span(id="live", className="live"),
                ],
                className="title",
            ),
            html.Dl(run_facts(data), id="facts", className="facts"),
        ]
    )


def run_facts(data: RunData) -> Pieces:
    """What stands under a run's name; how many candidates there are stands beside it."""
    return facts(pair for pair in data.facts if pair[0] != "Candidates")


def runs_list(names: Sequence[str], current: str) -> html.Details:
    """All runs, the newest first, as links behind their number."""
    return html.Details(run_links(names, current), id="all-runs", className="runs")


def run_links(names: Sequence[str], current: str) -> Pieces:
    """The inside of a `runs_list`."""
    links = [html.Li(_run_link(name, current)) for name in reversed(names)]
    text = f"{len(names)} run{'' if len(names) == 1 else 's'}"
    return [html.Summary(text), html.Ul(links)]


def families_of(data: RunData, view: View) -> list[str]:
    """The families that can be chosen."""
    return sorted({*data.results["family"], *view.families})


def trained_text(count: int) -> str:
    """What leads to the page of trained networks."""
    return f"{count or 'no'} trained network{'' if count == 1 else 's'}"


def _run_link(name: str, current: str) -> html.A:
    marks: dict[str, Any] = {"aria-current": "page"} if name == current else {}
    return html.A(name, href=f"/{view_query(View(run=name))}", **marks)


def _filters(data: RunData, view: View) -> html.Section:
    stops = budget_stops(data.budgets)
    budgets = {stops.index(budget): format_macs(budget) for budget in data.budgets}
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
                role="group",
                **named("MACs"),
            ),
            _labelled("Fusions", dcc.Dropdown(FUSIONS, view.fusion or None, id="fusion", placeholder="any")),
            _labelled(
                "Family",
                dcc.Dropdown(
                    families_of(data, view), list(view.families), id="families", multi=True, placeholder="all"
                ),
            ),
            _labelled(
                "Status", dcc.Dropdown(STATES, list(view.states), id="states", multi=True, placeholder="all")
            ),
            _grouped(
                "What others have measured",
                dcc.Checklist(
                    {"yes": "published results"},
                    ["yes"] if view.published else [],
                    id="published",
                    className="switch",
                ),
            ),
        ],
        className="filters",
        **named("Filters"),
    )


def _label(text: str, says: str) -> html.Div:
    return html.Div(
        [html.Span(text, className="name"), html.Span(id=says, className="says")], className="label"
    )


def _labelled(text: str, component: Any) -> html.Div:
    return html.Div([html.Span(text, className="name"), component], role="group", **named(text))


def _grouped(text: str, component: Any) -> html.Div:
    """A choice that needs no label for those who see it."""
    return html.Div(component, role="group", **named(text))


def _front(view: View) -> html.Section:
    return html.Section(
        [
            html.Div(
                [
                    html.H2("Accuracy against MACs", id="front-title"),
                    html.Div(
                        _labelled(
                            "Against",
                            dcc.Dropdown([], view.across, id="across", clearable=False, searchable=False),
                        ),
                        id="across-choice",
                        className="across",
                        hidden=True,
                    ),
                    html.P(id="front-says", className="about"),
                    figure("front"),
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
                    _grouped(
                        "Clicks in the front",
                        dcc.RadioItems(
                            {"candidate": "a click shows it", "beside": "a click compares it"},
                            "candidate",
                            id="picks",
                            inline=True,
                            className="switch",
                        ),
                    ),
                    html.Div(id="card", **LIVE),
                    figure("curve"),
                    html.Div(
                        [
                            html.Fieldset(
                                html.Button("Export as PyTorch and ONNX", id="export"), id="exporting"
                            ),
                            html.P(id="export-says", className="about", role="status"),
                            dcc.Download(id="exported"),
                        ],
                        className="export",
                    ),
                ],
                className="card",
                **named("The candidate"),
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
            html.Div(figure("strip"), className="wide"),
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
            _grouped("Views", dcc.RadioItems(TABS, view.tab, id="tab", className="tab-choice", inline=True)),
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
    if tab == "confirmed":
        return _confirmed()
    views = (
        BUTTERFLY_VIEWS if tab == "butterflies" else {name: (text, "") for name, text in SEARCH_VIEWS.items()}
    )
    return [
        html.Div(
            [html.H3(heading), html.P(about, className="about", hidden=not about), figure(name)],
            className=f"view {name}{' wide' if name == 'parallel' else ''}",
        )
        for name, (heading, about) in views.items()
    ]


def _table() -> Pieces:
    return [
        html.Div(
            [
                html.P([html.Span(id="table-says"), html.Span(id="table-left")], className="about"),
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
    ]


def _confirmed() -> Pieces:
    return [
        html.Div([html.P(id="standings-says", className="about"), figure("standings")], className="view"),
        html.Div(id="confirmed"),
    ]
