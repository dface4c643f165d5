"""Plotly figures of a run: accuracy against MACs with the front, and the learning curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from bft_nas.dashboard._canvas import WIDTH, Canvas
from bft_nas.dashboard._layers import (
    draw_published,
    draw_references,
    millions,
    names_width,
    network_text,
    percent,
)
from bft_nas.pareto import complete, front, winners
from bft_nas.units import format_macs

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
# Of a contrast that reads on white as well as on near-black: a figure does not know what it stands on.
INK = "#7b828c"
GRID = "rgba(128, 134, 144, 0.22)"
ACCENT = "#e4572e"
# Viridis without its ends, which would vanish on a dark and on a light page.
SHARE_SCALE = ((0.0, "#443a83"), (0.25, "#31688e"), (0.5, "#21918c"), (0.75, "#35b779"), (1.0, "#a5db36"))
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "cross", "star")
# Okabe and Ito's colours, told apart with any colour vision; those too dark or too pale for a page left out.
WINNER_COLOURS = (ACCENT, "#3b8fd0", "#009e73", "#cc79a7", "#e69f00")
# Leading digits, in tenths, of the ticks on a log axis: the first that give enough of them are taken.
TICKS = (
    (10,),
    (10, 20, 50),
    (10, 20, 30, 50),
    (10, 15, 20, 30, 40, 50, 70),
    range(10, 100, 5),
    range(10, 100, 2),
    range(10, 100),
)
WINNER_DASHES = ("solid", "dash", "dot", "dashdot")


def front_figure(
    results: pd.DataFrame,
    budgets: Sequence[int],
    *,
    title: str,
    references: pd.DataFrame | None = None,
    published: pd.DataFrame | None = None,
    show_published: bool = False,
) -> go.Figure:
    """Validation accuracy against MACs: every complete candidate, the front, the budgets and their winners.

    The axes show the run: published results outside of its MACs are there for whoever zooms out.

    Args:
        results: one row a candidate; failed ones are counted in the subtitle. May be empty.
        budgets: MACs, one dashed line each.
        title: plain text; empty for a figure that stands under a heading of its own.
        references: networks trained under the same protocol, one row a reference and budget, with a ``name``
            beside the columns of ``results``. Failed ones are not drawn.
        published: what `bft_nas.published.published_results` returns, drawn on an axis of its own at the right.
        show_published: from the start. Otherwise a click in the legend shows these results; the page has to
            make ``yaxis2`` visible along with them, as the report does.
    """
    references = pd.DataFrame() if references is None else references
    candidates, trained = complete(results), complete(references)
    figure = go.Figure(layout=_layout(title, candidates_text(results)))
    _draw_budgets(figure, budgets)
    if candidates.empty:
        _say(figure, _nothing_text(results))
    else:
        _draw_front(figure, front(results))
        _draw_candidates(figure, candidates)
        _draw_winners(figure, winners(results, budgets))
    low, high = _ends([*candidates.get("macs", ()), *trained.get("macs", ()), *budgets])
    if not trained.empty:
        high *= (high / low) ** (names_width(trained) / WIDTH)
    accuracies = [0.0, 1.0] if candidates.empty else [*candidates["accuracy"], *trained.get("accuracy", ())]
    canvas = Canvas((low, high), (min(accuracies), max(accuracies)))
    canvas.take(_points(candidates))
    canvas.take_steps(_points(front(results)))
    if not trained.empty:
        draw_references(figure, trained, canvas)
    if published is not None:
        draw_published(figure, published, canvas, shown=show_published)
    ticks = _log_ticks(low, high)
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
    figure.update_layout(yaxis_title_text="Validation accuracy", yaxis_ticksuffix="%")
    return figure


def learning_curves_figure(
    curves: pd.DataFrame, *, winning: Sequence[int] = (), title: str = ""
) -> go.Figure:
    """Validation accuracy after each epoch: a faint line a candidate, a strong one for each winner.

    Args:
        curves: the columns ``number``, ``epoch``, ``accuracy`` and ``train_loss``. May be empty.
        winning: the numbers of the candidates to draw strongly.
        title: plain text; empty for a figure that stands under a heading of its own.
    """
    figure = go.Figure(layout=_layout(title, ""))
    figure.update_xaxes(title_text="Epoch")
    figure.update_yaxes(title_text="Validation accuracy", ticksuffix="%")
    if curves.empty:
        _say(figure, "No epoch has been recorded yet.")
        figure.update_xaxes(range=[0, 1], tickvals=[0, 1])
        return figure
    ordered = curves.sort_values(["number", "epoch"])
    # One tick an epoch as long as they are few; Plotly's own choice would put some between epochs.
    figure.update_xaxes(dtick=max(1, math.ceil(int(ordered["epoch"].max()) / 10)))
    strong = [number for number in dict.fromkeys(winning) if (ordered["number"] == number).any()]
    _draw_faint_curves(figure, ordered[~ordered["number"].isin(strong)])
    for rank, number in enumerate(strong):
        _draw_strong_curve(figure, ordered[ordered["number"] == number], rank)
    return figure


def candidates_text(results: pd.DataFrame) -> str:
    """How many candidates there are, and how many of them are complete, stopped early and failed, in words."""
    if results.empty:
        return "no candidates"
    done = len(complete(results))
    trained = f"{done} candidate{'' if done == 1 else 's'} trained"
    return ", ".join([trained, *(f"{text} (not drawn)" for text in _incomplete(results))])


def _incomplete(results: pd.DataFrame) -> list[str]:
    states = {"stopped": "stopped early", "failed": "failed"}
    counts = {text: int((results["state"] == state).sum()) for state, text in states.items()}
    return [f"{count} {text}" for text, count in counts.items() if count]


def _nothing_text(results: pd.DataFrame) -> str:
    if results.empty:
        return "No candidates yet."
    return f"No candidate is complete: {', '.join(_incomplete(results))}."


def _points(rows: pd.DataFrame) -> list[tuple[float, float]]:
    return [(row["macs"] / 1e6, row["accuracy"]) for row in rows.to_dict("records")]


def _say(figure: go.Figure, text: str) -> None:
    """Words in place of the points that an empty figure lacks."""
    figure.add_annotation(
        text=text, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font={"size": 15}
    )
    figure.update_yaxes(range=[0, 100])


def _layout(title: str, subtitle: str) -> go.Layout:
    # Heights are fixed and widths are not: the page decides how wide a figure is.
    return go.Layout(
        template="none",
        title={
            "text": escape(title),
            "subtitle": {"text": escape(subtitle)},
            "x": 0,
            "xref": "paper",
            "yref": "container",
            "y": 0.97,
        }
        if title
        else None,
        font={"family": FONT, "size": 13, "color": INK},
        paper_bgcolor="rgba(0, 0, 0, 0)",
        plot_bgcolor="rgba(0, 0, 0, 0)",
        height=640 if title else 560,
        margin={"l": 64, "r": 16, "t": 124 if title else 64, "b": 56},
        xaxis=_axis(),
        yaxis=_axis(),
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.06,
            "yanchor": "bottom",
            "font": {"size": 12},
        },
        modebar={"bgcolor": "rgba(0, 0, 0, 0)", "color": INK, "activecolor": ACCENT},
        hovermode="closest",
        hoverlabel={
            "bgcolor": "#20252c",
            "bordercolor": "#20252c",
            "font": {"color": "#f4f5f7", "family": FONT},
            "align": "left",
        },
    )


def _axis() -> dict[str, Any]:
    return {
        "gridcolor": GRID,
        "linecolor": INK,
        "zeroline": False,
        "showline": False,
        "ticks": "",
        "automargin": True,
        "title": {"standoff": 12},
    }


def _ends(macs: Sequence[int]) -> tuple[float, float]:
    """The ends of a log axis in millions, with room on both sides of whatever is drawn."""
    positive = [float(value) / 1e6 for value in macs if value > 0] or [10.0, 100.0]
    low, high = min(positive), max(positive)
    room = max((high / low) ** 0.06, 1.1)
    return low / room, high * room


def _log_ticks(low: float, high: float) -> list[float]:
    """Round numbers between two ends, at least five: Plotly labels all but powers of ten with one digit."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    ticks: list[float] = []
    for leading in TICKS:
        ticks = [digits * 10**decade / 10 for decade in decades for digits in leading]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 5:
            break
    return ticks


