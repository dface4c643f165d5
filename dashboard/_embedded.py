"""What the report's script knows of the candidates: columns, compressed, so that many of them fit in a file."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from bft_nas.dashboard._download import NO_WEIGHTS
from bft_nas.dashboard._run_data import RunData
from bft_nas.dashboard._style import COLOURS, CONFIG, DASHES
from bft_nas.dashboard.curves import HOVER
from bft_nas.dashboard.front import RING
from bft_nas.dashboard.network import GAP, HEAD, KINDS, LEAST_SIDE, ROOM, Bar, architecture_yaml, bars_of
from bft_nas.network import Architecture
from bft_nas.record import COLUMNS, RESULT_NAMES, Column
from bft_nas.record.columns import LATER, LATER_COLUMNS, columns_for
from bft_nas.record.standings import standing_texts


def embedded(
    data: RunData,
    architectures: Mapping[int, Architecture],
    figures: Mapping[str, go.Figure],
    chosen: tuple[int | None, int | None],
    exports: Mapping[int, str],
) -> str:
    """JSON, compressed by zlib and in base64, which needs no escaping in a page.

    Args:
        data: the run.
        architectures: by number, as far as they are known.
        figures: by the id of the element that each is drawn in.
        chosen: the candidate to begin with, and the one beside it.
        exports: the commands that export candidates, by number; those without weights have none.
    """
    content = {
        "run": data.name,
        "exports": exports,
        "unexported": NO_WEIGHTS,
        "budgets": list(data.budgets),
        "chosen": list(chosen),
        "config": {**CONFIG, "responsive": True},
        "hover": HOVER,
        "ring": RING,
        "kinds": list(KINDS),
        "strip": {"gap": GAP, "room": ROOM, "least": LEAST_SIDE, "head": HEAD},
        "lines": [
            {"color": colour, "dash": dash} for colour, dash in zip(COLOURS[:2], DASHES[:2], strict=True)
        ],
        "columns": {
            column.name: _described(column)
            for column in (*COLUMNS, *(each for each in LATER_COLUMNS if each.name in data.results))
        },
        "views": {
            view: [column.name for column in columns_for(view, data.results)]
            for view in ("candidates", "card")
        },
        "rows": {
            name: _column(data.results[name]) for name in (*RESULT_NAMES, *LATER) if name in data.results
        },
        # In the order of the rows.
        "outcomes": list(standing_texts(data.results, data.budgets, data.verdicts).values()),
        "curves": _curves(data.curves),
        "bars": _bars(architectures),
        "yaml": _yaml(architectures),
    }
    parts = {name: json.dumps(part, separators=(",", ":"), allow_nan=False) for name, part in content.items()}
    # Plotly has an encoder of its own, and drops the ids by which a page knows traces by default.
    parts["figures"] = _object(
        {name: str(figure.to_json(remove_uids=False)) for name, figure in figures.items()}
    )
    return base64.b64encode(zlib.compress(_object(parts).encode())).decode()


def _described(column: Column) -> dict[str, Any]:
    """What the script has to know of a column of results."""
    return {
        "title": column.title,
        "heading": column.heading,
        "hover": column.hover,
        "format": column.format.name,
        "numeric": column.format.numeric,
        "unit": column.unit if column.is_shortened else "",
        "best": column.direction,
    }


def _object(parts: Mapping[str, str]) -> str:
    """A JSON object of members that are JSON already."""
    return "{" + ",".join(f"{json.dumps(name)}:{part}" for name, part in parts.items()) + "}"


def _column(values: pd.Series[Any]) -> list[Any]:
    return [None if pd.isna(value) else value for value in values.tolist()]


def _curves(curves: pd.DataFrame) -> dict[str, list[Any]]:
    ordered = curves.sort_values(["number", "epoch"]) if len(curves) else curves
    return {
        name: _column(ordered[name]) if name in ordered else []
        for name in ("number", "epoch", "accuracy", "train_loss")
    }


def _bars(architectures: Mapping[int, Architecture]) -> dict[str, list[Any]]:
    """The bars of all networks one after the other, with ``counts`` of them for each of the ``numbers``."""
    found = {number: bars_of(architecture) for number, architecture in architectures.items()}
    bars = [bar for each in found.values() for bar in each]
    layers, layer = _indexed(bar.layer for bar in bars)
    columns: dict[str, list[Any]] = {
        name: [getattr(bar, name) for bar in bars]
        for name in Bar._fields
        if name not in ("layer", "kind", "fusion")
    }
    kinds = list(KINDS)
    return {
        "numbers": list(found),
        "counts": [len(each) for each in found.values()],
        "layers": layers,
        "layer": layer,
        "kind": [kinds.index(bar.kind) for bar in bars],
        **columns,
    }


def _yaml(architectures: Mapping[int, Architecture]) -> dict[str, list[Any]]:
    """The different lines of all descriptions, and for each network those that it has."""
    texts = [architecture_yaml(architecture).splitlines() for architecture in architectures.values()]
    lines, places = _indexed(line for text in texts for line in text)
    ends = pd.Series([len(text) for text in texts], dtype=int).cumsum().tolist()
    return {
        "lines": lines,
        "of": [places[end - len(text) : end] for text, end in zip(texts, ends, strict=True)],
    }


def _indexed(texts: Iterable[str]) -> tuple[list[str], list[int]]:
    """The different texts, and the place of each text among them."""
    places: dict[str, int] = {}
    found = [places.setdefault(text, len(places)) for text in texts]
    return list(places), found
