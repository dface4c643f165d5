"""What a front figure shows beside the candidates: references trained alike, and published results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from bft_nas.dashboard._canvas import HEIGHT, WIDTH, Canvas
from bft_nas.dashboard._style import INK
from bft_nas.network.published import BUTTERFLIES, best_within, static_front
from bft_nas.record.columns import Column, column_named, columns_for
from bft_nas.record.latency import busy_on

# Both of a contrast that reads on white as well as on near-black, and apart from the candidates' viridis and from
# the winners' orange with any colour vision.
REFERENCE = "#3b8fd0"
PUBLISHED = "#b8659b"
PUBLISHED_GROUP = "published"
# What a front stands on unless it is one of latencies.
MACS_ACROSS = column_named("macs")
# Shapes that no family of candidates has.
REFERENCE_SYMBOL = "x-thin"
CURVE_SYMBOLS = tuple(
    f"{shape}-open-dot"
    for shape in ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "hexagon")
)
FRONT_NAME, FRONT_SYMBOL = "best static", "octagon"
# Of names, in pixels.
LETTER = 6.4
BOLD_LETTER = 7.7
LINE = 15
GAP = 7
# How far from its middle a marker reaches, and how much room around a name is enough.
MARKER = 6
ROOM = 20


def names_width(references: pd.DataFrame) -> float:
    """The pixels that the longest name of a reference takes, the gap before it included."""
    return float(references["name"].astype(str).str.len().clip(upper=32).max() * LETTER + GAP)


def draw_references(
    figure: go.Figure, trained: pd.DataFrame, canvas: Canvas, across: Column = MACS_ACROSS
) -> None:
    """A cross for each complete reference, and the names for which there is room, the best of a budget first."""
    figure.add_trace(
        go.Scatter(
            x=scaled(trained, across),
            y=percent(trained),
            name="references, same protocol",
            legendgroup="references",
            mode="markers",
            marker={"symbol": REFERENCE_SYMBOL, "size": 9, "line": {"color": REFERENCE, "width": 2.5}},
            error_y=spread(trained),
            hovertext=[_reference_text(row) for row in trained.to_dict("records")],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )
    names: list[tuple[str, float, float]] = []
    for row in trained.sort_values("accuracy", ascending=False, kind="stable").to_dict("records"):
        # To the right of the budget's line, which would cross the name of a point close to it.
        close = across is MACS_ACROSS and 0.9 * row["budget"] < row["macs"] <= row["budget"]
        at = row["budget"] if close else row[across.name]
        left = canvas.across(on_axis(float(at), across)) + GAP
        box = (left, canvas.up(row["accuracy"]) - LINE / 2, LETTER * len(str(row["name"])), LINE)
        if canvas.clearance(*box) > 0:
            canvas.take_box(left, box[1], box[2] + GAP, LINE)
            names.append((escape(str(row["name"])), canvas.macs(left), 100 * float(row["accuracy"])))
    canvas.take(scaled(trained, across), trained["accuracy"])
    figure.add_trace(
        go.Scatter(
            x=[x for _, x, _ in names],
            y=[y for _, _, y in names],
            # The page knows it by this name: where it is narrow there is no room for names.
            uid="reference-names",
            name="names of references",
            legendgroup="references",
            showlegend=False,
            mode="text",
            text=[name for name, _, _ in names],
            textposition="middle right",
            textfont={"color": REFERENCE, "size": 11},
            hoverinfo="skip",
        )
    )


def draw_published(figure: go.Figure, published: pd.DataFrame, canvas: Canvas, *, shown: bool) -> None:
    """Published results on an axis of their own at the right; one click in the legend shows or hides them all.

    Args:
        published: what `bft_nas.network.published.published_results` returns.
        canvas: with all else that is drawn.
        shown: from the start.
    """
    if published.empty:
        return
    bottom, top = _top1_range(published, canvas.ends)
    figure.layout.yaxis2 = {
        "title": {"text": "published ImageNet top-1 (%)", "standoff": 12, "font": {"color": PUBLISHED}},
        "tickfont": {"color": PUBLISHED},
        "range": [bottom, top],
        "overlaying": "y",
        "side": "right",
        # Ticks in step with those of the left axis would stand at odd numbers.
        "tickmode": "auto",
        "ticksuffix": "%",
        "showgrid": False,
        "zeroline": False,
        "automargin": True,
        # Plotly draws the axis of hidden points too: whoever shows them by a click has to show it.
        "visible": shown,
    }

    def add(**arguments: Any) -> None:
        figure.add_trace(
            go.Scatter(
                yaxis="y2",
                legendgroup=PUBLISHED_GROUP,
                visible=True if shown else "legendonly",
                **arguments,
            )
        )

    line = {"color": PUBLISHED, "width": 1.5, "dash": "dot"}
    add(
        x=[None],
        y=[None],
        name="published ImageNet top-1",
        mode="lines+markers",
        line=line,
        marker={"symbol": CURVE_SYMBOLS[0], "size": 8},
        hoverinfo="skip",
    )
    best = static_front(published)
    on_curve = published["curve"] != ""
    # Of the families with curves the curves are enough: most of their other rows are the same networks again.
    others = ~on_curve & ~published["family"].isin(published.loc[on_curve, "family"])
    add(
        **_points(published[others], best),
        hovertemplate="%{hovertext}<extra></extra>",
        name="other published networks",
        showlegend=False,
        mode="markers",
        marker={"symbol": "circle", "size": 4, "color": PUBLISHED, "opacity": 0.35},
    )
    add(
        **_points(best, best),
        hovertemplate="%{hovertext}<extra></extra>",
        name=FRONT_NAME,
        showlegend=False,
        mode="lines+markers",
        line={"color": PUBLISHED, "width": 1.5, "shape": "hv"},
        marker={"symbol": FRONT_SYMBOL, "size": 5},
    )
    curves = dict(tuple(published[on_curve].sort_values("macs").groupby("curve")))
    # One trace, since a browser takes as long for a trace as for dozens of points.
    add(
        **_parted([_points(rows, best) for rows in curves.values()]),
        name="curves",
        showlegend=False,
        mode="lines+markers",
        line=line,
        marker={
            "symbol": [
                CURVE_SYMBOLS[rank % len(CURVE_SYMBOLS)]
                for rank, rows in enumerate(curves.values())
                for _ in range(len(rows) + 1)
            ],
            "size": 8,
            "line": {"width": 1.5},
        },
        hovertemplate="%{hovertext}<extra></extra>",
    )
    named = curves if best.empty else {FRONT_NAME: best, **curves}
    names = _curve_names(named, (bottom, top), canvas)
    add(
        x=[x for _, x, _ in names],
        y=[y for _, _, y in names],
        uid="curve-names",
        name="names of curves",
        showlegend=False,
        mode="text",
        text=[escape(name) for name, _, _ in names],
        textposition="middle center",
        textfont={"color": PUBLISHED, "size": 12, "weight": 600},
        hoverinfo="skip",
    )


def scaled(rows: pd.DataFrame, across: Column) -> list[float]:
    """The values of a column as its axis counts them."""
    return [on_axis(float(value), across) for value in rows[across.name]]


def on_axis(value: Any, across: Column) -> Any:
    """A value of a column, or each of an array of them, as its axis counts it."""
    # Divided, since a million times a millionth is rounded.
    return value / (1 / across.format.scale)


def millions(rows: pd.DataFrame) -> list[float]:
    """MACs as the axis counts them."""
    return scaled(rows, MACS_ACROSS)


def percent(rows: pd.DataFrame) -> list[float]:
    """Accuracies as the axis counts them."""
    return [100 * float(accuracy) for accuracy in rows["accuracy"]]


def spread(rows: pd.DataFrame) -> dict[str, Any]:
    """Error bars where accuracies are means over several seeds: see ``spread`` of `front_figure`."""
    if "spread" not in rows or rows["spread"].isna().all():
        return {}
    return {"array": (100 * rows["spread"]).tolist(), "color": INK, "thickness": 1.5, "width": 3}


def _points(rows: pd.DataFrame, best: pd.DataFrame) -> dict[str, list[Any]]:
    return {
        "x": millions(rows),
        "y": rows["top1"].tolist(),
        "hovertext": [_published_text(row, best) for row in rows.to_dict("records")],
    }


def _parted(curves: Sequence[Mapping[str, Sequence[Any]]]) -> dict[str, list[Any]]:
    """Curves as one, with a gap after each."""
    return {
        name: [value for curve in curves for value in (*curve[name], None)]
        for name in ("x", "y", "hovertext")
    }


def _top1_range(published: pd.DataFrame, ends: tuple[float, float]) -> tuple[float, float]:
    """From below to above the points that are within the axis of MACs."""
    macs = published["macs"] / 1e6
    within = published.loc[macs.between(*ends), "top1"]
    seen = within if len(within) > 1 else published["top1"]
    low, high = float(seen.min()), float(seen.max())
    room = max(0.06 * (high - low), 1.0)
    return low - room, high + room


def _curve_names(
    curves: Mapping[Any, pd.DataFrame], heights: tuple[float, float], canvas: Canvas
) -> list[tuple[str, float, float]]:
    """The name of each curve, just above or below it where there is most room, with its MACs and top-1."""
    scale = HEIGHT / (heights[1] - heights[0])
    lines = {name: _line(rows, canvas, heights[0], scale) for name, rows in curves.items()}
    names = []
    for name, points in lines.items():
        # Its own line is close to a name by intention.
        others = [np.array(line).reshape(-1, 2) for other, line in lines.items() if other != name]
        around = Canvas(canvas.ends, canvas.accuracies, np.vstack((canvas.taken, *others)))
        width = BOLD_LETTER * len(str(name))
        best = (-math.inf, 0.0, 0.0)
        for x, y in points:
            # Curves rise: above one there is room to the left, below it to the right.
            for left, bottom in ((x - width, y + MARKER), (x, y - MARKER - LINE)):
                if 0 < left < WIDTH - width and 0 < bottom < HEIGHT - LINE:
                    room = min(around.clearance(left, bottom, width, LINE), ROOM)
                    best = max(best, (room, left, bottom))
        most, left, bottom = best
        if most > -math.inf:
            canvas.take_box(left - GAP, bottom, width + 2 * GAP, LINE)
            middle = heights[0] + (bottom + LINE / 2) / scale
            names.append((str(name), canvas.macs(left + width / 2), middle))
    return names


def _line(rows: pd.DataFrame, canvas: Canvas, bottom: float, scale: float) -> list[tuple[float, float]]:
    """The pixels of a curve within the axes, sixteen apart."""
    across = [canvas.across(macs) for macs in millions(rows)]
    places = [float(x) for x in range(0, WIDTH + 1, 16) if across[0] <= x <= across[-1]]
    up = np.interp(places, across, (rows["top1"].to_numpy(float) - bottom) * scale)
    return list(zip(places, up.tolist(), strict=True))


def _reference_text(row: Mapping[Any, Any]) -> str:
    return (
        f"<b>{escape(str(row['name']))}</b>, reference for {column_named('budget').cell(row)}<br>"
        f"{'<br>'.join(network_lines(row))}"
    )


def network_lines(row: Mapping[Any, Any]) -> list[str]:
    """A trained network and its outcome, in the lines of a label."""
    cells = ((column, column.cell(row)) for column in columns_for("point", row))
    busy = [f"<i>{escape(line)}</i>" for line in wrap(busy_on(row), 48)]
    return [*(f"{column.heading} {escape(cell)}" for column, cell in cells if cell), *busy]


def _published_text(row: Mapping[Any, Any], best: pd.DataFrame) -> str:
    lines = [
        f"{column_named(name).heading} {column_named(name).text(row[name])}" for name in ("macs", "params")
    ]
    resolution = str(row["resolution"])
    size = column_named("resolution").text(resolution) if resolution.isdecimal() else resolution
    return (
        f"<b>{escape(str(row['name']))}</b><br>"
        f"{row['top1']:.1f}% ImageNet top-1, published<br>"
        f"{'<br>'.join(lines[: 1 if pd.isna(row['params']) else 2])}<br>"
        f"resolution {escape(size)}<br>"
        f"{_standing_text(row, best)}"
        f"<i>{_source_lines(str(row['source']))}</i>"
    )


def _standing_text(row: Mapping[Any, Any], best: pd.DataFrame) -> str:
    """How far a row with butterflies is from the best static one without, in a line; empty for any other row."""
    rival = best_within(best, row["macs"]) if row["family"] == BUTTERFLIES else None
    if rival is None:
        return ""
    ahead = row["top1"] - rival["top1"]
    return (
        f"{abs(ahead):.1f} points {'above' if ahead > 0 else 'below'} the best static row within its MACs:<br>"
        f"{rival['top1']:.1f}% at {column_named('macs').text(rival['macs'])}, {escape(str(rival['name']))}<br>"
    )


@cache
def _source_lines(source: str) -> str:
    # Dozens of results have the same source.
    return "<br>".join(escape(line) for line in wrap(source, 48))
