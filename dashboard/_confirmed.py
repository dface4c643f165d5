"""What the confirmation and the references say, in tables and in the front."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from bft_nas.core.units import format_epochs, format_macs
from bft_nas.dashboard._layers import REFERENCE, scaled
from bft_nas.dashboard._style import ACCENT
from bft_nas.record.columns import Column, column_named
from bft_nas.record.standings import Verdict

WHAT_IS_CONFIRMED = (
    "The most promising candidates, the best one without butterflies and the references were trained longer, with"
    " several seeds: mean and standard error. A lead has its 95 % interval; where that holds 0, the two networks are"
    " not to be told apart."
)
WHAT_IS_LEFT = "Candidates that were behind after half of it went no further."
HOW_REFERENCES_ARE_TRAINED = (
    "Known networks, trained under the protocol of the candidates; the width of each is solved to be the largest"
    " within the budget."
)


def what_is_confirmed(verdicts: Sequence[Verdict]) -> str:
    """What stands over all of them."""
    left = any(verdict.left for verdict in verdicts)
    return f"{WHAT_IS_CONFIRMED} {WHAT_IS_LEFT}" if left else WHAT_IS_CONFIRMED


def sentence(text: str) -> str:
    """Words of `bft_nas.dashboard._run_data.RunData.control` that stand alone."""
    return f"{text[:1].upper()}{text[1:]}."


def ranked_references(references: pd.DataFrame) -> pd.DataFrame:
    """The rows for a table: those of a budget together, the most accurate first."""
    return references.sort_values(["budget", "accuracy", "name"], ascending=[True, False, True])


def confirmed_title(verdict: Verdict) -> str:
    """What stands over its rows."""
    network = verdict.winner.network
    epochs = format_epochs(network.epochs)
    return f"Confirmed within {format_macs(verdict.budget)}: {epochs}, protocol {network.protocol}"


def confirmed_points(*frames: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of results and references that were confirmed, with an error of 0 where it is not known."""
    found = []
    for frame in frames:
        kept = frame[frame["confirmed"].notna()] if "confirmed" in frame else frame.head(0)
        found.append(kept.assign(confirmed_error=kept["confirmed_error"].fillna(0.0)) if len(kept) else kept)
    return found


def confirmed_reach(points: Sequence[pd.DataFrame]) -> list[float]:
    """The ends of the error bars."""
    shown = [rows for rows in points if len(rows)]
    return [
        float(end)
        for rows in shown
        for sign in (-1, 1)
        for end in rows["confirmed"] + sign * rows["confirmed_error"]
    ]


def draw_confirmed(
    figure: go.Figure, candidates: pd.DataFrame, references: pd.DataFrame, across: Column
) -> None:
    """Means with their errors, marked as what they are: of another protocol than all other points."""
    for rows, name, colour in (
        (candidates, "confirmed, trained longer", ACCENT),
        (references, "references, confirmed", REFERENCE),
    ):
        if rows.empty:
            continue
        labels = [f"#{row}" for row in rows["number"]] if "number" in rows else rows["name"].tolist()
        cells = [column_named("confirmed").cell(row) for row in rows.to_dict("records")]
        figure.add_trace(
            go.Scatter(
                x=scaled(rows, across),
                y=[100 * float(value) for value in rows["confirmed"]],
                error_y={
                    "array": [100 * float(value) for value in rows["confirmed_error"]],
                    "color": colour,
                    "thickness": 1.5,
                    "width": 4,
                },
                name=name,
                legendgroup="confirmed" if "number" in rows else "references",
                mode="markers",
                marker={"symbol": "diamond-open", "size": 10, "color": colour, "line": {"width": 2}},
                customdata=rows["number"].tolist() if "number" in rows else None,
                hovertext=[f"<b>{label}</b> {cell}" for label, cell in zip(labels, cells, strict=True)],
                hovertemplate="%{hovertext}<br>confirmed under a longer protocol<extra></extra>",
            )
        )
