"""What the page does: it keeps its address, follows its run, and draws the front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from functools import cache
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from dash import Dash, Input, Output, Patch, State, ctx, no_update, set_props
from dash.exceptions import PreventUpdate

from bft_nas.dashboard._layout import facts, lost_page, run_page
from bft_nas.dashboard._runs import Runs
from bft_nas.dashboard._style import alternative
from bft_nas.dashboard._view import (
    Range,
    View,
    budget_stops,
    nearest_stop,
    parse_number,
    parse_view,
    select,
    view_query,
)
from bft_nas.dashboard.front import SELECTION, candidates_text, draw_selection, front_figure
from bft_nas.dashboard.front import drawn as drawn_candidates
from bft_nas.errors import UserError
from bft_nas.units import format_macs

FILTERS = ("macs", "fusion", "families", "states")


def register(app: Dash, runs: Runs, shown: Sequence[str]) -> None:
    """Give the app its page, its address and its front."""

    @app.callback(Output("page", "children"), Input("arrival", "pathname"), State("arrival", "search"))
    def show_page(_: str, search: str | None) -> list[Any]:
        view, problems = parse_view(search or "")
        names = runs.names()
        try:
            name = view.run or (shown[0] if shown else names[-1] if names else "")
            if not name:
                return lost_page(f"There is no run under '{runs.folder}' yet.", names)
            data = runs.read(name)
        except UserError as error:
            return lost_page(str(error), names)
        return run_page(data, replace(view, run=name, runs=view.runs or tuple(shown)), names, problems)

    _keep_address(app, runs)
    _follow(app, runs)
    _draw_front(app, runs)


def filtered_view(filters: Mapping[str, Any]) -> View:
    """The view with the filters that the page's store holds."""
    return View(**{name: tuple(v) if isinstance(v, list) else v for name, v in filters.items()})


def chosen_number(text: str | None) -> int | None:
    """The number typed for a candidate; UserError for what is none."""
    try:
        return parse_number(text.strip().removeprefix("#")) if text and text.strip() else None
    except ValueError as error:
        raise UserError(f"candidate '{str(text)[:40]}': {error}") from None


def _keep_address(app: Dash, runs: Runs) -> None:
    @app.callback(
        output={
            "search": Output("url", "search"),
            "candidate": Output("candidate", "value"),
            "beside": Output("beside", "value"),
            "published": Output("published", "value"),
            "filters": Output("filters", "data"),
            "chosen": Output("chosen", "data"),
            "axes": Output("axes", "data"),
        },
        inputs={
            "search": Input("url", "search"),
            "macs": Input("macs", "value"),
            "fusion": Input("fusion", "value"),
            "families": Input("families", "value"),
            "states": Input("states", "value"),
            "published": Input("published", "value"),
            "candidate": Input("candidate", "value"),
            "beside": Input("beside", "value"),
            "tab": Input("tab", "value"),
            "compared": Input("runs", "value"),
            "rows": Input("table", "selectedRows"),
            "click": Input("front", "clickData"),
            "legend": Input("front", "restyleData"),
            "zoom": Input("front", "relayoutData"),
        },
        state={
            "run": State("run", "data"),
            "picks": State("picks", "value"),
            "filters": State("filters", "data"),
            "chosen": State("chosen", "data"),
            "axes": State("axes", "data"),
            "drawn": State("drawn", "data"),
        },
    )
    def keep_address(
        search: str | None,
        macs: int,
        fusion: str | None,
        families: list[str] | None,
        states: list[str] | None,
        published: list[str],
        candidate: str | None,
        beside: str | None,
        tab: str,
        compared: list[str] | None,
        rows: Any,
        click: Any,
        legend: Any,
        zoom: Any,
        run: str,
        picks: str,
        filters: dict[str, Any],
        chosen: dict[str, Any],
        axes: dict[str, Any],
        drawn: dict[str, Any],
    ) -> dict[str, Any]:
        set_props("trouble", {"hidden": True})
        triggers = set(ctx.triggered_prop_ids)
        stops = budget_stops(runs.read(run).budgets)
        if triggers == {"url.search"}:
            # Somebody went back, or came by a link within the page.
            view = parse_view(search or "")[0]
            _set_controls(view, stops)
        else:
            view = View(
                run=run,
                macs=stops[macs] if macs < len(stops) - 1 else None,
                fusion=fusion or "",
                families=tuple(families or ()),
                states=tuple(states or ()),
                published="yes" in published,
                candidate=chosen_number(candidate),
                beside=chosen_number(beside),
                marked=tuple(chosen["marked"]),
                tab=tab,
                runs=tuple(compared or ()) if compared != [run] else (),
                x=axes["x"] and tuple(axes["x"]),
                y=axes["y"] and tuple(axes["y"]),
            )
            if "front.clickData" in triggers:
                view = _clicked(view, click, picks)
            if "front.restyleData" in triggers:
                view = _restyled(view, legend, drawn.get("published", ()))
            if "front.relayoutData" in triggers:
                view = _zoomed(view, zoom or {}, drawn.get("x"))
            if "table.selectedRows" in triggers and tab == "table" and isinstance(rows, list):
                view = replace(view, marked=tuple(sorted(row["number"] for row in rows)))
        return {
            "search": _if_new(view_query(view), search),
            "candidate": _if_new(_typed(view.candidate), candidate),
            "beside": _if_new(_typed(view.beside), beside),
            "published": _if_new(["yes"] if view.published else [], published),
            "filters": _if_new(_stored(view, FILTERS), filters),
            "chosen": _if_new(_stored(view, ("candidate", "beside", "marked")), chosen),
            "axes": _if_new(_stored(view, ("x", "y")), axes),
        }


