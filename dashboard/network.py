"""One network as a drawn strip, two networks side by side, and what differs between them, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import accumulate
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import yaml

from bft_nas.dashboard._style import BUTTERFLY, DENSE, DEPTHWISE, GRID, GROUPED, INK, describe, layout, say
from bft_nas.network import Architecture, cost
from bft_nas.network.architecture import parse_fusion
from bft_nas.units import format_macs

KINDS = {"dense": DENSE, "butterfly": BUTTERFLY, "grouped": GROUPED, "depthwise": DEPTHWISE}
"""What the strip tells apart, and its colours; whatever is no fusion and not depthwise is dense."""
# In the order in which a block runs them.
PARTS = (
    "conv",
    "shortcut_depthwise",
    "shortcut_pointwise",
    "expand",
    "depthwise",
    "se.reduce",
    "se.expand",
    "pointwise",
    "project",
    "hidden",
    "classifier",
)
# The numbers of the stages before and behind those of the blocks, which no space has as many of.
STEM, HEAD = 0, 1000
LAYER_COLUMNS = ("slot", "layer", "kind", "text", "inputs", "outputs", "size", "kernel", "macs", "fusion")
# Between two layers, and of the narrowest stage that has its name under it, as parts of the width of all layers.
GAP = 0.004
LEAST_STAGE = 0.03
Slot = tuple[int, int, int]


def layers_of(architecture: Architecture) -> pd.DataFrame:
    """One row a layer, in the order in which they run; the columns are `LAYER_COLUMNS`.

    ``slot`` is equal for layers of two networks that stand at the same place: the stage, the block in it and its
    part, as numbers that sort. ``layer`` names it for people, ``kind`` is one of `KINDS`, ``text`` is what is written
    into its bar, ``size`` is in pixels, ``macs`` for one image, ``fusion`` whether it is one.
    """
    stages = _places(architecture)
    rows = []
    for layer in cost(architecture).layers:
        kind, number = parse_fusion(layer.fusion) if layer.fusion else ("dense", 1)
        kind = "depthwise" if layer.groups > 1 else kind
        first, _, rest = layer.name.partition(".")
        part = layer.name if first == "classifier" else rest
        if first == "blocks":
            index, _, part = rest.partition(".")
            stage, place = stages[int(index)]
            where = f"stage {stage}, block {place + 1}, "
        else:
            stage, place = STEM if first == "stem" else HEAD, 0
            where = "" if first == "classifier" else f"{first}, "
        rows.append(
            (
                (stage, place, PARTS.index(part)),
                where + part.replace("_", " ").replace("se.", "squeeze-excite "),
                kind,
                str(number) if kind in ("butterfly", "grouped") else "",
                layer.in_channels,
                layer.out_channels,
                layer.size,
                layer.kernel,
                layer.macs,
                layer.fusion is not None,
            )
        )
    return pd.DataFrame(rows, columns=list(LAYER_COLUMNS))


def strip_figure(architecture: Architecture) -> go.Figure:
    """A network as a strip, one bar a layer: wider with more channels, MACs high, coloured by what mixes its channels.

    >>> from bft_nas.network import reference
    >>> len({trace.name for trace in strip_figure(reference("mobilenet_v1")).data} & set(KINDS)) > 1
    True
    """
    layers = layers_of(architecture)
    total = int(layers["macs"].sum())
    figure = go.Figure(layout=layout("strip", height=340))
    _draw_strips(figure, [layers])
    butterflies = layers[layers["kind"] == "butterfly"]
    return describe(
        figure,
        f"{architecture.family} at {architecture.resolution} pixels, {format_macs(total)} MACs in {len(layers)} layers,"
        f" {len(butterflies)} of them butterflies with {butterflies['macs'].sum() / total:.0%} of the MACs."
        f" Fusions stage by stage: {architecture.fusion_pattern}.",
    )


def comparison_figure(
    a: Architecture, b: Architecture, *, names: tuple[str, str] = ("above", "below")
) -> go.Figure:
    """Two networks as strips that face each other, layers of the same place across from each other.

    Args:
        a: drawn upwards.
        b: drawn downwards.
        names: what to call them, plain text.
    """
    tables = [layers_of(a), layers_of(b)]
    figure = go.Figure(layout=layout("comparison", height=460))
    _draw_strips(figure, tables)
    for name, y, anchor in zip(names, (1, 0), ("top", "bottom"), strict=True):
        figure.add_annotation(
            text=f"<b>{escape(name)}</b>", x=0, y=y, xref="paper", yref="paper", xanchor="left", yanchor=anchor,
            showarrow=False, font={"size": 14},
        )  # fmt: skip
    different = differences(a, b)
    if different.empty:
        say(figure, "The two are the same network.")
    totals = [format_macs(int(table["macs"].sum())) for table in tables]
    return describe(
        figure,
        f"{names[0]}: {a.family}, {totals[0]} MACs. {names[1]}: {b.family}, {totals[1]} MACs."
        f" {len(different)} layers differ.",
    )


def differences(a: Architecture, b: Architecture) -> pd.DataFrame:
    """The layers that differ between two networks, or that only one has, in order.

    The columns: ``layer``, ``a`` and ``b`` (what it is in either, empty where there is none), ``macs_a``, ``macs_b``
    and ``difference`` (MACs of b less those of a).
    """
    merged = (
        layers_of(a).merge(layers_of(b), on="slot", how="outer", suffixes=("_a", "_b")).sort_values("slot")
    )
    rows = []
    for row in merged.to_dict("records"):
        texts, macs = zip(*(_side(row, side) for side in ("a", "b")), strict=True)
        if texts[0] != texts[1]:
            layer = row["layer_a"] if texts[0] else row["layer_b"]
            rows.append((layer, *texts, *macs, macs[1] - macs[0]))
    return pd.DataFrame(rows, columns=["layer", "a", "b", "macs_a", "macs_b", "difference"])


def architecture_yaml(architecture: Architecture) -> str:
    """An architecture as YAML for people, a line a block; `Architecture.from_dict` takes it back.

    >>> from bft_nas.network import reference
    >>> net = reference("mobilenet_v1")
    >>> Architecture.from_dict(yaml.safe_load(architecture_yaml(net))) == net
    True
    """
    content = architecture.to_dict()
    blocks = content.pop("blocks")
    lines = [f"{key}: {_flow(value)}" for key, value in content.items()]
    return "\n".join([*lines, "blocks:", *(f"- {_flow(block)}" for block in blocks)]) + "\n"


def stage_name(stage: int) -> str:
    """What a stage is called under a figure."""
    return {STEM: "stem", HEAD: "head"}.get(stage, str(stage))


def _flow(value: object) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6)
    return text.strip().removesuffix("...").strip()


def _places(architecture: Architecture) -> list[tuple[int, int]]:
    """The stage of each block, counted from one, and its place within the stage, counted from zero."""
    seen: dict[int, int] = {}
    places = []
    for block in architecture.blocks:
        seen[block.stage] = seen.get(block.stage, -1) + 1
        places.append((block.stage + 1, seen[block.stage]))
    return places


def _side(row: Mapping[Any, Any], side: str) -> tuple[str, int]:
    if pd.isna(row[f"layer_{side}"]):
        return "", 0
    inputs, outputs, size, kernel, macs = (
        int(row[f"{name}_{side}"]) for name in ("inputs", "outputs", "size", "kernel", "macs")
    )
    kind = f"{row[f'kind_{side}']} {row[f'text_{side}']}".strip()
    how = f"{kind}, {kernel}x{kernel}" if kernel > 1 else kind
    return f"{inputs} to {outputs}, {how}, {size}x{size}", macs


def _draw_strips(figure: go.Figure, tables: Sequence[pd.DataFrame]) -> None:
    """One strip upwards, or two that face each other."""
    slots = sorted({slot for table in tables for slot in table["slot"]})
    widths = dict.fromkeys(slots, 0.0)
    for table in tables:
        for slot, outputs in zip(table["slot"], table["outputs"], strict=True):
            widths[slot] = max(widths[slot], math.sqrt(outputs))
    gap = GAP * sum(widths.values())
    edges = list(accumulate((widths[slot] + gap for slot in slots), initial=0.0))
    lefts = dict(zip(slots, edges, strict=False))
    for kind, colour in KINDS.items():
        signed = [table.assign(sign=sign) for table, sign in zip(tables, (1, -1), strict=False)]
        rows = pd.concat([table[table["kind"] == kind] for table in signed])
        figure.add_trace(
            go.Bar(
                x=[lefts[slot] + widths[slot] / 2 for slot in rows["slot"]],
                y=(rows["macs"] * rows["sign"] / 1e6).tolist(),
                width=[math.sqrt(outputs) for outputs in rows["outputs"]],
                name=kind,
                visible=bool(len(rows)),
                text=rows["text"].tolist(),
                textposition="outside",
                textangle=0,
                constraintext="none",
                textfont={"size": 11},
                cliponaxis=False,
                marker={"color": colour, "line": {"width": 0}},
                customdata=rows[["layer", "inputs", "outputs", "size", "kernel", "macs"]].to_numpy(object),
                hovertemplate=(
                    f"<b>%{{customdata[0]}}</b><br>{kind} %{{text}}<br>"
                    "%{customdata[1]} to %{customdata[2]} channels, %{customdata[4]}x%{customdata[4]}<br>"
                    "at %{customdata[3]}x%{customdata[3]} pixels<br>%{customdata[5]:,} MACs<extra></extra>"
                ),
            )
        )
    _draw_stages(figure, slots, edges)
    ups, downs = ([*(table["macs"].max() for table in tables), 0] + [0])[:2]
    ticks = _ticks(-downs / 1e6, ups / 1e6)
    figure.update_yaxes(
        tickvals=ticks, ticktext=[f"{abs(tick):g}M" if tick else "0" for tick in ticks], title_text="MACs"
    )
    figure.update_xaxes(range=[0, edges[-1]], title_text="stage; bars as wide as √channels")
    figure.update_layout(barmode="overlay", bargap=0)
    if len(tables) > 1:
        figure.add_hline(y=0, line={"color": INK, "width": 1})


def _draw_stages(figure: go.Figure, slots: Sequence[Slot], edges: Sequence[float]) -> None:
    """A line where each stage begins, and its number in the middle where there is room for it."""
    starts = [at for at, slot in enumerate(slots) if at == 0 or slot[0] != slots[at - 1][0]]
    ends = [*starts[1:], len(slots)]
    middles = [(edges[start] + edges[end]) / 2 for start, end in zip(starts, ends, strict=True)]
    names = [stage_name(slots[start][0]) for start in starts]
    wide = [
        edges[end] - edges[start] > LEAST_STAGE * edges[-1] for start, end in zip(starts, ends, strict=True)
    ]
    figure.update_xaxes(
        tickvals=[middle for middle, room in zip(middles, wide, strict=True) if room],
        ticktext=[name for name, room in zip(names, wide, strict=True) if room],
        tickangle=0,
        showgrid=False,
    )
    for start in starts[1:]:
        figure.add_vline(
            x=edges[start] - GAP * edges[-1] / 2, line={"color": GRID, "width": 1}, layer="below"
        )


def _ticks(low: float, high: float) -> list[float]:
    """About six round numbers from one end to the other."""
    step = float(f"{max(high - low, 1e-9) / 6:.0e}")
    return [step * place for place in range(math.floor(low / step), math.ceil(high / step) + 1)]
