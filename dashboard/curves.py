"""Learning curves: those of a few candidates over the pack of all others."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from bft_nas.core.units import format_percent
from bft_nas.dashboard._layers import percent
from bft_nas.dashboard._style import COLOURS, DASHES, INK, describe, layout, nothing

MOST = 500
HOVER = (
    "<b>#%{customdata[0]}</b>, epoch %{x}<br>%{y:.2f}% accuracy<br>"
    "training loss %{customdata[1]:.4g}<extra></extra>"
)


def curves_figure(curves: pd.DataFrame, *, highlighted: Sequence[int] = ()) -> go.Figure:
    """Validation accuracy after each epoch: a faint line a candidate, a strong one for each that is highlighted.

    Of more than `MOST` candidates, which would be one grey surface, the quantiles are drawn instead of the lines.

    Args:
        curves: the columns ``number``, ``epoch``, ``accuracy`` and ``train_loss``. May be empty.
        highlighted: the numbers of the candidates to draw strongly.
    """
    figure = go.Figure(layout=layout("curves"))
    figure.update_xaxes(title_text="Epoch")
    figure.update_yaxes(title_text="Validation accuracy", ticksuffix="%")
    if curves.empty:
        return nothing(figure, "No epoch has been recorded yet.")
    ordered = curves.sort_values(["number", "epoch"])
    # One tick an epoch as long as they are few; Plotly's own choice would put some between epochs.
    figure.update_xaxes(dtick=max(1, math.ceil(int(ordered["epoch"].max()) / 10)))
    strong = [number for number in dict.fromkeys(highlighted) if (ordered["number"] == number).any()]
    if ordered["number"].nunique() > MOST:
        _draw_quantiles(figure, ordered)
    else:
        _draw_all(figure, ordered)
    for rank, number in enumerate(strong):
        _draw_strong(figure, ordered[ordered["number"] == number], rank)
    return describe(figure, _alternative(ordered, strong))


def _alternative(curves: pd.DataFrame, strong: Sequence[int]) -> str:
    ends = curves.groupby("number").last()
    said = [
        f"candidate {number} reaches {format_percent(accuracy)} in epoch {epoch}"
        for number, accuracy, epoch in ends.loc[list(strong), ["accuracy", "epoch"]].itertuples()
    ]
    count = len(ends)
    return "; ".join(
        [f"Validation accuracy after each epoch of {count} candidate{'' if count == 1 else 's'}", *said]
    )


def _draw_all(figure: go.Figure, curves: pd.DataFrame) -> None:
    # One trace with gaps draws hundreds of candidates as quickly as one; a gap is a row before each first epoch.
    first = np.flatnonzero(curves["number"].diff().to_numpy() != 0)[1:]
    columns = ("epoch", "accuracy", "number", "train_loss")
    epochs, accuracies, numbers, losses = (
        np.insert(curves[name].to_numpy(np.float32), first, np.nan) for name in columns
    )
    figure.add_trace(
        go.Scatter(
            x=epochs,
            y=100 * accuracies,
            customdata=np.stack((numbers, losses), axis=1),
            name="all candidates",
            mode="lines",
            line={"color": INK, "width": 1},
            opacity=0.4,
            hovertemplate=HOVER,
        )
    )


def _draw_quantiles(figure: go.Figure, curves: pd.DataFrame) -> None:
    """Bands of nine candidates in ten and of every other one, around the median, of those that reached an epoch."""
    by_epoch = curves.groupby("epoch")["accuracy"]
    epochs = by_epoch.count().index.tolist()
    for name, low, high, opacity in (
        ("9 of 10 candidates", 0.05, 0.95, 0.2),
        ("half of them", 0.25, 0.75, 0.35),
    ):
        lower, upper = (100 * by_epoch.quantile(part) for part in (low, high))
        figure.add_trace(
            go.Scatter(
                x=[*epochs, *reversed(epochs)],
                y=[*upper, *reversed(lower.tolist())],
                name=name,
                mode="lines",
                fill="toself",
                fillcolor=INK,
                line={"width": 0},
                opacity=opacity,
                hoverinfo="skip",
            )
        )
    figure.add_trace(
        go.Scatter(
            x=epochs,
            y=(100 * by_epoch.median()).tolist(),
            customdata=[
                [100 * accuracy for accuracy in row]
                for row in zip(*(by_epoch.quantile(part) for part in (0.05, 0.25, 0.75, 0.95)), strict=True)
            ],
            name="median",
            mode="lines",
            line={"color": INK, "width": 1.5},
            hovertemplate=(
                "epoch %{x}: median %{y:.2f}%<br>half between %{customdata[1]:.2f}% and %{customdata[2]:.2f}%<br>"
                "9 of 10 between %{customdata[0]:.2f}% and %{customdata[3]:.2f}%<extra></extra>"
            ),
        )
    )


def _draw_strong(figure: go.Figure, rows: pd.DataFrame, rank: int) -> None:
    figure.add_trace(
        go.Scatter(
            x=rows["epoch"].tolist(),
            y=percent(rows),
            customdata=rows[["number", "train_loss"]].to_numpy(float),
            name=f"#{rows['number'].iloc[0]}",
            mode="lines+markers",
            line={"color": COLOURS[rank % len(COLOURS)], "dash": DASHES[rank % len(DASHES)], "width": 3},
            marker={"size": 7},
            hovertemplate=HOVER,
        )
    )
