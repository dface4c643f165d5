"""The front on the page: drawn from what the filters leave, and ringed without being drawn again."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from dash import Dash, Input, Output, Patch, State

from bft_nas.core.units import format_macs
from bft_nas.dashboard._parts import outputs
from bft_nas.dashboard._run_data import RunData
from bft_nas.dashboard._runs import Runs
from bft_nas.dashboard._style import alternative, guarded, tell_terminal
from bft_nas.dashboard._view import FILTERS, MACS, View, budget_stops, filtered, select
from bft_nas.dashboard.front import Against, candidates_text, drawn, front_figure, rings
from bft_nas.record.latency import setups_of, with_latency

# A change of the figure's property would have Plotly draw thousands of points again, and so would Dash if it heard of
# a change of shapes alone. They may come before Plotly has drawn anything; of several that wait the last ones count.
MOVE_SHAPES = """(shapes) => {
  window.shapesOfFront = shapes;
  const move = () => {
    if (window.shapesOfFront !== shapes || !document.querySelector("#front")) return;
    const graph = document.querySelector("#front .js-plotly-plot"), emit = graph?.emit;
    if (!emit) return void setTimeout(move, 50);
    if (!emit.sparing) graph.emit = Object.assign((name, change) =>
      name !== "plotly_relayout" || Object.keys(change).join() !== "shapes" ? emit(name, change) : false,
      { sparing: true });
    Plotly.relayout(graph, { shapes });
  };
  move();
}"""
# Plotly takes the ranges that it draws first for the whole, be they those of a zoom that an address asks for.
RESET_TO_WHOLE = """(whole) => {
  window.wholeOfFront = whole;
  const note = () => {
    const axes = document.querySelector("#front .js-plotly-plot")?._fullLayout;
    if (window.wholeOfFront !== whole || !document.querySelector("#front")) return;
    if (!axes?.xaxis || !axes.yaxis) return void setTimeout(note, 50);
    for (const name of ["x", "y"])
      if (whole[name]) [axes[`${name}axis`]._rangeInitial0, axes[`${name}axis`]._rangeInitial1] = whole[name];
  };
  if (whole) note();
  return null;
}"""
FRONT = (
    "front.figure",
    "front-figure.aria-label",
    "front-says.children",
    "macs-says.children",
    "drawn.data",
    "front-title.children",
    "across.options",
    "across-choice.hidden",
)


def register(app: Dash, runs: Runs) -> None:
    """Draw the front when the run or a filter changes; rings and published results come and go without that."""

    @app.callback(
        outputs(FRONT),
        Input("version", "data"),
        # Not the view that they are written into: what waits for that is drawn so much later.
        *(Input(name, "value") for name in FILTERS),
        Input("across", "value"),
        State("view", "data"),
        prevent_initial_call=True,
    )
    def draw_front(version: str, *given: Any) -> tuple[Any, ...]:
        *filters, across, before = given
        view = View.from_stored(before)
        if across != view.across:
            view = replace(view, across=across, x=None)
        data = runs.read(view.run)
        return front_values(data, filtered(view, budget_stops(data.budgets), *filters))

    def shapes(view: View, places: dict[str, Any]) -> list[Any]:
        data = runs.read(view.run)
        shown = drawn(select(_in_setup(data.results, data, view), view))
        return [*places["budgets"], *rings(shown, view.ringed, _against(data, view))]

    @app.callback(
        Output("shapes", "data"),
        Input("chosen", "data"),
        State("view", "data"),
        State("drawn", "data"),
        prevent_initial_call=True,
    )
    def ring(chosen: Any, before: dict[str, Any], places: dict[str, Any]) -> list[Any]:
        return shapes(View.from_stored(before), places)

    app.clientside_callback(  # type: ignore[no-untyped-call]
        MOVE_SHAPES, Input("shapes", "data"), prevent_initial_call=True
    )

    # One without an output would not be called when the page comes.
    app.clientside_callback(  # type: ignore[no-untyped-call]
        RESET_TO_WHOLE, Output("whole", "data"), Input("drawn", "data")
    )

    @app.callback(
        Output("front", "figure", allow_duplicate=True),
        Input("published", "value"),
        State("view", "data"),
        State("drawn", "data"),
        prevent_initial_call=True,
    )
    def show_published(switch: list[str], before: dict[str, Any], places: dict[str, Any]) -> Patch:
        shown = Patch()
        # As they were moved since the figure was drawn.
        shown["layout"]["shapes"] = shapes(View.from_stored(before), places)
        for place in places["published"]:
            shown["data"][place]["visible"] = True if switch else "legendonly"
        if places["published"]:
            shown["layout"]["yaxis2"]["visible"] = bool(switch)
        return shown


def front_values(data: RunData, view: View) -> tuple[Any, ...]:
    """The values of `FRONT`."""
    results, against = select(_in_setup(data.results, data, view), view), _against(data, view)
    references = select(_in_setup(data.references, data, view), View(macs=view.macs))
    published = _published()
    figure = guarded(tell_terminal)(
        "front",
        lambda: front_figure(
            results,
            [budget for budget in data.budgets if budget <= (view.macs or budget)] or [view.macs or 0],
            references=references,
            published=published if view.macs is None else published[published["macs"] <= view.macs],
            show_published=view.published,
            selected=view.ringed,
            against=against,
        ),
    )
    places = {**_places(figure), "filters": view.filters}
    # A zoom lasts over updates, even those that make an axis longer.
    if view.x:
        figure.update_xaxes(range=view.x)
    if view.y:
        figure.update_layout(yaxis={"range": view.y, "autorange": False})
    text = candidates_text(results)
    if against == "latency":
        text = f"{text}, {int(results['latency'].notna().sum())} of them measured"
    if len(results) < len(data.results):
        text = f"{text}, of {len(data.results)} candidates without the filters"
    figure.update_layout(height=None)
    return (
        _unpacked(figure),
        alternative(figure),
        f"{text[0].upper()}{text[1:]}.",
        "any" if view.macs is None else f"up to {format_macs(view.macs)}",
        places,
        f"Accuracy against {'MACs' if against == 'macs' else 'latency'}",
        {MACS: "MACs", **{setup.key: f"latency: {setup.text}" for setup in setups_of(data.latencies)}},
        not data.latencies,
    )


def _against(data: RunData, view: View) -> Against:
    """MACs where nothing was measured in the setup that an address asks for."""
    known = {setup.key for setup in setups_of(data.latencies)}
    return "latency" if view.across in known else "macs"


def _in_setup(frame: pd.DataFrame, data: RunData, view: View) -> pd.DataFrame:
    return frame if view.across == MACS else with_latency(frame, data.latencies, view.across)


def _unpacked(figure: go.Figure) -> dict[str, Any]:
    """A figure whose arrays go to the page as lists.

    Plotly's own encoding packs them, and a browser that unpacks them again at every change takes all of the points for
    changed; nor does Dash find the number of a clicked candidate in a packed array.
    """
    traces = [trace.to_plotly_json() for trace in figure.data]
    return {"data": traces, "layout": figure.layout.to_plotly_json()}


@cache
def _published() -> pd.DataFrame:
    from bft_nas.network.published import published_results

    return published_results()


def _places(figure: go.Figure) -> dict[str, Any]:
    """What later callbacks need to know of the figure in the browser."""
    return {
        "published": [place for place, trace in enumerate(figure.data) if trace.yaxis == "y2"],
        "budgets": [shape.to_plotly_json() for shape in figure.layout.shapes if shape.type == "line"],
        # None where the figure could not be drawn.
        "x": list(figure.layout.xaxis.range or ()) or None,
        "y": list(figure.layout.yaxis.range or ()) or None,
    }