def _set_controls(view: View, stops: Sequence[int]) -> None:
    for name, value in (
        ("macs", nearest_stop(view.macs, stops)),
        ("fusion", view.fusion or None),
        ("families", list(view.families)),
        ("states", list(view.states)),
        ("tab", view.tab),
        ("runs", list(view.runs) or [view.run]),
    ):
        set_props(name, {"value": value})
    set_props("table", {"selectedRows": {"ids": [str(number) for number in view.marked]}})


def _stored(view: View, names: Sequence[str]) -> dict[str, Any]:
    # As it comes back from the browser, which knows no tuples.
    values = {name: asdict(view)[name] for name in names}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _typed(number: int | None) -> str | None:
    return None if number is None else str(number)


def _if_new(value: Any, known: Any) -> Any:
    # Writing what is there already would set off whatever depends on it.
    return no_update if (value or None) == (known or None) else value


def _clicked(view: View, click: Any, picks: str) -> View:
    numbers = [point["customdata"] for point in click["points"] if point.get("customdata") is not None]
    if not numbers:
        return view
    number = int(numbers[0][0] if isinstance(numbers[0], list) else numbers[0])
    return replace(view, **{"beside" if picks == "beside" else "candidate": number})


def _restyled(view: View, legend: Any, published: Sequence[int]) -> View:
    """A click in the legend shows and hides published results; their switch follows."""
    changes, traces = legend
    for trace, visible in zip(traces, changes.get("visible", ()), strict=False):
        if trace in published:
            return replace(view, published=visible is True)
    return view


def _zoomed(view: View, zoom: Mapping[str, Any], whole: Sequence[float] | None) -> View:
    ranges: dict[str, Range | None] = {}
    for name in ("x", "y"):
        axis = f"{name}axis"
        if f"{axis}.range[0]" in zoom:
            ranges[name] = (float(zoom[f"{axis}.range[0]"]), float(zoom[f"{axis}.range[1]"]))
        elif f"{axis}.range" in zoom:
            low, high = zoom[f"{axis}.range"]
            ranges[name] = (float(low), float(high))
        elif zoom.get(f"{axis}.autorange"):
            ranges[name] = None
    if "x" in ranges and ranges["x"] == tuple(whole or ()):
        ranges["x"] = None
    return replace(view, **ranges)  # type: ignore[arg-type]