def _draw_budgets(figure: go.Figure, budgets: Sequence[int]) -> None:
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


def _draw_front(figure: go.Figure, on_front: pd.DataFrame) -> None:
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


def _draw_candidates(figure: go.Figure, candidates: pd.DataFrame) -> None:
    figure.update_layout(
        coloraxis={
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
        },
        margin_b=130,
    )
    for rank, (family, rows) in enumerate(candidates.groupby("family")):
        symbol = SYMBOLS[rank % len(SYMBOLS)]
        figure.add_trace(
            go.Scatter(
                x=millions(rows),
                y=percent(rows),
                name=escape(str(family)),
                legendgroup=str(rank),
                showlegend=False,
                mode="markers",
                marker={
                    "symbol": symbol,
                    "size": 10,
                    "color": (100 * rows["butterfly_share"]).tolist(),
                    "coloraxis": "coloraxis",
                    "line": {"color": INK, "width": 1},
                },
                customdata=rows["number"].tolist(),
                hovertext=[_hover_text(row) for row in rows.to_dict("records")],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )
        # The legend tells shapes apart, not colours, so its markers have the colour of the text.
        figure.add_trace(
            go.Scatter(
                x=[None],
                y=[None],
                name=escape(str(family)),
                legendgroup=str(rank),
                mode="markers",
                marker={"symbol": symbol, "size": 10, "color": INK},
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


def _draw_faint_curves(figure: go.Figure, curves: pd.DataFrame) -> None:
    if curves.empty:
        return
    # One trace with gaps draws hundreds of candidates as quickly as one.
    epochs: list[int | None] = []
    accuracies: list[float | None] = []
    texts: list[str] = []
    for _, rows in curves.groupby("number"):
        epochs += [*rows["epoch"].tolist(), None]
        accuracies += [*percent(rows), None]
        texts += [*(_epoch_text(row) for row in rows.to_dict("records")), ""]
    figure.add_trace(
        go.Scatter(
            x=epochs,
            y=accuracies,
            name="the others" if curves["number"].nunique() > 1 else "the other",
            mode="lines",
            line={"color": INK, "width": 1},
            opacity=0.4,
            hovertext=texts,
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )


def _draw_strong_curve(figure: go.Figure, rows: pd.DataFrame, rank: int) -> None:
    figure.add_trace(
        go.Scatter(
            x=rows["epoch"].tolist(),
            y=percent(rows),
            name=f"#{rows['number'].iloc[0]}",
            mode="lines+markers",
            line={
                "color": WINNER_COLOURS[rank % len(WINNER_COLOURS)],
                "dash": WINNER_DASHES[rank % len(WINNER_DASHES)],
                "width": 3,
            },
            marker={"size": 7},
            hovertext=[_epoch_text(row) for row in rows.to_dict("records")],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )


def _hover_text(row: Mapping[Any, Any]) -> str:
    # Long patterns are broken, or the label would not fit on a telephone.
    stages = [escape(stage) for stage in str(row["fusions"]).split()]
    pattern = "<br>".join(" ".join(stages[start : start + 8]) for start in range(0, len(stages), 8))
    return f"<b>#{row['number']}</b> {escape(str(row['family']))}<br>{network_text(row)}<br>{pattern}"


def _epoch_text(row: Mapping[Any, Any]) -> str:
    return (
        f"<b>#{row['number']}</b>, epoch {row['epoch']}<br>"
        f"{row['accuracy']:.2%} accuracy<br>training loss {row['train_loss']:.4g}"
    )
