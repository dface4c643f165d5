"""Where butterflies pay: over the front, what part of each stage they have, and with which radix."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from bft_nas.dashboard._style import layout, say
from bft_nas.dashboard.network import layers_of
from bft_nas.network import Architecture


def butterfly_figure(
    on_front: pd.DataFrame, architectures: Mapping[int, Architecture], *, title: str = ""
) -> go.Figure:
    """Two maps over the front, a row a candidate by rising MACs, a column a stage.

    On the left the part of the fusions' MACs that is spent in butterflies, on the right the radix (``d`` where a
    stage is dense).

    Args:
        on_front: what `bft_nas.pareto.front` returns.
        architectures: by number; candidates without one are left out.
        title: plain text; empty for a figure that stands under a heading of its own.
    """
    figure = go.Figure(layout=layout("butterflies", title=title))
    rows = [row for row in on_front.to_dict("records") if row["number"] in architectures]
    if not rows:
        return say(figure, "No candidate is on the front yet.")
    tables = {row["number"]: _stages(architectures[row["number"]]) for row in rows}
    return say(figure, f"{len(tables)} candidates")


def _stages(architecture: Architecture) -> pd.DataFrame:
    layers = layers_of(architecture)
    return layers.assign(stage=[slot[0] for slot in layers["slot"]])
