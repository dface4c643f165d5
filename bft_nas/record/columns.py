"""The table of columns: what results say of a candidate, how each value comes about, is written, and where it is shown.

`Run.results`, results.csv, the tables of the terminal, the report, the app and its CSV, the labels of figures and the
objectives of the search are made from `COLUMNS`. A new metric is one entry here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bft_nas.core.units import (
    format_bytes,
    format_macs,
    format_milliseconds,
    format_params,
    format_percent,
    format_pixels,
)
from bft_nas.network import Architecture, Cost, cost
from bft_nas.network.blocks import DIALECTS
from bft_nas.network.fusion import FUSIONS_IN_SHORT
from bft_nas.record.latency import SETUP_COLUMN, SHARE_COLUMN

Direction = Literal["up", "down", "none"]
"""Which way a value gets better."""
View = Literal["summary", "front", "references", "candidates", "card", "point", "axes"]
"""``summary``: the front in the terminal, and the winners in the report; ``front``: the front in the report;
``references``: in both; ``candidates``: the table of all of them in the app and in the report; ``card``: one candidate,
or two side by side; ``point``: the label of a point in a figure; ``axes``: the parallel coordinates."""


@dataclass(frozen=True)
class Format:
    """How values of a kind are written, and drawn on an axis."""

    name: str
    """Of the same in dashboard/assets/formats.js, which browsers use."""
    text: Callable[[Any], str] = str
    numeric: bool = True
    scale: float = 1.0
    """What a value is multiplied by on an axis."""
    axis_unit: str = ""
    logarithmic: bool = False
    """On an axis."""


TEXT = Format("text", numeric=False)
CODE = Format("code", numeric=False)
"""Set in a monospaced face."""
COUNT = Format("count", lambda value: str(int(value)))
FACTOR = Format("factor", lambda value: f"{value:.2f}")
PERCENT = Format("percent", format_percent, scale=100, axis_unit="%")
SHARE = Format("share", lambda value: format_percent(value, digits=0), scale=100, axis_unit="%")
MACS = Format("macs", lambda value: format_macs(int(value)), scale=1e-6, axis_unit="M", logarithmic=True)
PARAMS = Format("params", format_params, scale=1e-6, axis_unit="M", logarithmic=True)
BYTES = Format("bytes", format_bytes, scale=1e-6, axis_unit="MB", logarithmic=True)
PIXELS = Format("pixels", lambda value: format_pixels(int(value)))
SECONDS = Format("seconds", lambda value: f"{value:.1f} s")
MILLISECONDS = Format("milliseconds", format_milliseconds, scale=1e3, axis_unit="ms", logarithmic=True)


@dataclass(frozen=True)
class Column:
    """One column of results."""

    name: str
    """In `Run.results` and in files."""
    heading: str
    """For people, in the middle of a sentence; see `title`."""
    format: Format
    unit: str = ""
    """Of the value as it is kept."""
    direction: Direction = "none"
    hover: str = ""
    """What pointing at the heading says."""
    views: tuple[View, ...] = ("candidates", "card")
    of: Callable[[Architecture, Cost], Any] | None = None
    """How the value comes about, where it follows from the network."""

    @property
    def title(self) -> str:
        """The heading where it stands alone."""
        return self.heading[0].upper() + self.heading[1:]

    @property
    def alignment(self) -> Literal["left", "right"]:
        """Of the cells."""
        return "right" if self.format.numeric else "left"

    def text(self, value: Any) -> str:
        """A value for people; empty where there is none, as in runs of versions that did not have the column."""
        return "" if is_missing(value) else self.format.text(value)

    @property
    def is_shortened(self) -> bool:
        """Whether `text` has fewer digits than the value, a whole number."""
        return self.format in (MACS, PARAMS, BYTES)

    def exact(self, value: Any) -> str:
        """A value with all its digits and its unit, where `text` has fewer; otherwise empty."""
        if is_missing(value) or not self.is_shortened:
            return ""
        return f"{int(value):,} {self.unit}"

    def cell(self, row: Mapping[Any, Any]) -> str:
        """The text of a row of results; the accuracy of a failed candidate is that it failed, a mean has its error."""
        if self.name == "accuracy" and row.get("state") == "failed":
            return "failed"
        text = self.text(row.get(self.name))
        if self.name == "confirmed" and text:
            error = self.text(row.get("confirmed_error"))
            return f"{text} ± {error.removesuffix('%')}" if error else text
        return text


def is_missing(value: Any) -> bool:
    """Whether a table has no value in a place."""
    return value is None or (isinstance(value, float) and math.isnan(value))


COLUMNS = (
    Column("number", "no.", COUNT, views=("summary", "front", "candidates")),
    Column("state", "status", TEXT, hover="complete, stopped early, or failed", views=("candidates",)),
    Column(
        "family", "family", TEXT,
        hover="the space's family of networks",
        views=("summary", "front", "candidates", "card", "axes"),
        of=lambda architecture, counted: architecture.family,
    ),
    Column(
        "resolution", "resolution", PIXELS, "pixels",
        hover="of the images at deployment, in pixels",
        views=("summary", "front", "references", "candidates", "card", "point", "axes"),
        of=lambda architecture, counted: architecture.resolution,
    ),
    Column(
        "budget", "budget", MACS, "MACs",
        hover="the MACs that it was proposed for",
        views=("references", "candidates", "card"),
    ),
    Column(
        "macs", "MACs", MACS, "MACs", "down",
        hover="multiply-accumulates for one image",
        views=("summary", "front", "references", "candidates", "card", "point", "axes"),
        of=lambda architecture, counted: counted.macs,
    ),
    Column(
        "params", "parameters", PARAMS, "parameters", "down",
        hover="trained numbers, those of normalisation included",
        views=("summary", "front", "references", "candidates", "card", "point", "axes"),
        of=lambda architecture, counted: counted.params,
    ),
    Column(
        "peak_memory", "peak memory", BYTES, "bytes", "down",
        hover="the most activations at a time, for one image in float32",
        views=("front", "candidates", "card", "axes"),
        of=lambda architecture, counted: counted.peak_memory,
    ),
    Column(
        "butterfly_share", "butterflies", SHARE,
        hover="share of the fusions' MACs in butterflies",
        views=("front", "references", "candidates", "card", "axes"),
        of=lambda architecture, counted: round(counted.butterfly_share, 4),
    ),
    Column(
        "fusions", "fusions", CODE,
        hover=f"what mixes channels, stage by stage: {FUSIONS_IN_SHORT}; {DIALECTS}",
        views=("summary", "front", "references", "candidates", "card"),
        of=lambda architecture, counted: architecture.fusion_pattern,
    ),
    Column(
        "accuracy", "accuracy", PERCENT, "", "up",
        hover="on the validation split, after the last epoch",
        views=("summary", "front", "references", "candidates", "point", "axes"),
    ),
    Column("epochs", "epochs", COUNT, hover="trained for"),
    Column("seconds", "trained in", SECONDS, "s", hover="seconds of proxy training"),
    Column("reason", "reason", TEXT, hover="why it was stopped, or failed", views=("candidates",)),
    Column(
        "hash", "hash", CODE,
        hover="of the architecture",
        of=lambda architecture, counted: architecture.hash,
    ),
)  # fmt: skip
"""Of `Run.results`, in this order: the state is complete, stopped or failed; accuracy is 0 to 1, after the last epoch
that there was, and NaN where training failed."""
CONFIRMED_COLUMNS = (
    Column(
        "confirmed", "confirmed", PERCENT, "", "up",
        hover="mean accuracy of the longer confirmation trainings; it does not compare with that of the proxy's",
        views=("summary", "front", "references", "candidates", "card"),
    ),
    Column(
        "confirmed_error", "± error", PERCENT,
        hover="standard error of the confirmed accuracy",
        views=("candidates",),
    ),
)  # fmt: skip
"""What results and references have besides, once the run has confirmations; NaN where a network was not confirmed."""
PREDICTED = "predicted_ms"
PREDICTED_COLUMNS = (
    Column(
        PREDICTED, "ms, predicted", FACTOR, "ms", "down",
        hover="for one image with one thread, predicted from the run's table of layers",
        views=("summary", "front", "candidates", "card", "point"),
    ),
)  # fmt: skip
"""What results have besides, where the run predicts latencies."""
LATENCY_COLUMNS = (
    Column(
        "latency", "latency", MILLISECONDS, "s", "down",
        hover="for one image, of half of the queries; measured as the column measured on says",
        views=("summary", "front", "references", "candidates", "card", "point"),
    ),
    Column(
        "latency_p90", "latency p90", MILLISECONDS, "s", "down",
        hover="for one image, of nine tenths of the queries",
        views=("candidates", "card"),
    ),
    Column(
        SETUP_COLUMN, "measured on", TEXT,
        hover="runtime, threads and machine of the latency, which compares with no other",
        views=("candidates", "card"),
    ),
    Column(
        SHARE_COLUMN, "core time", SHARE,
        hover="of the time, that the measurement had a core; well below 100 % other work made the latency longer",
        views=("candidates", "card"),
    ),
)  # fmt: skip
"""What results and references have besides, once any network of the run was measured; NaN and empty where a network was
not."""
REFERENCE_COLUMNS = (
    Column("name", "name", TEXT, views=("references",)),
    Column("width", "width", FACTOR, hover="multiplier of the channels", views=("references",)),
    *COLUMNS[1:],
)
"""Of `Run.references`, in this order."""
RESULT_NAMES = tuple(column.name for column in COLUMNS)
REFERENCE_NAMES = tuple(column.name for column in REFERENCE_COLUMNS)
CONFIRMED = tuple(column.name for column in CONFIRMED_COLUMNS)
LATER_COLUMNS = (*CONFIRMED_COLUMNS, *PREDICTED_COLUMNS, *LATENCY_COLUMNS)
"""What results have besides `COLUMNS`, as soon as it is known."""
LATER = tuple(column.name for column in LATER_COLUMNS)
_BY_NAME = {column.name: column for column in (*COLUMNS, *REFERENCE_COLUMNS, *LATER_COLUMNS)}
_RANKS: dict[Direction, int] = {"up": 0, "down": 1, "none": 2}


def column_named(name: str) -> Column:
    """The column of a name; KeyError for any other."""
    return _BY_NAME[name]


def columns_in(view: View, columns: Sequence[Column] = COLUMNS) -> tuple[Column, ...]:
    """The columns that stand in a view, in the order for people.

    What names a row comes first, then what should be high, what should be low, and what describes.

    >>> [column.name for column in columns_in("summary")]
    ['number', 'accuracy', 'macs', 'params', 'family', 'resolution', 'fusions']
    """
    first, *others = columns
    ordered = [first, *sorted(others, key=lambda column: _RANKS[column.direction])]
    return tuple(column for column in ordered if view in column.views)


def columns_for(view: View, names: Iterable[Any], columns: Sequence[Column] = COLUMNS) -> tuple[Column, ...]:
    """The columns of a view, with those of `LATER_COLUMNS` that are among the names that a table has."""
    known = set(names)
    return columns_in(view, (*columns, *(column for column in LATER_COLUMNS if column.name in known)))


def facts_of(architecture: Architecture, budget: int) -> dict[str, Any]:
    """What `COLUMNS` say of a network itself, in plain values; the budget in MACs is that it was made for."""
    counted = cost(architecture)
    values: dict[str, Any] = {"budget": budget}
    values |= {each.name: each.of(architecture, counted) for each in COLUMNS if each.of}
    return {name: values[name] for name in RESULT_NAMES if name in values}
