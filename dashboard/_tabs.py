"""What the tabs under the front show: where butterflies pay, what was confirmed, the search itself, and the table."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import plotly.graph_objects as go
from dash import Dash, Input, Output, State, dcc, html, set_props

from bft_nas.core.errors import UserError
from bft_nas.dashboard import _table
from bft_nas.dashboard._confirmed import (
    HOW_REFERENCES_ARE_TRAINED,
    confirmed_title,
    ranked_references,
    sentence,
    what_is_confirmed,
)
from bft_nas.dashboard._layout import BUTTERFLY_VIEWS, panel
from bft_nas.dashboard._parts import fill, outputs, table
from bft_nas.dashboard._run_data import RunData
from bft_nas.dashboard._runs import Runs
from bft_nas.dashboard._style import alternative, guarded, tell_terminal
from bft_nas.dashboard._view import TABS, View, select
from bft_nas.dashboard.butterflies import butterfly_figure
from bft_nas.dashboard.choices import importance_figure, parallel_figure
from bft_nas.dashboard.placement import placement_figure
from bft_nas.dashboard.search_course import SEARCH_VIEWS, search_figures
from bft_nas.dashboard.standings import HOW_FAR_APART, standings_figure
from bft_nas.record.columns import REFERENCE_COLUMNS, columns_for
from bft_nas.record.pareto import front
from bft_nas.record.standings import VERDICT_HEADINGS, rival_texts, verdict_rows

KEYS = {
    "butterflies": tuple(
        key
        for name in BUTTERFLY_VIEWS
        for key in (f"{name}.figure", f"{name}-figure.aria-label", f"{name}-figure.style")
    ),
    "search": tuple(key for name in SEARCH_VIEWS for key in (f"{name}.figure", f"{name}-figure.aria-label")),
    "confirmed": (
        "standings.figure",
        "standings-figure.aria-label",
        "standings-figure.style",
        "standings-says.children",
        "confirmed.children",
    ),
    "table": ("table.rowData", "table.selectedRows", "table-says.children"),
}


def register(app: Dash, runs: Runs) -> None:
    """Show a tab, and fill it again when what it shows changes."""

    @app.callback(
        Output("panel", "children"),
        Output("search-controls", "hidden"),
        Input("tab", "value"),
        State("view", "data"),
    )
    def show_tab(tab: str, before: dict[str, Any]) -> tuple[Any, bool]:
        view = View.from_stored(before)
        content = html.Div(panel(tab), className=f"panel {tab}")
        fill(content, KEYS[tab], _values(tab, runs, view))
        return content, tab != "search"

    for name in TABS:
        _fill_again(app, runs, name)

    app.clientside_callback(  # type: ignore[no-untyped-call]
        """(left, rows) => (left && rows && left.length < rows.length
          ? ` The filters of the columns leave ${left.length} of them.` : "")""",
        Output("table-left", "children"),
        Input("table", "virtualRowData"),
        State("table", "rowData"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output("csv-file", "data"),
        Input("csv", "n_clicks"),
        State("view", "data"),
        State("table", "virtualRowData"),
        prevent_initial_call=True,
    )
    def download_csv(
        clicks: int, before: dict[str, Any], left: list[dict[str, Any]] | None
    ) -> dict[str, Any]:
        view = View.from_stored(before)
        results = select(runs.read(view.run).results, view)
        if left is not None:
            results = results[results["number"].isin([row["number"] for row in left])]
        return dict(dcc.send_data_frame(results.to_csv, f"{view.run}.csv", index=False))  # type: ignore[attr-defined, no-untyped-call]


def _fill_again(app: Dash, runs: Runs, tab: str) -> None:
    if tab == "search":

        @app.callback(
            outputs(KEYS[tab]),
            Input("version", "data"),
            Input("runs", "value"),
            State("view", "data"),
            prevent_initial_call=True,
        )
        def compare_again(version: str, names: Any, before: dict[str, Any]) -> tuple[Any, ...]:
            # The view that the choice is written into may be still without it.
            return _values(tab, runs, replace(View.from_stored(before), runs=tuple(names or ())))

        return

    # What depends on the filters waits for the front, which is what people look at, and has the filters of it.
    @app.callback(
        outputs(KEYS[tab]), Input("drawn", "data"), State("view", "data"), prevent_initial_call=True
    )
    def fill_again(drawn: dict[str, Any], before: dict[str, Any]) -> tuple[Any, ...]:
        return _values(tab, runs, View.from_stored({**before, **drawn["filters"]}))


def _those_that_can_be_read(runs: Runs, names: Sequence[str]) -> dict[str, RunData]:
    """The runs by name; the page says of another one why it is not there."""
    found = {}
    for name in names:
        try:
            found[name] = runs.read(name)
        except UserError as error:
            set_props("trouble", {"children": str(error), "hidden": False})
    return found


def _confirmed(data: RunData) -> list[Any]:
    """What was confirmed within each budget, and the references, in tables."""
    parts: list[Any] = []
    for verdict in data.verdicts:
        title = confirmed_title(verdict)
        parts += [html.H3(title), table(VERDICT_HEADINGS, verdict_rows(verdict), title)]
        parts.append(html.Ul([html.Li(text) for text in rival_texts(verdict)]))
    if data.control:
        parts.append(html.P(sentence(data.control), className="about"))
    if len(data.references):
        rows = ranked_references(data.references)
        columns = columns_for("references", rows, REFERENCE_COLUMNS)
        cells = [[column.cell(row) for column in columns] for row in rows.to_dict("records")]
        parts += [html.H3("References"), html.P(HOW_REFERENCES_ARE_TRAINED, className="about")]
        parts.append(table([column.title for column in columns], cells, "References"))
    return parts


def _values(tab: str, runs: Runs, view: View) -> tuple[Any, ...]:
    """The values of `KEYS` for a tab."""
    data = runs.read(view.run)
    results = select(data.results, view)
    draw = guarded(tell_terminal)
    if tab == "table":
        filtered = f" of {len(data.results)}" if len(results) < len(data.results) else ""
        marked = {"ids": [str(number) for number in view.marked]}
        text = f"{len(results)}{filtered} candidates. Selected rows are ringed in the front."
        return _table.rows(results), marked, text
    if tab == "confirmed":
        figure = draw("standings", lambda: standings_figure(data.verdicts))
        about = f"{what_is_confirmed(data.verdicts)} {HOW_FAR_APART}" if data.verdicts else ""
        return *_as_high_as_it_is(figure), about, _confirmed(data)
    if tab == "search":
        compared = _those_that_can_be_read(runs, view.runs or (view.run,))
        return tuple(
            value
            for figure in search_figures(compared, draw).values()
            for value in (figure.update_layout(height=None), alternative(figure))
        )
    proposals = data.proposals[data.proposals["number"].isin(results["number"])]

    def butterflies() -> go.Figure:
        best, networks = front(results), {}
        for number in best["number"] if len(best) else ():
            # As in the report, one whose network is not on disk is left out.
            with suppress(UserError):
                networks[number] = runs.architecture(view.run, number)
        return butterfly_figure(best, networks)

    figures = (
        draw("butterflies", butterflies),
        draw("placement", lambda: placement_figure(results, data.headed)),
        draw("importances", lambda: importance_figure(results=results, proposals=proposals)),
        draw("parallel", lambda: parallel_figure(results=results, proposals=proposals)),
    )
    return tuple(value for figure in figures for value in _as_high_as_it_is(figure))


def _as_high_as_it_is(figure: go.Figure) -> tuple[go.Figure, str, dict[str, str]]:
    """A figure that fills its place, what it shows in words, and the style of its place.

    That has the figure's own height: the style sheet knows one for all, and figures have as many rows as there are.
    """
    style = {"height": f"{figure.layout.height}px"}
    return figure.update_layout(height=None), alternative(figure), style
