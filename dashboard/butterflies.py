"""Where butterflies pay: over the front, what part of each stage they have, and of which radix they are."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from bft_nas.core.units import format_macs, format_percent
from bft_nas.dashboard._style import BUTTERFLIES, SHARE_SCALE, axis, describe, layout, nothing
from bft_nas.dashboard.network import KINDS, bars_of, stage_name
from bft_nas.network import Architecture
from bft_nas.record.pareto import front_in

# Pixels of a row of the map, and of everything but the map.
ROW = 26
AROUND = 440


def butterfly_figure(on_front: pd.DataFrame, architectures: Mapping[int, Architecture]) -> go.Figure:
    """A map over the front, a row a candidate and a column a stage, and under it the fusions of each stage.

    A cell's colour is the part of its fusions' MACs that is spent in butterflies, its text their radix, with what else
    is not dense as `short_fusion` has it. The bars count the same fusions over the whole front.

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
    _draw_map(figure, known, fusions, stages, names)
    _draw_kinds(figure, fusions, stages, names)
    height = ROW * len(known) / (ROW * len(known) + 200)
    figure.update_layout(
        barmode="stack",
        bargap=0.25,
        coloraxis={"colorscale": SHARE_SCALE, "cmin": 0, "cmax": 100, "showscale": False},
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
    """One row a fusion: number, stage, kind of `KINDS`, the radix or other number that it has (0: none) and MACs."""
    rows = [
        (number, bar.slot // 10_000, bar.kind, int(bar.text or 0), bar.macs)
        for bar in bars_of(architecture)
        if bar.fusion
    ]
    return pd.DataFrame(rows, columns=["number", "stage", "kind", "of", "macs"])


def _cell(fusions: pd.DataFrame) -> str:
    """The fusions of one stage of one candidate: radices alone, other numbers behind the letter of their kind."""
    found = sorted({(kind, of) for kind, of in zip(fusions["kind"], fusions["of"], strict=True) if of})
    return "+".join(f"{'' if kind == 'butterfly' else kind[0]}{of}" for kind, of in found) or "dense"


def _draw_map(
    figure: go.Figure, known: pd.DataFrame, fusions: pd.DataFrame, stages: list[int], names: list[str]
) -> None:
    keys = ["number", "stage"]
    of_butterflies = fusions["macs"].where(fusions["kind"] == "butterfly", 0)
    share = (
        100
        * of_butterflies.groupby([fusions[key] for key in keys]).sum()
        / fusions.groupby(keys)["macs"].sum()
    )
    said = pd.Series({key: _cell(found) for key, found in fusions.groupby(keys)})
    order = list(known["number"])
    cells = share.unstack().reindex(index=order, columns=stages)
    texts = said.unstack().reindex(index=order, columns=stages).fillna("")
    labels = [f"#{row['number']} {format_macs(row['macs'])}" for row in known.to_dict("records")]
    figure.add_trace(
        go.Heatmap(
            x=names,
            y=labels,
            z=cells.to_numpy(float),
            text=texts.to_numpy(object),
            texttemplate="%{text}",
            textfont={"size": 11},
            coloraxis="coloraxis",
            xgap=3,
            ygap=3,
            customdata=[[number] * len(stages) for number in order],
            hoverongaps=False,
            hovertemplate=(
                "<b>%{y}</b>, stage %{x}<br>fusions: %{text}<br>"
                "%{z:.0f}% of the fusions' MACs in butterflies<extra></extra>"
            ),
        )
    )


def _draw_kinds(figure: go.Figure, fusions: pd.DataFrame, stages: list[int], names: list[str]) -> None:
    # Butterflies are told apart by their radix, the other kinds are one each.
    told = fusions.assign(of=fusions["of"].where(fusions["kind"] == "butterfly", 0))
    counts = told.groupby(["stage", "kind", "of"]).size().unstack(["kind", "of"], fill_value=0)
    counts = counts.reindex(stages, fill_value=0)
    parts = 100 * counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    radices = sorted(told.loc[told["kind"] == "butterfly", "of"].unique().tolist())
    others = [(kind, 0) for kind in KINDS if (kind, 0) in counts]
    for kind, of in (*others, *(("butterfly", radix) for radix in radices)):
        name = f"radix {of}" if of else kind
        figure.add_trace(
            go.Bar(
                x=names,
                y=parts[kind, of].tolist(),
                xaxis="x2",
                yaxis="y2",
                name=name,
                marker={"color": BUTTERFLIES[radices.index(of) % len(BUTTERFLIES)] if of else KINDS[kind]},
                customdata=counts[kind, of].tolist(),
                hovertemplate=f"stage %{{x}}: %{{customdata}} {name}<extra></extra>",
            )
        )
