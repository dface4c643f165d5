"""The candidates of a front figure: a point each, and what pointing at it says."""

from __future__ import annotations

from functools import lru_cache
from html import escape
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from bft_nas.dashboard._layers import MACS_ACROSS, network_lines, on_axis, spread
from bft_nas.dashboard._style import INK, MANY, SHARE_SCALE
from bft_nas.record.columns import Column, columns_for
from bft_nas.record.latency import SHARE_COLUMN

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "cross", "star")
SHARE_AXIS = {
    "colorscale": SHARE_SCALE,
    "cmin": 0,
    "cmax": 100,
    "colorbar": {
        "title": {
            "text": "share of the fusions' MACs in butterflies",
            "side": "bottom",
            "font": {"size": 12},
        },
        "orientation": "h",
        "thickness": 10,
        "lenmode": "pixels",
        "len": 240,
        "x": 0,
        "xanchor": "left",
        "yref": "container",
        "y": 0,
        "yanchor": "bottom",
        "tickvals": [0, 25, 50, 75, 100],
        "ticktext": ["0%", "25%", "50%", "75%", "100%"],
        "outlinewidth": 0,
    },
}
STOPPED_OPACITY = 0.4


def draw_candidates(
    figure: go.Figure,
    shown: pd.DataFrame,
    candidates: pd.DataFrame,
    failed: pd.DataFrame,
    across: Column = MACS_ACROSS,
) -> None:
    """Every candidate a point.

    Args:
        figure: gets a trace for each family.
        shown: complete and stopped candidates.
        candidates: the complete ones among them.
        failed: ticks at the bottom.
        across: what stands on the axis.
    """
    families = sorted({*shown["family"].unique(), *failed["family"].unique()})
    symbols = {name: SYMBOLS[rank % len(SYMBOLS)] for rank, name in enumerate(families)}
    many = len(shown) + len(failed) > MANY
    # Beyond some thousands of points a browser draws them by WebGL.
    trace = go.Scattergl if many else go.Scatter
    # Thousands of points of full size would hide one another.
    size = 6 if many else 10
    # Nested dictionaries that `update_layout` would merge key by key take ten times as long.
    figure.layout.coloraxis = SHARE_AXIS
    figure.layout.margin.b = 130

    def add(rows: pd.DataFrame, **arguments: Any) -> None:
        figure.add_trace(
            trace(
                x=on_axis(rows[across.name], across).to_numpy(float),
                customdata=rows["number"].to_numpy(),
                mode="markers",
                **_hover(rows, across, brief=many),
                **arguments,
            )
        )

    def percents(rows: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
        return 100 * rows["accuracy"].to_numpy(float)

    if not failed.empty:
        floor = 100 * float(shown["accuracy"].min()) if len(shown) else 0.0
        add(
            failed,
            y=np.full(len(failed), floor),
            name="failed",
            legendgroup="failed",
            marker={"symbol": "line-ns", "size": size + 2, "line": {"color": INK, "width": 1.5}},
            opacity=0.6,
        )
    stopped = shown[shown["state"] == "stopped"]
    for rank, (family, rows) in enumerate(stopped.groupby("family")):
        add(
            rows,
            y=percents(rows),
            name="stopped early",
            legendgroup="stopped",
            showlegend=rank == 0,
            marker={
                "symbol": f"{symbols[family]}-open",
                "size": size - 2,
                "color": INK,
                "line": {"width": 1.5},
            },
            opacity=STOPPED_OPACITY,
        )
    for family, rows in candidates.groupby("family"):
        group = f"family {family}"
        spreads = spread(rows)
        add(
            rows,
            y=percents(rows),
            name=escape(str(family)),
            legendgroup=group,
            showlegend=False,
            marker={
                "symbol": symbols[family],
                "size": size,
                "color": 100 * rows["butterfly_share"].to_numpy(float),
                "coloraxis": "coloraxis",
                "line": {"color": INK, "width": size / 10},
            },
            **({"error_y": spreads} if spreads else {}),
        )
        # The legend tells shapes apart, not colours, so its markers have the colour of the text.
        figure.add_trace(
            go.Scatter(
                x=[None],
                y=[None],
                name=escape(str(family)),
                legendgroup=group,
                mode="markers",
                marker={"symbol": symbols[family], "size": 10, "color": INK},
                hoverinfo="skip",
            )
        )


def _hover(rows: pd.DataFrame, across: Column, *, brief: bool) -> dict[str, Any]:
    """What a point says of its candidate, all or what its place in the figure shows.

    Args:
        rows: candidates of one family, none of them failed or all.
        across: what stands on the axis.
        brief: for thousands of points, whose texts would be most of what a page has to load at each update.
    """
    if not brief or rows.empty:
        return {"hovertext": _hover_texts(rows), "hovertemplate": "%{hovertext}<extra></extra>"}
    failed = rows["state"].iloc[0] == "failed"
    families = rows["family"].unique()
    name = f" {escape(str(families[0]))}" if len(families) == 1 else ""
    accuracy = "failed" if failed else "%{y:.2f}%"
    place = f"{across.heading} %{{x:.3g}}{across.format.axis_unit}"
    return {
        "hovertemplate": f"<b>#%{{customdata}}</b>{name}<br>accuracy {accuracy}<br>{place}<extra></extra>"
    }


def _hover_texts(rows: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.object_]]:
    names = (
        "number",
        "family",
        "state",
        "reason",
        "fusions",
        SHARE_COLUMN,
        *(column.name for column in columns_for("point", rows)),
    )
    # A NaN is not equal to itself, and so would be looked up in vain.
    known = rows[[name for name in dict.fromkeys(names) if name in rows]]
    known = known.astype(object).where(known.notna(), None)
    columns = [known[name] if name in rows else [None] * len(rows) for name in dict.fromkeys(names)]
    texts = [
        _hover_text(tuple(zip(dict.fromkeys(names), row, strict=True))) for row in zip(*columns, strict=True)
    ]
    # Plotly looks at each text of a list, and takes an array as it is.
    return np.array(texts, dtype=object)


# A dashboard draws the same candidates again and again.
@lru_cache(maxsize=2**15)
def _hover_text(values: tuple[tuple[str, Any], ...]) -> str:
    row = dict(values)
    # Long patterns and reasons are broken, or the label would not fit on a phone.
    stages = escape(row["fusions"]).split()
    pattern = "<br>".join(" ".join(stages[start : start + 8]) for start in range(0, len(stages), 8))
    why = [f"<i>{escape(line)}</i>" for line in wrap(row["reason"], 48)[:4]]
    outcome, *others = network_lines(row)
    name = f"<b>#{row['number']}</b> {escape(row['family'])}"
    return "<br>".join([name, outcome, *why, *others, pattern])
