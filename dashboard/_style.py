"""What all figures have in common: colours, axes, words for what is missing, and a text in place of the picture."""

from __future__ import annotations

import math
import sys
import traceback
from collections.abc import Callable, Sequence
from html import escape
from textwrap import wrap
from typing import Any

import plotly.graph_objects as go

from bft_nas.core.errors import UserError, one_line

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
# Of a contrast that reads on white as well as on near-black: a figure does not know what it stands on.
INK = "#7b828c"
GRID = "rgba(128, 134, 144, 0.22)"
ACCENT = "#e4572e"
SECOND = "#3b8fd0"
AMBER = "#e69f00"
# Viridis without its ends, which would vanish on a dark and on a light page.
SHARE_SCALE = ((0.0, "#443a83"), (0.25, "#31688e"), (0.5, "#21918c"), (0.75, "#35b779"), (1.0, "#a5db36"))
# What mixes channels, as light and as dark as the ends of the scale of butterfly shares.
BUTTERFLY = "#2fb47c"
DENSE = "#6675a8"
GROUPED = "#cc79a7"
LOW_RANK = "#d99a3d"
# Radices, from the smallest on.
BUTTERFLIES = ("#b9e3a1", "#6cc98f", "#2fa184", "#1f7a78", "#1d5a6b")
DEPTHWISE = "#a9afb8"
# Okabe and Ito's colours, told apart with any colour vision; those too dark or too pale for a page left out.
COLOURS = (ACCENT, SECOND, "#009e73", "#cc79a7", "#e69f00")
DASHES = ("solid", "dash", "dot", "dashdot")
MANY = 2000
# Of all figures in a browser. WebGL, which only thousands of points are drawn by, draws at twice a screen's resolution
# unless it is set.
CONFIG: Any = {
    "displaylogo": False,
    "plotGlPixelRatio": 1,
    "modeBarButtons": [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
}
# Leading digits, in tenths, of the ticks on a log axis: the first that give enough of them are taken.
TICKS = (
    (10,),
    (10, 20, 50),
    (10, 20, 30, 50),
    (10, 15, 20, 30, 40, 50, 70),
    range(10, 100, 5),
    range(10, 100, 2),
    range(10, 100),
    tuple(halves / 2 for halves in range(20, 200)),
)
TRANSPARENT = "rgba(0, 0, 0, 0)"


def layout(kind: str, *, height: int = 460) -> go.Layout:
    """The layout of a figure of a kind; zoom and hidden traces last as long as the kind stays the same."""
    # Heights are fixed and widths are not: the page decides how wide a figure is.
    return go.Layout(
        template="none",
        font={"family": FONT, "size": 13, "color": INK},
        paper_bgcolor=TRANSPARENT,
        plot_bgcolor=TRANSPARENT,
        height=height,
        margin={"l": 64, "r": 16, "t": 64, "b": 56},
        xaxis=axis(),
        yaxis=axis(),
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.06,
            "yanchor": "bottom",
            "font": {"size": 12},
        },
        modebar={"bgcolor": TRANSPARENT, "color": INK, "activecolor": ACCENT},
        hovermode="closest",
        hoverlabel={
            "bgcolor": "#20252c",
            "bordercolor": "#20252c",
            "font": {"color": "#f4f5f7", "family": FONT},
            "align": "left",
        },
        uirevision=kind,
        meta={"alternative": ""},
    )


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers between two ends, at least five: Plotly labels all but powers of ten with one digit."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    ticks: list[float] = []
    for leading in TICKS:
        ticks = [digits * 10**decade / 10 for decade in decades for digits in leading]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 5:
            break
    return ticks


def axis() -> dict[str, Any]:
    """An axis without a line, with a faint grid."""
    return {
        "gridcolor": GRID,
        "linecolor": INK,
        "zeroline": False,
        "showline": False,
        "ticks": "",
        "automargin": True,
        "title": {"standoff": 12},
    }


def label_rows(figure: go.Figure, labels: Sequence[str]) -> None:
    """Name the places 0, 1, ... of the vertical axis, from the top."""
    figure.update_yaxes(
        tickvals=list(range(len(labels))),
        ticktext=list(labels),
        range=[len(labels) - 0.5, -0.5],
        showgrid=False,
        ticklabelstandoff=6,
    )


def say(figure: go.Figure, text: str) -> go.Figure:
    """Words in the middle of a figure, in lines that a narrow one has room for."""
    lines = "<br>".join(map(escape, wrap(text, 38)))
    figure.add_annotation(
        text=lines, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font={"size": 15}
    )
    return describe(figure, text)


def nothing(figure: go.Figure, text: str) -> go.Figure:
    """Words in place of a figure that has nothing to show."""
    figure.update_layout(height=180, margin={"t": 16, "b": 16})
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return say(figure, text)


Problem = Callable[[str, Exception], None]
"""Receives a view that could not be made, by its name, and why."""
Draw = Callable[[str, Callable[[], go.Figure]], go.Figure]
"""How a figure is made, which has a name: `plainly`, or `guarded`."""


def plainly(name: str, make: Callable[[], go.Figure]) -> go.Figure:
    """The figure, with whatever its making raises."""
    return make()


def guarded(on_problem: Problem) -> Draw:
    """Figures of which one that cannot be made says so in its place, so that the others are there."""

    def draw(name: str, make: Callable[[], go.Figure]) -> go.Figure:
        try:
            return make()
        except Exception as error:
            on_problem(name, error)
            return nothing(go.Figure(layout=layout(name)), cannot_be_shown(error))

    return draw


def tell_terminal(name: str, error: Exception) -> None:
    """What a dashboard does about a view that cannot be made: where it runs, its traceback is printed."""
    if not isinstance(error, UserError):
        traceback.print_exception(error, file=sys.stderr)


def cannot_be_shown(error: Exception) -> str:
    """What stands in the place of a view that cannot be made."""
    what = one_line(error)[:160]
    named = what if isinstance(error, UserError) else f"{type(error).__name__}: {what}"
    return f"This view cannot be shown ({named.rstrip(': ')})."


def describe(figure: go.Figure, text: str) -> go.Figure:
    """Give a figure its text alternative."""
    figure.update_layout(meta={"alternative": text})
    return figure


def alternative(figure: go.Figure) -> str:
    """What a figure shows, in words, for whoever does not see it; plain text."""
    return str(figure.layout.meta["alternative"])
