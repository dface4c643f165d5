"""The search itself: what it has come to by when, how fast, where the time went, and what did not come to an end."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from bft_nas.dashboard._run_data import RunData
from bft_nas.dashboard._style import layout, say

SEARCH_VIEWS = {
    "hypervolume_epochs": "Hypervolume over trained epochs",
    "hypervolume_seconds": "Hypervolume over time",
    "rate": "Candidates per hour",
    "time": "Where the time went",
    "failures": "Failures",
    "rungs": "Stopped early",
}
"""What `search_figures` returns, and the heading of each."""


def search_figures(runs: Mapping[str, RunData]) -> dict[str, go.Figure]:
    """The figures of `SEARCH_VIEWS` by name, with all of the runs in each."""
    return {name: say(go.Figure(layout=layout(name)), "Nothing yet.") for name in SEARCH_VIEWS}
