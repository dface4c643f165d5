"""The front: accuracy against MACs or latency, every candidate a point, beside references and published results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from textwrap import wrap
from typing import Any, Literal

import pandas as pd
import plotly.graph_objects as go

from bft_nas.core.units import format_macs
from bft_nas.dashboard._canvas import WIDTH, Canvas
from bft_nas.dashboard._confirmed import confirmed_points, confirmed_reach, draw_confirmed
from bft_nas.dashboard._layers import (
    MACS_ACROSS,
    draw_published,
    draw_references,
    names_width,
    on_axis,
    percent,
    scaled,
)
from bft_nas.dashboard._points import draw_candidates
from bft_nas.dashboard._style import ACCENT, INK, describe, layout, log_ticks, say
from bft_nas.record.columns import Column, column_named, is_missing
from bft_nas.record.latency import setup_on
from bft_nas.record.pareto import complete, front, front_in, objective, winners
from bft_nas.record.standings import outcome_text

Against = Literal["macs", "latency"]

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
NARROW = 290
"""Pixels of the axis on a phone, where the numbers under it have to have room beside each other, too."""
DIGIT = 7.5
"""Pixels of one."""
LEGEND = 36
"""Pixels that its further rows take, which would lie under the buttons."""


def front_figure(
    results: pd.DataFrame,
    budgets: Sequence[int],
    *,
    references: pd.DataFrame | None = None,
    published: pd.DataFrame | None = None,
    show_published: bool = False,
    selected: Sequence[int] = (),
    against: Against = "macs",
) -> go.Figure:
    """Validation accuracy against MACs, or against latency: every candidate, the front, the budgets and their winners.

    Candidates that were stopped early are faint and open, at the accuracy they had; failed ones are ticks at the
    bottom. Every point of a candidate has its number as ``customdata``. The axes show the run: published results
    outside of its MACs are there for whoever zooms out.

    Args:
        results: one row a candidate, see `bft_nas.record.run.Run.results`; with a column ``spread`` (the standard
            deviation of the accuracy over several seeds, NaN for one seed) points have error bars. What was confirmed
            is a point of its own with its standard error. May be empty.
        budgets: MACs, one dashed line each.
        references: networks trained under the same protocol, one row a reference and budget, with a ``name``
            beside the columns of ``results``. Failed ones are not drawn.
        published: what `bft_nas.network.published.published_results` returns, drawn on an axis of its own at the right.
        show_published: from the start. Otherwise a click in the legend shows these results; the page has to
            make ``yaxis2`` visible along with them, as the report does.
        selected: numbers of candidates to ring and to name.
        against: ``latency`` for that of the column, in the one setup that it is of: then only what was measured is
            drawn, the front is that of accuracy and latency, and there are neither budgets nor published results.
    """
    references = pd.DataFrame() if references is None else references
    across, best = column_named(against), winners(results, budgets)
    if against == "latency":
        results, references, published = _measured(results), _measured(references), None
        best = _measured(best)
    candidates, trained = complete(results), complete(references)
    on_front = front(candidates, (objective(against), objective("accuracy")))
    # Of more objectives there is another front, which is no line here.
    line = f"front in {across.heading} and accuracy" if front_in(results) else "front"
    counted = candidates_text(results)
    kind = "front" if against == "macs" else f"front {setup_on(results)}"
    figure = go.Figure(layout=layout(kind, height=560 + LEGEND))
    figure.layout.margin.t += LEGEND
    lines = budgets if against == "macs" else ()
    draw_budgets(figure, lines)
    shown = drawn(results)
    if candidates.empty:
        say(figure, _nothing_text(results))
    if not shown.empty:
        _draw_front(figure, on_front, across, line)
        draw_candidates(figure, shown, candidates, results[results["state"] == "failed"], across)
        _draw_winners(figure, best, across)
    figure.layout.shapes = [*figure.layout.shapes, *rings(shown, selected, against)]
    low, high = _ends([*shown.get(against, ()), *trained.get(against, ()), *lines], across)
    if not trained.empty:
        high *= (high / low) ** (names_width(trained) / WIDTH)
    confirmed = confirmed_points(candidates, trained)
    accuracies = [*_reached(shown), *_reached(trained), *confirmed_reach(confirmed)] or [0.0, 1.0]
    canvas = Canvas((low, high), (min(accuracies), max(accuracies)))
    # Given, not left to Plotly, which would look at all points again whenever a shape moves.
    figure.update_yaxes(range=[0, 100] if candidates.empty else [100 * end for end in canvas.up_ends])
    if not shown.empty:
        canvas.take(scaled(shown, across), shown["accuracy"])
        canvas.take_steps(list(zip(scaled(on_front, across), on_front["accuracy"], strict=True)))
    for row in best.to_dict("records"):
        # Its number, above it and to its left.
        x = canvas.across(on_axis(float(row[across.name]), across))
        canvas.take_box(x - 40, canvas.up(row["accuracy"]) + 6, 34, 20)
    for rows in confirmed:
        if len(rows):
            canvas.take(scaled(rows, across), rows["confirmed"])
    if not trained.empty:
        draw_references(figure, trained, canvas, across)
    draw_confirmed(figure, confirmed[0], confirmed[1], across)
    if published is not None:
        draw_published(figure, published, canvas, shown=show_published)
    log_axis(figure, low, high, across)
    if against == "latency":
        setup = setup_on(results) or setup_on(references) or "nothing yet"
        lines_of_setup = map(escape, wrap(setup, 46))
        figure.update_xaxes(title_text="<br>".join([f"{across.title} (log scale)", *lines_of_setup]))
        figure.layout.margin.b = 170
    figure.update_layout(yaxis_title_text="Validation accuracy", yaxis_ticksuffix="%")
    if best.empty:
        return describe(figure, _nothing_text(results))
    return describe(figure, _alternative(counted, line, on_front, best, len(trained), across))


def _measured(results: pd.DataFrame) -> pd.DataFrame:
    if "latency" not in results:
        return results.head(0).assign(latency=0.0)
    return results[results["latency"].notna()]


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


def _alternative(
    counted: str, line: str, on_front: pd.DataFrame, best: pd.DataFrame, references: int, across: Column
) -> str:
    won = "; ".join(
        f"within {format_macs(row['for_budget'])} MACs candidate {row['number']} wins with {outcome_text(row)}"
        for row in best.to_dict("records")
    )
    beside = f", beside {references} references" if references else ""
    return f"Validation accuracy against {across.heading}: {counted}{beside}. {len(on_front)} on the {line}; {won}."


def _reached(rows: pd.DataFrame) -> list[float]:
    """The accuracies of points, with those at the ends of their error bars."""
    if rows.empty:
        return []
    spreads = rows["spread"].fillna(0.0) if "spread" in rows else 0.0
    return [*(rows["accuracy"] - spreads), *(rows["accuracy"] + spreads)]


def _ends(values: Sequence[float], across: Column) -> tuple[float, float]:
    """The ends of a log axis, with room on both sides of whatever is drawn."""
    positive = [on_axis(float(value), across) for value in values if value > 0] or [10.0, 100.0]
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


def log_axis(figure: go.Figure, low: float, high: float, across: Column = MACS_ACROSS) -> None:
    """MACs across in millions, or what else stands there, with ticks at round numbers."""
    unit = across.format.axis_unit
    texts: dict[float, str] = {}
    taken = -math.inf
    for tick in log_ticks(low, high):
        text = f"{tick:g}{unit if unit == 'M' else f' {unit}'}"
        at = NARROW * math.log(tick / low) / math.log(high / low)
        if at - taken >= DIGIT * (len(text) + 1):
            texts[tick], taken = text, at
    figure.update_xaxes(
        title_text=f"{across.title} (log scale)",
        type="log",
        range=[math.log10(low), math.log10(high)],
        tickvals=list(texts),
        ticktext=list(texts.values()),
        # Plotly would draw a grid over the lines of the budgets, which are to be the only upright ones.
        showgrid=False,
        ticks="outside",
        tickcolor=INK,
    )


def _draw_front(figure: go.Figure, on_front: pd.DataFrame, across: Column, name: str) -> None:
    if on_front.empty:
        return
    figure.add_trace(
        go.Scatter(
            x=scaled(on_front, across),
            y=percent(on_front),
            name=name,
            mode="lines",
            line={"shape": "hv", "color": INK, "width": 2},
            hoverinfo="skip",
        )
    )


def _draw_winners(figure: go.Figure, best: pd.DataFrame, across: Column) -> None:
    if best.empty:
        return
    # One candidate may win several budgets; it gets one ring.
    best = best.drop_duplicates("number")
    figure.add_trace(
        go.Scatter(
            x=scaled(best, across),
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


def rings(shown: pd.DataFrame, selected: Sequence[int], against: Against = "macs") -> list[dict[str, Any]]:
    """A named ring around each of the selected candidates that has a place in the figure, as shapes of its layout."""
    rows = shown[shown["number"].isin(selected)] if selected else shown.head(0)
    placed = {row["number"]: row for row in rows.to_dict("records")}
    return [
        {
            **RING,
            "xanchor": on_axis(placed[number][against], column_named(against)),
            "yanchor": 100 * placed[number]["accuracy"],
            "label": {**RING["label"], "text": f"#{number}"},
        }
        for number in selected
        if number in placed and not is_missing(placed[number].get(against))
    ]