def _follow(app: Dash, runs: Runs) -> None:
    @app.callback(
        Output("version", "data"),
        Output("gone", "children"),
        Output("gone", "hidden"),
        Output("live", "children"),
        Output("facts", "children"),
        Input("clock", "n_intervals"),
        Input("runs", "value"),
        State("version", "data"),
        State("run", "data"),
        State("gone", "hidden"),
    )
    def follow(
        _: int | None, compared: list[str] | None, version: str, run: str, well: bool
    ) -> tuple[Any, ...]:
        try:
            now = str([runs.signature(name) for name in dict.fromkeys([run, *(compared or ())])])
        except UserError as error:
            said = f"{error}; what is shown is what it was"
            return (no_update, said, False, "", no_update) if well else (no_update,) * 5
        if now == version:
            if well:
                raise PreventUpdate
            return no_update, "", True, no_update, no_update
        data = runs.read(run)
        at = f"{datetime.now():%H:%M:%S}"
        return now, "", True, f"{candidates_text(data.results)} · read at {at}", facts(data.facts)


def _draw_front(app: Dash, runs: Runs) -> None:
    @app.callback(
        Output("front", "figure"),
        Output("front-figure", "aria-label"),
        Output("front-says", "children"),
        Output("macs-says", "children"),
        Output("drawn", "data"),
        Input("version", "data"),
        Input("filters", "data"),
        Input("published", "value"),
        State("run", "data"),
        State("chosen", "data"),
        State("axes", "data"),
    )
    def draw_front(
        version: str,
        filters: dict[str, Any],
        published: list[str],
        run: str,
        chosen: dict[str, Any],
        axes: dict[str, Any],
    ) -> tuple[Any, ...]:
        if not version:
            raise PreventUpdate
        data, view = runs.read(run), filtered_view(filters)
        results, within = select(data.results, view), View(macs=view.macs)
        figure = front_figure(
            results,
            [budget for budget in data.budgets if budget <= (view.macs or budget)] or [view.macs or 0],
            references=select(data.references, within),
            published=_published_within(view.macs),
            show_published="yes" in published,
            selected=selected_numbers(chosen),
        )
        drawn = _places(figure)
        # A zoom lasts over updates, even those that make an axis longer.
        for name in ("x", "y"):
            if axes[name]:
                figure.update_layout({f"{name}axis": {"range": axes[name], "autorange": False}})
        of = (
            ""
            if len(results) == len(data.results)
            else f" of {len(data.results)} candidates: the filters leave"
        )
        return (
            figure.update_layout(height=None),
            alternative(figure),
            f"{of} {candidates_text(results)}".strip().capitalize() + ".",
            "any" if view.macs is None else f"up to {format_macs(view.macs)}",
            drawn,
        )

    @app.callback(
        Output("front", "figure", allow_duplicate=True),
        Input("chosen", "data"),
        State("filters", "data"),
        State("drawn", "data"),
        State("run", "data"),
        prevent_initial_call=True,
    )
    def ring(chosen: dict[str, Any], filters: dict[str, Any], drawn: dict[str, Any], run: str) -> Patch:
        if not drawn:
            raise PreventUpdate
        results = select(runs.read(run).results, filtered_view(filters))
        rings = go.Figure()
        draw_selection(rings, drawn_candidates(results), selected_numbers(chosen))
        moved = Patch()
        for name in ("x", "y", "text"):
            moved["data"][drawn["selection"]][name] = rings.data[0][name]
        return moved


def selected_numbers(chosen: Mapping[str, Any]) -> list[int]:
    """The candidates that are ringed in the front."""
    numbers = [chosen["candidate"], chosen["beside"], *chosen["marked"]]
    return [number for number in dict.fromkeys(numbers) if number is not None]


def _published_within(macs: int | None) -> pd.DataFrame:
    rows = _published()
    return rows if macs is None else rows[rows["macs"] <= macs]


@cache
def _published() -> pd.DataFrame:
    from bft_nas.published import published_results

    return published_results()


def _places(figure: go.Figure) -> dict[str, Any]:
    """What later callbacks need to know of the figure in the browser."""
    return {
        "published": [place for place, trace in enumerate(figure.data) if trace.yaxis == "y2"],
        "selection": next(place for place, trace in enumerate(figure.data) if trace.uid == SELECTION),
        "x": list(figure.layout.xaxis.range),
    }
