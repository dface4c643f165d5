"""Learning curves: those of a few candidates over the pack of all others."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from bft_nas.dashboard._layers import percent
from bft_nas.dashboard._style import COLOURS, DASHES, INK, describe, layout, nothing, scatter
from bft_nas.units import format_percent

HOVER = (
    "<b>#%{customdata[0]}</b>, epoch %{x}<br>%{y:.2f}% accuracy<br>"
    "training loss %{customdata[1]:.4g}<extra></extra>"
)


def curves_figure(curves: pd.DataFrame, *, highlighted: Sequence[int] = ()) -> go.Figure:
    """Validation accuracy after each epoch: a faint line a candidate, a strong one for each that is highlighted.

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
    _draw_all(figure, ordered)
    for rank, number in enumerate(strong):
        _draw_strong(figure, ordered[ordered["number"] == number], rank)
    return describe(figure, _alternative(ordered, strong))


def _alternative(curves: pd.DataFrame, strong: Sequence[int]) -> str:
    ends = curves.groupby("number").last()
    told = [
        f"candidate {number} comes to {format_percent(accuracy)} in epoch {epoch}"
        for number, accuracy, epoch in ends.loc[list(strong), ["accuracy", "epoch"]].itertuples()
    ]
    count = len(ends)
    return "; ".join(
        [f"Validation accuracy after each epoch of {count} candidate{'' if count == 1 else 's'}", *told]
    )


def _draw_all(figure: go.Figure, curves: pd.DataFrame) -> None:
    # One trace with gaps draws thousands of candidates as quickly as one; a gap is a row before each first epoch.
    first = np.flatnonzero(curves["number"].diff().to_numpy() != 0)[1:]
    columns = ("epoch", "accuracy", "number", "train_loss")
    epochs, accuracies, numbers, losses = (
        np.insert(curves[name].to_numpy(np.float32), first, np.nan) for name in columns
    )
    figure.add_trace(
        scatter(len(curves))(
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
