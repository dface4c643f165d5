"""What was confirmed: each network's accuracy, seed by seed, and how far below the winner it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import plotly.graph_objects as go

from bft_nas.core.units import format_macs
from bft_nas.dashboard._layers import REFERENCE
from bft_nas.dashboard._style import ACCENT, BUTTERFLY, DENSE, INK, describe, label_rows, layout, nothing
from bft_nas.record.standings import Standing, Verdict, lead_text, rival_texts

HOW_FAR_APART = (
    "Small dots are seeds, a large one is the mean as if a network had all of them; its bar is the 95 % interval of"
    " how far it is from the winner. Hollow ones, whose bars reach the winner's line, are not to be told apart from it."
)
NONE_CONFIRMED = "No winner was confirmed by longer trainings."
WITH_BUTTERFLIES, WITHOUT, KNOWN = "candidates with butterflies", "candidates without", "references"
COLOUR_OF = {WITH_BUTTERFLIES: BUTTERFLY, WITHOUT: DENSE, KNOWN: REFERENCE}
ROW = 26
AROUND = 130


def standings_figure(verdicts: Sequence[Verdict]) -> go.Figure:
    """The confirmed networks of each budget, the winner first, with intervals of how far apart they are.

    Args:
        verdicts: see `bft_nas.record.standings.verdicts_of`.
    """
    figure = go.Figure(layout=layout("standings"))
    if not verdicts:
        return nothing(figure, NONE_CONFIRMED)
    places = list(_placed(verdicts))
    rows = [(place, standing) for place, (_, standing) in enumerate(places) if standing is not None]
    for kind in COLOUR_OF:
        drawn = [(place, standing) for place, standing in rows if _kind(standing) == kind]
        if drawn:
            _draw(figure, drawn, kind)
    _draw_seeds(figure, rows)
    winners = [(place, standing) for place, standing in rows if standing.lead is None]
    _draw_winners(figure, winners)
    for (place, winner), verdict in zip(winners, verdicts, strict=True):
        at = 100 * winner.network.mean
        figure.add_shape(
            type="line",
            x0=at,
            x1=at,
            y0=place,
            y1=place + len(verdict.others) + 0.4,
            line={"color": ACCENT, "width": 1, "dash": "dot"},
            layer="below",
        )
    figure.update_layout(height=AROUND + ROW * len(places))
    figure.update_xaxes(title_text="accuracy of the confirmation", ticksuffix="%")
    label_rows(figure, [label for label, _ in places])
    return describe(figure, " ".join(map(_text, verdicts)))


def _placed(verdicts: Sequence[Verdict]) -> Iterator[tuple[str, Standing | None]]:
    """The label of each row and who is in it; over those of a budget there is one that names it."""
    for verdict in verdicts:
        yield f"<b>within {format_macs(verdict.budget)}</b>", None
        for standing in verdict.everyone:
            yield escape(standing.network.label), standing


def _kind(standing: Standing) -> str:
    if standing.network.number is None:
        return KNOWN
    return WITHOUT if standing.network.dense else WITH_BUTTERFLIES


def _draw(figure: go.Figure, drawn: list[tuple[int, Standing]], kind: str) -> None:
    colour = COLOUR_OF[kind]
    figure.add_trace(
        go.Scatter(
            x=[100 * standing.network.mean for _, standing in drawn],
            y=[place for place, _ in drawn],
            error_x={
                "array": [100 * _margin(standing) for _, standing in drawn],
                "color": colour,
                "thickness": 1.5,
                "width": 4,
            },
            name=kind,
            mode="markers",
            marker={
                "symbol": ["circle-open" if _may_be_equal(each) else "circle" for _, each in drawn],
                "size": 10,
                "color": colour,
                "line": {"width": 2, "color": colour},
            },
            customdata=[standing.network.number for _, standing in drawn],
            hovertext=[_hover(standing) for _, standing in drawn],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )


def _margin(standing: Standing) -> float:
    return 0.0 if standing.lead is None else standing.lead.margin or 0.0


def _may_be_equal(standing: Standing) -> bool:
    return standing.lead is not None and not standing.lead.told_apart


def _hover(standing: Standing) -> str:
    network = standing.network
    about = f"{format_macs(network.macs)} MACs, {escape(network.fusions)}"
    lead = f"the winner's lead: {lead_text(standing.lead)}" if standing.lead else "the winner"
    return f"<b>{escape(network.label)}</b> {standing.confirmed}<br>{about}<br>{escape(lead)}"


def _draw_seeds(figure: go.Figure, rows: Sequence[tuple[int, Standing]]) -> None:
    seeds = [
        (place, seed, accuracy)
        for place, standing in rows
        for seed, accuracy in sorted(standing.network.sample.items())
    ]
    figure.add_trace(
        go.Scatter(
            x=[100 * accuracy for _, _, accuracy in seeds],
            y=[place for place, _, _ in seeds],
            name="seeds",
            mode="markers",
            marker={"symbol": "circle", "size": 4, "color": INK},
            hovertext=[f"seed {seed}" for _, seed, _ in seeds],
            hovertemplate="%{hovertext}: %{x:.2f}<extra></extra>",
        )
    )


def _draw_winners(figure: go.Figure, winners: Sequence[tuple[int, Standing]]) -> None:
    figure.add_trace(
        go.Scatter(
            x=[100 * standing.network.mean for _, standing in winners],
            y=[place for place, _ in winners],
            name="winner",
            mode="markers",
            marker={"symbol": "circle-open", "size": 20, "color": ACCENT, "line": {"width": 2.5}},
            hoverinfo="skip",
        )
    )


def _text(verdict: Verdict) -> str:
    told = [f"{verdict.winner.network.label} has {verdict.winner.confirmed}", *rival_texts(verdict)]
    return f"Within {format_macs(verdict.budget)}: {'; '.join(told)}."
