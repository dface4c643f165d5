"""The front: accuracy against MACs, every candidate a point, beside references and published results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from bft_nas.core.units import format_macs
from bft_nas.dashboard._canvas import WIDTH, Canvas
from bft_nas.dashboard._confirmed import confirmed_points, confirmed_reach, draw_confirmed
from bft_nas.dashboard._layers import draw_published, draw_references, millions, names_width, percent
from bft_nas.dashboard._points import draw_candidates
from bft_nas.dashboard._style import ACCENT, INK, describe, layout, log_ticks, say
from bft_nas.record.pareto import complete, front, winners
from bft_nas.record.standings import outcome_text

# As a shape, which Plotly moves without drawing thousands of points again. A circle of 14 pixels as a path: a shape of
# type circle may not reach to the left of its place on a log axis.
RING: dict[str, Any] = {
    "type": "path",
    "path": (
        "M-14,0 C-14,-7.73 -7.73,-14 0,-14 C7.73,-14 14,-7.73 14,0 "
        "C14,7.73 7.73,14 0,14 C-7.73,14 -14,7.73 -14,0Z"
    ),
    "xsizemode": "pixel",
    "ysizemode": "pixel",
    "line": {"color": INK, "width": 2.5},
    "label": {
        "textposition": "bottom center",
        "yanchor": "top",
        "font": {"color": INK, "size": 14, "weight": 600},
    },
}


def front_figure(
    results: pd.DataFrame,
    budgets: Sequence[int],
    *,
    title: str = "",
    references: pd.DataFrame | None = None,
    published: pd.DataFrame | None = None,
    show_published: bool = False,
    selected: Sequence[int] = (),
) -> go.Figure:
    """Validation accuracy against MACs: every candidate, the front, the budgets and their winners.

    Candidates that were stopped early are faint and open, at the accuracy they had; failed ones are ticks at the
    bottom. Every point of a candidate has its number as ``customdata``. The axes show the run: published results
    outside of its MACs are there for whoever zooms out.

    Args:
        results: one row a candidate, see `bft_nas.record.run.Run.results`; with a column ``spread`` (the standard
            deviation of the accuracy over several seeds, NaN for one seed) points have error bars. What was confirmed
            is a point of its own with its standard error. May be empty.
        budgets: MACs, one dashed line each.
        title: plain text; empty for a figure that stands under a heading of its own.
        references: networks trained under the same protocol, one row a reference and budget, with a ``name``
            beside the columns of ``results``. Failed ones are not drawn.
        published: what `bft_nas.network.published.published_results` returns, drawn on an axis of its own at the right.
        show_published: from the start. Otherwise a click in the legend shows these results; the page has to
            make ``yaxis2`` visible along with them, as the report does.
        selected: numbers of candidates to ring and to name.
    """
    references = pd.DataFrame() if references is None else references
    candidates, trained = complete(results), complete(references)
    on_front, best = front(candidates), winners(candidates, budgets)
    counted = candidates_text(results)
    figure = go.Figure(layout=layout("front", title=title, subtitle=counted, height=560))
    draw_budgets(figure, budgets)
    shown = drawn(results)
    if candidates.empty:
        say(figure, _nothing_text(results))
    if not shown.empty:
        _draw_front(figure, on_front)
        draw_candidates(figure, shown, candidates, results[results["state"] == "failed"])
        _draw_winners(figure, best)
    figure.layout.shapes = [*figure.layout.shapes, *rings(shown, selected)]
    low, high = _ends([*shown.get("macs", ()), *trained.get("macs", ()), *budgets])
    if not trained.empty:
        high *= (high / low) ** (names_width(trained) / WIDTH)
    confirmed = confirmed_points(candidates, trained)
    accuracies = [*_reached(shown), *_reached(trained), *confirmed_reach(confirmed)] or [0.0, 1.0]
    canvas = Canvas((low, high), (min(accuracies), max(accuracies)))
    # Given, not left to Plotly, which would look at all points again whenever a shape moves.
    figure.update_yaxes(range=[0, 100] if candidates.empty else [100 * end for end in canvas.up_ends])
    if not shown.empty:
        canvas.take(shown["macs"] / 1e6, shown["accuracy"])
        canvas.take_steps(_points(on_front))
    for rows in confirmed:
        if len(rows):
            canvas.take(millions(rows), rows["confirmed"])
    if not trained.empty:
        draw_references(figure, trained, canvas)
    draw_confirmed(figure, *confirmed)
    if published is not None:
        draw_published(figure, published, canvas, shown=show_published)
    log_axis(figure, low, high)
    figure.update_layout(yaxis_title_text="Validation accuracy", yaxis_ticksuffix="%")
    if best.empty:
        return describe(figure, _nothing_text(results))
    return describe(figure, _alternative(counted, on_front, best, len(trained)))


def drawn(results: pd.DataFrame) -> pd.DataFrame:
    """The candidates that have a place in the figure: MACs and an accuracy, be it that of a stopped training."""
    return results if results.empty else results[results["accuracy"].notna() & (results["state"] != "failed")]


def candidates_text(results: pd.DataFrame) -> str:
    """How many candidates there are, and how many of them are complete, stopped early and failed, in words."""
    if results.empty:
        return "no candidates"
    done = len(complete(results))
    return ", ".join([f"{done} candidate{'' if done == 1 else 's'} trained", *_incomplete(results)])


def _incomplete(results: pd.DataFrame) -> list[str]:
    states = {"stopped": "stopped early", "failed": "failed"}
    counts = {text: int((results["state"] == state).sum()) for state, text in states.items()}
    return [f"{count} {text}" for text, count in counts.items() if count]


def _nothing_text(results: pd.DataFrame) -> str:
    if results.empty:
        return "No candidates yet."
    return f"No candidate is complete: {', '.join(_incomplete(results))}."


def _alternative(counted: str, on_front: pd.DataFrame, best: pd.DataFrame, references: int) -> str:
    won = "; ".join(
        f"within {format_macs(row['for_budget'])} MACs candidate {row['number']} wins with {outcome_text(row)}"
        for row in best.to_dict("records")
    )
    beside = f", beside {references} references" if references else ""
    return f"Validation accuracy against MACs: {counted}{beside}. {len(on_front)} on the front; {won}."


def _reached(rows: pd.DataFrame) -> list[float]:
    """The accuracies of points, with those at the ends of their error bars."""
    if rows.empty:
        return []
    spreads = rows["spread"].fillna(0.0) if "spread" in rows else 0.0
    return [*(rows["accuracy"] - spreads), *(rows["accuracy"] + spreads)]


def _points(rows: pd.DataFrame) -> list[tuple[float, float]]:
    return [(row["macs"] / 1e6, row["accuracy"]) for row in rows.to_dict("records")]


def _ends(macs: Sequence[int]) -> tuple[float, float]:
    """The ends of a log axis in millions, with room on both sides of whatever is drawn."""
    positive = [float(value) / 1e6 for value in macs if value > 0] or [10.0, 100.0]
    low, high = min(positive), max(positive)
    room = max((high / low) ** 0.06, 1.1)
    return low / room, high * room


def draw_budgets(figure: go.Figure, budgets: Sequence[int]) -> None:
    """A dashed line for each budget, with its MACs on top."""
    for budget in sorted(set(budgets)):
        at = budget / 1e6
        figure.add_shape(
            type="line",
            xref="x",
            yref="y domain",
            x0=at,
            x1=at,
            y0=0,
            y1=1,
            line={"color": INK, "width": 1.5, "dash": "7px,5px"},
            layer="below",
        )
        # An annotation on a log axis is placed by the logarithm, a shape by the value.
        figure.add_annotation(
            text=format_macs(budget),
            name="budget",
            x=math.log10(at),
            y=1,
            xref="x",
            yref="paper",
            yanchor="bottom",
            showarrow=False,
            font={"size": 13, "weight": 600},
        )


def log_axis(figure: go.Figure, low: float, high: float) -> None:
    """MACs across, in millions, with ticks at round numbers."""
    ticks = log_ticks(low, high)
    figure.update_xaxes(
        title_text="MACs (log scale)",
        type="log",
        range=[math.log10(low), math.log10(high)],
        tickvals=ticks,
        ticktext=[f"{tick:g}M" for tick in ticks],
        # Plotly would draw a grid over the lines of the budgets, which are to be the only upright ones.
        showgrid=False,
        ticks="outside",
        tickcolor=INK,
    )


def _draw_front(figure: go.Figure, on_front: pd.DataFrame) -> None:
    if on_front.empty:
        return
    figure.add_trace(
        go.Scatter(
            x=millions(on_front),
            y=percent(on_front),
            name="front",
            mode="lines",
            line={"shape": "hv", "color": INK, "width": 2},
            hoverinfo="skip",
        )
    )


def _draw_winners(figure: go.Figure, best: pd.DataFrame) -> None:
    if best.empty:
        return
    # One candidate may win several budgets; it gets one ring.
    best = best.drop_duplicates("number")
    figure.add_trace(
        go.Scatter(
            x=millions(best),
            y=percent(best),
            name="winner",
            mode="markers+text",
            marker={
                "symbol": "circle-open",
                "size": 20,
                "color": ACCENT,
                "line": {"width": 2.5, "color": ACCENT},
            },
            text=[f"#{number}" for number in best["number"]],
            # Above and to the left of a point of the front there is nothing, by what a front is.
            textposition="top left",
            textfont={"color": ACCENT, "size": 14, "weight": 600},
            customdata=best["number"].tolist(),
            cliponaxis=False,
            hoverinfo="skip",
        )
    )


def rings(shown: pd.DataFrame, selected: Sequence[int]) -> list[dict[str, Any]]:
    """A named ring around each of the selected candidates that has a place in the figure, as shapes of its layout."""
    rows = shown[shown["number"].isin(selected)] if selected else shown.head(0)
    placed = {row["number"]: row for row in rows.to_dict("records")}
    return [
        {
            **RING,
            "xanchor": placed[number]["macs"] / 1e6,
            "yanchor": 100 * placed[number]["accuracy"],
            "label": {**RING["label"], "text": f"#{number}"},
        }
        for number in selected
        if number in placed
    ]
