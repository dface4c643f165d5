"""Where butterflies pay: over the front, which fusions each stage has, and of which radix its butterflies are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from bft_nas.core.units import format_macs, format_percent
from bft_nas.dashboard._style import BUTTERFLIES, axis, describe, layout, nothing
from bft_nas.dashboard.network import KINDS, bars_of, stage_name
from bft_nas.network import Architecture
from bft_nas.record.pareto import front_in

WHERE_THEY_ARE = (
    "A stage has the colour of the fusions that most of its MACs are spent in, and names all of them: numbers are the "
    "radices of butterflies, d is dense, g2 two groups, L4 low rank through a quarter of the channels. Below, the same "
    "fusions counted over the whole front."
)
# Pixels of a row of the map, and of everything but the map.
ROW = 26
AROUND = 440


def butterfly_figure(on_front: pd.DataFrame, architectures: Mapping[int, Architecture]) -> go.Figure:
    """A map over the front, a row a candidate and a column a stage, and under it the fusions of each stage.

    A cell names its fusions, and has the colour of those that most of their MACs are spent in. The bars count the same
    fusions over the whole front, and their legend is that of the cells.

    Args:
        on_front: what `bft_nas.record.pareto.front` returns.
        architectures: by number; candidates without one are left out.
    """
    known = on_front[on_front["number"].isin(list(architectures))] if len(on_front) else on_front
    figure = go.Figure(layout=layout("butterflies", height=AROUND + ROW * len(known)))
    if known.empty:
        return nothing(figure, "No candidate is on the front yet.")
    fusions = pd.concat([_fusions(number, architectures[number]) for number in known["number"]])
    stages = sorted(set(fusions["stage"]))
    names = [stage_name(stage) for stage in stages]
    colours = _colours(fusions)
    _draw_map(figure, known, fusions, stages, names, colours)
    _draw_kinds(figure, fusions, stages, names, colours)
    height = ROW * len(known) / (ROW * len(known) + 200)
    figure.update_layout(
        barmode="stack",
        bargap=0.25,
        xaxis={
            "type": "category",
            "side": "top",
            "showgrid": False,
            "tickangle": 0,
            "title": {"text": "stage"},
        },
        yaxis={
            "domain": [1 - height, 1],
            "showgrid": False,
            "ticklabelstandoff": 6,
            "type": "category",
            "title": {"text": f"front {timed}"} if (timed := front_in(known)) else None,
        },
        xaxis2=axis()
        | {"anchor": "y2", "matches": "x", "showgrid": False, "type": "category", "tickangle": 0},
        yaxis2=axis()
        | {
            "domain": [0, max(0.0, 1 - height - 0.06)],
            "anchor": "x2",
            "ticksuffix": "%",
            "range": [0, 100],
            "title": {"text": "of the fusions"},
        },
        legend={"y": -0.08, "yanchor": "top"},
        margin={"t": 56, "b": 90},
    )
    shares = fusions[fusions["kind"] == "butterfly"].groupby("stage").size() / fusions.groupby("stage").size()
    said = ", ".join(
        f"{name} {format_percent(share)}"
        for name, share in zip(names, shares.reindex(stages).fillna(0), strict=True)
    )
    return describe(
        figure,
        f"Butterflies over the {len(known)} candidates of the front, as a part of the fusions of each stage: {said}.",
    )


def _fusions(number: int, architecture: Architecture) -> pd.DataFrame:
    """One row a fusion: number, stage, kind of `KINDS`, the radix or other number that it has (0: none), MACs, and what
    it is called in the legend."""
    rows = [
        (number, bar.slot // 10_000, bar.kind, int(bar.text or 0), bar.macs, _called(bar.kind, bar.text))
        for bar in bars_of(architecture)
        if bar.fusion
    ]
    return pd.DataFrame(rows, columns=["number", "stage", "kind", "of", "macs", "called"])


def _called(kind: str, number: str) -> str:
    """Butterflies are told apart by their radix, the other kinds are one each."""
    return f"radix {number}" if kind == "butterfly" else kind


def _colours(fusions: pd.DataFrame) -> dict[str, str]:
    """The colours of the fusions that there are, by what they are called, in the order of the legend."""
    radices = sorted(set(fusions.loc[fusions["kind"] == "butterfly", "of"]))
    others = {kind: colour for kind, colour in KINDS.items() if kind in set(fusions["called"])}
    return others | {
        f"radix {radix}": BUTTERFLIES[rank % len(BUTTERFLIES)] for rank, radix in enumerate(radices)
    }


def _cell(fusions: pd.DataFrame) -> str:
    """The fusions of one stage of one candidate: radices alone, other kinds by their letter and number.

    Its capital tells the L of a low rank from a 1.
    """
    found = sorted(set(zip(fusions["kind"], fusions["of"], strict=True)))
    if all(kind == "dense" for kind, _ in found):
        return "dense"
    letters = {"butterfly": "", "low rank grouped": "L"}
    return "+".join(f"{letters.get(kind, kind[0])}{of or ''}" for kind, of in found)


def _draw_map(
    figure: go.Figure,
    known: pd.DataFrame,
    fusions: pd.DataFrame,
    stages: list[int],
    names: list[str],
    colours: Mapping[str, str],
) -> None:
    keys = ["number", "stage"]
    order = list(known["number"])

    def cells(values: pd.Series[Any]) -> pd.DataFrame:
        return values.unstack().reindex(index=order, columns=stages)

    of_butterflies = fusions["macs"].where(fusions["kind"] == "butterfly", 0)
    share = (
        100
        * of_butterflies.groupby([fusions[key] for key in keys]).sum()
        / fusions.groupby(keys)["macs"].sum()
    )
    spent = fusions.groupby([*keys, "called"])["macs"].sum().unstack().reindex(columns=list(colours))
    leading = pd.Series(np.nanargmax(spent.to_numpy(float), axis=1), index=spent.index)
    said = pd.Series({key: _cell(found) for key, found in fusions.groupby(keys)})
    texts = cells(said).fillna("")
    # A step a colour: its scale has each twice, at both ends.
    ends = [(at / len(colours), (at + 1) / len(colours)) for at in range(len(colours))]
    steps = [(end, colour) for both, colour in zip(ends, colours.values(), strict=True) for end in both]
    labels = [f"#{row['number']} {format_macs(row['macs'])}" for row in known.to_dict("records")]
    figure.add_trace(
        go.Heatmap(
            x=names,
            y=labels,
            z=cells(leading).to_numpy(float),
            zmin=-0.5,
            zmax=len(colours) - 0.5,
            colorscale=steps,
            showscale=False,
            text=texts.to_numpy(object),
            texttemplate="%{text}",
            textfont={"size": 11},
            xgap=3,
            ygap=3,
            customdata=[[number] * len(stages) for number in order],
            hovertext=cells(share).map("{:.0f}".format).to_numpy(object),
            hoverongaps=False,
            hovertemplate=(
                "<b>%{y}</b>, stage %{x}<br>fusions: %{text}<br>"
                "%{hovertext}% of the fusions' MACs in butterflies<extra></extra>"
            ),
        )
    )


def _draw_kinds(
    figure: go.Figure,
    fusions: pd.DataFrame,
    stages: list[int],
    names: list[str],
    colours: Mapping[str, str],
) -> None:
    counts = fusions.groupby(["stage", "called"]).size().unstack(fill_value=0).reindex(stages, fill_value=0)
    parts = 100 * counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    for name, colour in colours.items():
        figure.add_trace(
            go.Bar(
                x=names,
                y=parts[name].tolist(),
                xaxis="x2",
                yaxis="y2",
                name=name,
                marker={"color": colour},
                customdata=counts[name].tolist(),
                hovertemplate=f"stage %{{x}}: %{{customdata}} {name}<extra></extra>",
            )
        )
