"""What butterflies are worth in each family and in each of its stages: a point and its interval for each."""

from __future__ import annotations

from collections.abc import Collection
from html import escape

import pandas as pd
import plotly.graph_objects as go

from bft_nas.dashboard._style import BUTTERFLY, DENSE, INK, describe, label_rows, layout, nothing
from bft_nas.record.confirmed import Difference
from bft_nas.record.placement import LEAST_OF_A_FAMILY, Placement, placements
from bft_nas.record.standings import lead_text

WHAT_THEY_ARE_WORTH = (
    "By how much the accuracy of a family's candidates is higher with butterflies in every stage than in none, and in"
    " each stage whatever the others have: after the brief proxy training (unconfirmed), at equal MACs, by least"
    " squares with 95 % intervals. Beside a family's name stands how many of its candidates have butterflies. Where an"
    " interval holds 0, nothing is known of the sign."
)
ROW = 24
AROUND = 130


def placement_figure(results: pd.DataFrame, headed: Collection[str] = ()) -> go.Figure:
    """Points of accuracy that butterflies add, family by family: in every stage, and in each alone.

    Filled points are those whose 95 % interval does not hold 0.

    Args:
        results: see `bft_nas.record.run.Run.results`.
        headed: families whose last fusion is that of the head.
    """
    found = placements(results, headed)
    rows = [row for each in found for row in _rows(each)]
    figure = go.Figure(layout=layout("placement", height=AROUND + ROW * len(rows)))
    if not any(each.is_known for each in found):
        counts = ", ".join(f"{each.family} has {each.networks}" for each in found)
        text = f"A family needs {LEAST_OF_A_FAMILY} complete candidates that differ in their butterflies"
        return nothing(figure, f"{text}{f': {counts}' if counts else ''}.")
    for name, colour, apart in (
        ("more accurate with butterflies", BUTTERFLY, 1),
        ("less accurate", DENSE, -1),
        ("not to be told apart", INK, 0),
    ):
        drawn = [
            (place, label, worth)
            for place, (label, worth) in enumerate(rows)
            if worth is not None and (worth.told_apart and (1 if worth.mean > 0 else -1)) == apart
        ]
        if drawn:
            _draw(figure, drawn, name, colour, filled=apart != 0)
    for place, (_, worth) in enumerate(rows):
        if worth is None:
            figure.add_annotation(
                text="too few to tell",
                x=0,
                y=place,
                xanchor="left",
                xshift=6,
                showarrow=False,
                font={"size": 12},
            )
    figure.add_vline(x=0, line={"color": INK, "width": 1})
    figure.update_xaxes(title_text="points at equal MACs", tickformat="+")
    label_rows(figure, [label for label, _ in rows])
    return describe(figure, " ".join(f"{each.text}." for each in found))


def _rows(placement: Placement) -> list[tuple[str, Difference | None]]:
    """The family, and under it its stages where anything is known of them."""
    name = f"<b>{escape(placement.family)}</b> ({placement.with_butterflies} of {placement.networks})"
    stages = list(placement.stages.items())
    if not any(each for _, each in stages):
        stages = [("by stage", None)] if placement.whole else []
    return [(name, placement.whole), *stages]


def _draw(
    figure: go.Figure, drawn: list[tuple[int, str, Difference]], name: str, colour: str, *, filled: bool
) -> None:
    figure.add_trace(
        go.Scatter(
            x=[100 * worth.mean for _, _, worth in drawn],
            y=[place for place, _, _ in drawn],
            error_x={
                "array": [100 * (worth.margin or 0.0) for _, _, worth in drawn],
                "color": colour,
                "thickness": 1.5,
                "width": 4,
            },
            name=name,
            mode="markers",
            marker={
                "symbol": "circle" if filled else "circle-open",
                "size": 9,
                "color": colour,
                "line": {"width": 2, "color": colour},
            },
            hovertext=[f"{label}<br>{escape(lead_text(worth))}" for _, label, worth in drawn],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )
