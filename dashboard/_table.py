"""The table of all candidates: its columns, and its rows as a browser takes them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pandas as pd


def _number(field: str, heading: str, form: str, **more: Any) -> dict[str, Any]:
    return {
        "field": field,
        "headerName": heading,
        "filter": "agNumberColumnFilter",
        "type": "rightAligned",
        "valueFormatter": {"function": f"params.value == null ? '' : d3.format('{form}')(params.value)"},
        **more,
    }


def _text(field: str, heading: str, **more: Any) -> dict[str, Any]:
    return {"field": field, "headerName": heading, "filter": "agTextColumnFilter", **more}


COLUMN_DEFINITIONS = [
    _number("number", "No.", "d", pinned="left", maxWidth=90),
    _number("accuracy", "Accuracy", ".2%", sort="desc"),
    _number("macs", "MACs", ",d"),
    _number("params", "Parameters", ",d"),
    _text("family", "Family"),
    _number("resolution", "Resolution", "d"),
    _number("budget", "Budget", ",d"),
    _number(
        "butterfly_share", "Butterflies", ".0%", headerTooltip="share of the fusions' MACs in butterflies"
    ),
    _text("fusions", "Fusions", cellClass="code"),
    _text("state", "Status"),
    _number("epochs", "Epochs", "d"),
    _number("seconds", "Seconds", ".1f"),
    _number(
        "peak_memory", "Peak memory", ",d", headerTooltip="bytes of activations for one image in float32"
    ),
    _text("reason", "Reason"),
    _text("hash", "Hash", cellClass="code"),
]
DEFAULT_COLUMN = {"sortable": True, "resizable": True, "floatingFilter": True, "suppressMovable": True}
GRID_OPTIONS = {
    "rowSelection": {"mode": "multiRow", "enableClickSelection": True, "headerCheckbox": False},
    "autoSizeStrategy": {"type": "fitCellContents"},
    "theme": {"function": "themeQuartz"},
    "enableCellTextSelection": True,
    "animateRows": False,
}


def rows(results: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """One mapping a candidate, with None where there is no number, and an ``id`` by which the table knows it.

    >>> rows(pd.DataFrame({"number": [1], "accuracy": [float("nan")]}))
    [{'number': 1, 'accuracy': None, 'id': '1'}]
    """
    named = results.assign(id=results["number"].astype(str))
    return named.astype(object).where(named.notna(), None).to_dict("records")
