"""What the tabs under the front show: where butterflies pay, the search itself, and the table."""

from __future__ import annotations

from typing import Any

from dash import Dash, Input, Output, State, dcc
from dash.exceptions import PreventUpdate

from bft_nas.dashboard import _table
from bft_nas.dashboard._callbacks import filtered_view
from bft_nas.dashboard._layout import BUTTERFLY_VIEWS
from bft_nas.dashboard._runs import Runs
from bft_nas.dashboard._style import alternative
from bft_nas.dashboard._view import TABS, select
from bft_nas.dashboard.butterflies import butterfly_figure
from bft_nas.dashboard.choices import importance_figure, parallel_figure
from bft_nas.dashboard.search_course import SEARCH_VIEWS, search_figures
from bft_nas.pareto import front


def register(app: Dash, runs: Runs) -> None:
    """Fill a tab when it is shown, and again when what it shows changes."""

    @app.callback([Output(f"{name}-panel", "hidden") for name in TABS], Input("tab", "value"))
    def show_tab(tab: str) -> list[bool]:
        return [name != tab for name in TABS]

    @app.callback(
        *(Output(name, "figure") for name in BUTTERFLY_VIEWS),
        *(Output(f"{name}-figure", "aria-label") for name in BUTTERFLY_VIEWS),
        Input("tab", "value"),
        Input("filters", "data"),
        Input("version", "data"),
        State("run", "data"),
    )
    def show_butterflies(tab: str, filters: dict[str, Any], version: str, run: str) -> tuple[Any, ...]:
        if tab != "butterflies" or not version:
            raise PreventUpdate
        data = runs.read(run)
        results = select(data.results, filtered_view(filters))
        best = front(results)
        networks = {number: runs.architecture(run, number) for number in best["number"]}
        proposals = data.proposals[data.proposals["number"].isin(results["number"])]
        figures = (
            butterfly_figure(best, networks),
            importance_figure(proposals=proposals, results=results),
            parallel_figure(proposals=proposals, results=results),
        )
        return tuple(figure.update_layout(height=None) for figure in figures) + tuple(
            map(alternative, figures)
        )

    @app.callback(
        *(Output(name, "figure") for name in SEARCH_VIEWS),
        *(Output(f"{name}-figure", "aria-label") for name in SEARCH_VIEWS),
        Input("tab", "value"),
        Input("runs", "value"),
        Input("version", "data"),
        Input("filters", "data"),
        State("run", "data"),
    )
    def show_search(
        tab: str, compared: list[str] | None, version: str, filters: dict[str, Any], run: str
    ) -> tuple[Any, ...]:
        if tab != "search" or not version:
            raise PreventUpdate
        figures = search_figures({name: runs.read(name) for name in compared or [run]})
        drawn = [figures[name].update_layout(height=None) for name in SEARCH_VIEWS]
        return (*drawn, *map(alternative, drawn))

    @app.callback(
        Output("table", "rowData"),
        Output("table-says", "children"),
        Input("tab", "value"),
        Input("filters", "data"),
        Input("version", "data"),
        State("run", "data"),
    )
    def show_table(tab: str, filters: dict[str, Any], version: str, run: str) -> tuple[Any, ...]:
        if tab != "table" or not version:
            raise PreventUpdate
        data = runs.read(run)
        results = select(data.results, filtered_view(filters))
        count = (
            f"{len(results)} of {len(data.results)}"
            if len(results) < len(data.results)
            else str(len(results))
        )
        return _table.rows(results), f"{count} candidates. Selected rows are ringed in the front."

    @app.callback(
        Output("csv-file", "data"),
        Input("csv", "n_clicks"),
        State("filters", "data"),
        State("run", "data"),
        prevent_initial_call=True,
    )
    def download_csv(clicks: int, filters: dict[str, Any], run: str) -> dict[str, Any]:
        if not clicks:
            raise PreventUpdate
        results = select(runs.read(run).results, filtered_view(filters))
        return dict(dcc.send_data_frame(results.to_csv, f"{run}.csv", index=False))
