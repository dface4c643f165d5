"""One network as a drawn strip, two networks facing each other, and what differs between them, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from itertools import accumulate
from typing import NamedTuple

import pandas as pd
import plotly.graph_objects as go
import yaml

from bft_nas.core.units import format_macs, format_pixels
from bft_nas.dashboard import _style as style
from bft_nas.dashboard._style import axis, describe, layout, say
from bft_nas.network import DENSE, Architecture, Block, Head, Stem, cost
from bft_nas.network.blocks import PARTS, written

KINDS = {
    "dense": style.DENSE,
    "butterfly": style.BUTTERFLY,
    "grouped": style.GROUPED,
    "low rank grouped": style.LOW_RANK,
    "depthwise": style.DEPTHWISE,
}
"""What the strip distinguishes, and its colours; whatever is no fusion and not depthwise is dense."""
END_PARTS = {"down": "first conv", "conv": "conv", "hidden": "hidden", "classifier": "classifier"}
"""The parts of the stem and the head in the order in which they run, and what people call them."""
POINT = "1x1"
# The stages before and behind those of the blocks, of which no space has as many.
STEM, HEAD = 0, 1000
# Between two layers, as a part of the width of all.
GAP = 0.004
# Above the highest bar there is room for its radix.
ROOM = 1.12
# Of two strips that face each other, the least part of the height that one has.
LEAST_SIDE = 0.25


class Bar(NamedTuple):
    """One layer, as the strip draws it."""

    slot: int
    """Equal for layers of two networks that stand at the same place, rising from the first to the last: the stage
    times 10000, the block in it times 100 and its part."""
    layer: str
    """Its place for people."""
    kind: str
    """One of `KINDS`."""
    text: str
    """What is written above it: the number of its fusion, such as the radix of a butterfly."""
    inputs: int
    """Channels."""
    outputs: int
    size: str
    """Height and width of the output in pixels."""
    kernel: str
    """Its height and width."""
    macs: int
    """For one image."""
    fusion: bool
    """Whether it mixes channels by a choice of the space."""


def bars_of(architecture: Architecture) -> list[Bar]:
    """The layers of a network in the order in which they run.

    >>> from bft_nas.network import reference
    >>> [bar.layer for bar in bars_of(reference("mobilenet_v1"))[:3]]
    ['stem, conv', 'stage 1, block 1, depthwise', 'stage 1, block 1, pointwise']
    """
    stages = _places(architecture)
    ends = tuple(END_PARTS)
    bars = []
    for layer in cost(architecture).layers:
        first, _, rest = layer.name.partition(".")
        if first == "blocks":
            index, _, part = rest.partition(".")
            stage, place = stages[int(index)]
            where = f"stage {stage}, block {place + 1}, "
            words, order = architecture.blocks[int(index)].parts[part], PARTS.index(part)
        else:
            stage, place, part = STEM if first == "stem" else HEAD, 0, rest or first
            where = f"{first}, " if rest else ""
            words, order = END_PARTS[part], ends.index(part)
        fusion = layer.fusion or DENSE
        bars.append(
            Bar(
                slot=10_000 * stage + 100 * place + order,
                layer=where + words,
                kind="depthwise" if layer.groups > 1 else fusion.kind.replace("_", " "),
                text=str(fusion.number or ""),
                inputs=layer.in_channels,
                outputs=layer.out_channels,
                size=format_pixels(layer.size, layer.width),
                kernel=format_pixels(*layer.window),
                macs=layer.macs,
                fusion=layer.fusion is not None,
            )
        )
    return bars


def strip_figure(architecture: Architecture) -> go.Figure:
    """A network as a strip, one bar a layer: as wide as the root of its output channels, as high as its MACs.

    Colours show what mixes channels, and a butterfly has its radix written above it.

    >>> from bft_nas.network import reference
    >>> strip_figure(reference("mobilenet_v1_bft")).data[1].name
    'butterfly'
    """
    bars = bars_of(architecture)
    total = sum(bar.macs for bar in bars)
    butterflies = [bar.macs for bar in bars if bar.kind == "butterfly"]
    figure = go.Figure(layout=layout("strip", height=340))
    _draw_strips(figure, [bars])
    return describe(
        figure,
        f"{architecture.family} at {architecture.resolution} pixels, {format_macs(total)} MACs in {len(bars)} layers, "
        f"{len(butterflies)} of them butterflies with {sum(butterflies) / total:.0%} of the MACs. "
        f"Fusions stage by stage: {architecture.fusion_pattern}.",
    )


def comparison_figure(
    a: Architecture, b: Architecture, *, names: tuple[str, str] = ("above", "below")
) -> go.Figure:
    """Two networks as strips that face each other, layers of the same place across from each other.

    Args:
        a: drawn upwards.
        b: drawn downwards, at the same scale.
        names: what to call them, plain text.
    """
    strips = [bars_of(a), bars_of(b)]
    figure = go.Figure(layout=layout("comparison", height=480))
    _draw_strips(figure, strips)
    for name, y, anchor in zip(names, (1, 0), ("top", "bottom"), strict=True):
        figure.add_annotation(
            text=escape(name), x=1, y=y, xref="paper", yref="paper", xanchor="right", yanchor=anchor,
            showarrow=False, font={"size": 15, "weight": 600},
        )  # fmt: skip
    different = differences(a, b)
    say(figure, "The two are the same network." if different.empty else "")
    macs = [format_macs(sum(bar.macs for bar in bars)) for bars in strips]
    return describe(
        figure,
        f"{names[0]}: {a.family}, {macs[0]} MACs. {names[1]}: {b.family}, {macs[1]} MACs. "
        f"{len(different)} layers differ.",
    )


def differences(a: Architecture, b: Architecture) -> pd.DataFrame:
    """The layers that differ between two networks, or that only one has, in order.

    The columns: ``layer``, ``a`` and ``b`` (what it is in either, empty where there is none), ``macs_a``, ``macs_b``
    and ``difference`` (MACs of b less those of a).
    """
    sides = [{bar.slot: bar for bar in bars_of(architecture)} for architecture in (a, b)]
    rows = []
    for slot in sorted({*sides[0], *sides[1]}):
        bars = [side.get(slot) for side in sides]
        texts = [_bar_text(bar) if bar else "" for bar in bars]
        macs = [bar.macs if bar else 0 for bar in bars]
        if texts[0] != texts[1]:
            layer = next(bar.layer for bar in bars if bar)
            rows.append((layer, *texts, *macs, macs[1] - macs[0]))
    return pd.DataFrame(rows, columns=["layer", "a", "b", "macs_a", "macs_b", "difference"])


def architecture_yaml(architecture: Architecture) -> str:
    """An architecture as YAML for people, a line a block; `Architecture.from_dict` takes it back.

    >>> from bft_nas.network import reference
    >>> net = reference("mobilenet_v1")
    >>> Architecture.from_dict(yaml.safe_load(architecture_yaml(net))) == net
    True
    """
    family = yaml.safe_dump(architecture.family, width=10**6).strip().removesuffix("...").strip()
    rows = [f"- {_flow(block)}" for block in architecture.blocks]
    lines = [
        f"family: {family}",
        f"resolution: {architecture.resolution}",
        f"classes: {architecture.classes}",
        f"in_channels: {architecture.in_channels}",
        f"stem: {_flow(architecture.stem)}",
        "blocks:",
        *rows,
        f"head: {_flow(architecture.head)}",
    ]
    return "\n".join(lines) + "\n"


def stage_name(stage: int) -> str:
    """What a stage is called under a figure; the stem, a single layer, has no room for a name."""
    return {STEM: "", HEAD: "head"}.get(stage, str(stage))


@lru_cache(maxsize=100_000)
def _flow(row: Stem | Block | Head) -> str:
    """A row in a line. It holds words, numbers and truth values alone, which PyYAML would take milliseconds for."""
    values = row.to_dict() if isinstance(row, Block) else written(row)
    words = (
        f"{key}: {str(value).lower() if isinstance(value, bool) else value}" for key, value in values.items()
    )
    return "{" + ", ".join(words) + "}"


def _places(architecture: Architecture) -> list[tuple[int, int]]:
    """The stage of each block, counted from one, and its place within the stage, counted from zero."""
    seen: dict[int, int] = {}
    places = []
    for block in architecture.blocks:
        seen[block.stage] = seen.get(block.stage, -1) + 1
        places.append((block.stage + 1, seen[block.stage]))
    return places


def _bar_text(bar: Bar) -> str:
    how = f"{bar.kind} {bar.text}".strip()
    kernel = f", {bar.kernel}" if bar.kernel != POINT else ""
    return f"{bar.inputs} to {bar.outputs}, {how}{kernel}, {bar.size}"


def _draw_strips(figure: go.Figure, strips: Sequence[Sequence[Bar]]) -> None:
    """One strip upwards, or two that face each other."""
    widths: dict[int, float] = {}
    for bar in (bar for bars in strips for bar in bars):
        widths[bar.slot] = max(widths.get(bar.slot, 0.0), math.sqrt(bar.outputs))
    slots = sorted(widths)
    gap = GAP * sum(widths.values())
    edges = list(accumulate((widths[slot] + gap for slot in slots), initial=0.0))
    middles = {slot: edge + widths[slot] / 2 for slot, edge in zip(slots, edges, strict=False)}
    for side, bars in enumerate(strips):
        for kind, colour in KINDS.items():
            drawn = [bar for bar in bars if bar.kind == kind]
            figure.add_trace(
                go.Bar(
                    x=[middles[bar.slot] for bar in drawn],
                    y=[bar.macs / 1e6 for bar in drawn],
                    width=[math.sqrt(bar.outputs) for bar in drawn],
                    yaxis="y2" if side else "y",
                    name=kind,
                    legendgroup=kind,
                    showlegend=side == 0 and any(bar.kind == kind for bars in strips for bar in bars),
                    text=[bar.text for bar in drawn],
                    textposition="outside",
                    textangle=0,
                    constraintext="none",
                    textfont={"size": 11},
                    cliponaxis=False,
                    marker={"color": colour, "line": {"width": 0}},
                    customdata=[
                        [bar.layer, bar.inputs, bar.outputs, bar.size, bar.kernel, bar.macs] for bar in drawn
                    ],
                    hovertemplate=(
                        f"<b>%{{customdata[0]}}</b><br>{kind} %{{text}}<br>"
                        "%{customdata[1]} to %{customdata[2]} channels, %{customdata[4]}<br>"
                        "at %{customdata[3]} pixels<br>%{customdata[5]:,} MACs<extra></extra>"
                    ),
                )
            )
    starts = [at for at, slot in enumerate(slots) if at == 0 or slot // 10_000 != slots[at - 1] // 10_000]
    figure.update_xaxes(
        title_text="stage",
        range=[0, edges[-1]],
        tickvals=[edges[at] - gap / 2 for at in starts],
        ticktext=[stage_name(slots[at] // 10_000) for at in starts],
        ticklabelposition="outside right",
        tickangle=0,
    )
    figure.update_layout(barmode="overlay", bargap=0)
    tops = [ROOM * max(bar.macs for bar in bars) / 1e6 for bars in strips]
    figure.update_yaxes(title_text="MACs", ticksuffix="M", nticks=6, range=[0, tops[0]])
    if len(tops) == 1:
        return
    # At one scale, and neither of them squeezed to nothing.
    lower = min(max(tops[1] / sum(tops), LEAST_SIDE), 1 - LEAST_SIDE)
    whole = max(tops[0] / (1 - lower), tops[1] / lower)
    figure.update_layout(
        xaxis={"anchor": "y2"},
        yaxis={"domain": [lower, 1], "range": [0, whole * (1 - lower)], "nticks": _ticks(1 - lower)},
        yaxis2=axis()
        | {"domain": [0, lower], "range": [whole * lower, 0], "nticks": _ticks(lower), "ticksuffix": "M"},
    )


def _ticks(part: float) -> int:
    """At most so many on an axis that has a part of the height."""
    return max(3, round(10 * part))
