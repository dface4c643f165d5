"""The table of all candidates: its columns, and its rows as a browser takes them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pandas as pd

from bft_nas.record import Column
from bft_nas.record.columns import CODE, LATER, columns_for


def _definition(column: Column) -> dict[str, Any]:
    """A column as the grid takes it; the functions are those of assets/formats.js."""
    return {
        "field": column.name,
        "headerName": column.title,
        "headerTooltip": column.hover,
        "filter": "agNumberColumnFilter" if column.format.numeric else "agTextColumnFilter",
        "filterValueGetter": {
            "function": f"numberShown(params.data['{column.name}'], '{column.format.name}')"
        }
        if column.format.numeric
        else None,
        "type": "rightAligned" if column.alignment == "right" else None,
        "valueFormatter": {"function": f"shown(params.value, '{column.format.name}')"},
        "tooltipValueGetter": {"function": f"exactly(params.value, '{column.unit}')"}
        if column.is_shortened
        else None,
        "cellClass": "code" if column.format is CODE else None,
    }


def _defined(column: Column) -> dict[str, Any]:
    return {key: value for key, value in _definition(column).items() if value}


_FIRST, *_OTHERS = columns_for("candidates", LATER)
COLUMN_DEFINITIONS = [
    # So narrow that what is typed to filter by could not be read; its menu has a filter, too.
    {**_defined(_FIRST), "pinned": "left", "maxWidth": 90, "floatingFilter": False},
    *({**_defined(column), **({"sort": "desc"} if column.name == "accuracy" else {})} for column in _OTHERS),
]
DEFAULT_COLUMN = {"sortable": True, "resizable": True, "floatingFilter": True, "suppressMovable": True}
GRID_OPTIONS = {
    "rowSelection": {"mode": "multiRow", "enableClickSelection": True, "headerCheckbox": False},
    "autoSizeStrategy": {"type": "fitCellContents"},
    "theme": {"function": "themeQuartz"},
    "enableBrowserTooltips": True,
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
