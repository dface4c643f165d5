"""What a page of the dashboard shows, as the query of its address, and the candidates that are left of a run."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pandas as pd

from bft_nas.core.errors import UserError, one_line
from bft_nas.core.units import parse_macs

FUSIONS = {"dense": "without butterflies", "mixed": "some butterflies", "butterfly": "butterflies only"}
FILTERS = ("macs", "fusion", "families", "states")
STATES = {"complete": "complete", "stopped": "stopped early", "failed": "failed"}
TABS = {
    "butterflies": "Where butterflies pay",
    "confirmed": "Confirmations and references",
    "search": "The search itself",
    "table": "All candidates",
}
# Leading digits of the numbers of MACs at which the slider stops, in tenths.
STOPS = (10, 11, 12, 13, 15, 16, 18, 20, 22, 24, 27, 30, 33, 36, 39, 43, 47, 51, 56, 62, 68, 75, 82, 91)
LONGEST_QUERY = 4000
MOST_MARKED = 300
"""Candidates that an address has room for."""

MACS = "macs"

Range = tuple[float, float]


@dataclass(frozen=True)
class View:
    """What a page shows; each field stands under its name in the page's address unless it is the default."""

    run: str = ""
    macs: int | None = None
    """The most that a candidate may have."""
    fusion: str = ""
    """One of `FUSIONS`; empty for any."""
    families: tuple[str, ...] = ()
    """Empty for all."""
    states: tuple[str, ...] = ()
    """Some of `STATES`; empty for all."""
    across: str = MACS
    """What accuracy stands against in the front: MACs, or the latency in the setup of this key."""
    published: bool = False
    candidate: int | None = None
    beside: int | None = None
    """The candidate that the first one is compared with."""
    marked: tuple[int, ...] = ()
    tab: str = "butterflies"
    runs: tuple[str, ...] = ()
    """The runs of the plots of the search; empty for the run alone."""
    x: Range | None = None
    """Both ends of the front's lower axis, in powers of ten of millions of MACs or of milliseconds; None for all that
    there is."""
    y: Range | None = None
    """Both ends of the front's axis of accuracy, in percent."""

    @classmethod
    def from_stored(cls, content: Mapping[str, Any]) -> View:
        """The view that `stored` made plain."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
        return cls(**values)

    @property
    def filters(self) -> dict[str, Any]:
        """What of it decides which candidates are shown, as `stored` has it."""
        return {name: value for name, value in stored(self).items() if name in FILTERS}

    @property
    def chosen(self) -> View:
        """What of it says which candidates are looked at."""
        return View(candidate=self.candidate, beside=self.beside, marked=self.marked)

    @property
    def ringed(self) -> tuple[int, ...]:
        """The candidates to ring in the front."""
        return tuple(dict.fromkeys(n for n in (self.candidate, self.beside, *self.marked) if n is not None))


def stored(view: View) -> dict[str, Any]:
    """A view as a browser keeps it, which knows no tuples."""
    return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(view).items()}


def parse_view(search: str) -> tuple[View, tuple[str, ...]]:
    """The view that an address asks for, and a line for each part of it that is not understood.

    Names of runs and numbers of candidates are checked for their form alone; whether they exist is for whoever
    reads them.

    >>> view, problems = parse_view("?run=mobile-50M&candidate=7&fusion=magic")
    >>> view.candidate, problems
    (7, ('fusion=magic: expected one of dense, mixed, butterfly',))
    """
    if len(search) > LONGEST_QUERY:
        return View(), (f"the address: expected a query of at most {LONGEST_QUERY} characters",)
    view, problems = View(), []
    for name, text in parse_qsl(search.removeprefix("?")):
        try:
            view = _with_part(view, name, text)
        except ValueError as error:
            problems.append(f"{one_line(name)[:40]}={one_line(text)[:60]}: {error}")
    return view, tuple(problems)


def view_query(view: View) -> str:
    """The query of an address that `parse_view` makes the view of again.

    >>> view_query(View(run="mobile-50M", macs=35_000_000, marked=(1, 4)))
    '?run=mobile-50M&macs=35000000&marked=1,4'
    """
    given = {field.name: getattr(view, field.name) for field in fields(view)}
    defaults = {field.name: field.default for field in fields(view)}
    parts = {
        name: value if name in _SEVERAL else _text(value)
        for name, value in given.items()
        if value != defaults[name]
    }
    return f"?{urlencode(parts, doseq=True, safe=',')}" if parts else ""


def parse_number(text: str) -> int:
    """The number of a candidate, as an address has it or somebody types it; ValueError for anything else."""
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise ValueError("expected a candidate's number")
    return int(text)


def select(results: pd.DataFrame, view: View) -> pd.DataFrame:
    """The candidates, or references, that the filters of a view leave."""
    kept = pd.Series(True, index=results.index)
    if view.macs is not None:
        kept &= results["macs"] <= view.macs
    share = results["butterfly_share"]
    if view.fusion == "dense":
        kept &= share == 0
    elif view.fusion == "mixed":
        kept &= (share > 0) & (share < 1)
    elif view.fusion == "butterfly":
        kept &= share == 1
    if view.families:
        kept &= results["family"].isin(view.families)
    if view.states:
        kept &= results["state"].isin(view.states)
    return results[kept]


def budget_stops(budgets: Sequence[int]) -> tuple[int, ...]:
    """The numbers of MACs at which the budget slider stops: every budget, and round ones from a tenth of the least.

    >>> [stop / 1e6 for stop in budget_stops([21_000_000, 50_000_000])][-11:]
    [21.0, 22.0, 24.0, 27.0, 30.0, 33.0, 36.0, 39.0, 43.0, 47.0, 50.0]
    """
    low, high = min(budgets) / 10, max(budgets)
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)))
    round_ones = (round(digits * 10.0**decade) for decade in decades for digits in STOPS)
    return tuple(sorted({*(stop for stop in round_ones if low <= stop < high), *budgets}))


def nearest_stop(macs: int | None, stops: Sequence[int]) -> int:
    """The place of the slider for a most number of MACs: the first stop that leaves as much, or the last."""
    return len(stops) - 1 if macs is None else min(bisect_left(stops, macs), len(stops) - 1)


def filtered(
    view: View, stops: Sequence[int], stop: int, fusion: str | None, families: Any, states: Any
) -> View:
    """A view with what its page's filters hold.

    Args:
        view: for the rest.
        stops: see `budget_stops`.
        stop: the slider's.
        fusion: one of `FUSIONS`, or None for any.
        families: a list, or None for all.
        states: a list of some of `STATES`, or None for all.
    """
    # What an address asks for may be between two stops.
    kept = stop == nearest_stop(view.macs, stops)
    return replace(
        view,
        macs=view.macs if kept else macs_at(stop, stops),
        fusion=fusion or "",
        families=tuple(families or ()),
        states=tuple(states or ()),
    )


def macs_at(stop: int, stops: Sequence[int]) -> int | None:
    """The inverse of `nearest_stop`: the last stop is for no limit."""
    return stops[stop] if stop < len(stops) - 1 else None


def _macs(text: str) -> int:
    try:
        return parse_macs(text)
    except UserError:
        raise ValueError("expected a number of MACs above zero, such as 50M") from None


def _one_of(known: Sequence[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in known:
            raise ValueError(f"expected one of {', '.join(known)}")
        return text

    return parse


def _setup(text: str) -> str:
    if text != MACS and not re.fullmatch("[0-9a-f]{8}", text):
        raise ValueError(f"expected {MACS}, or the key of a setup in which latencies were measured")
    return text


def _yes(text: str) -> bool:
    return _one_of(["yes"])(text) == "yes"


def _range(text: str) -> Range:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError("expected two numbers") from None
    if not math.isfinite(low) or not math.isfinite(high) or low >= high:
        raise ValueError("expected both ends of an axis, the lower one first")
    return low, high


_PARSERS: dict[str, Callable[[str], Any]] = {
    "run": str,
    "macs": _macs,
    "fusion": _one_of(list(FUSIONS)),
    "families": str,
    "states": _one_of(list(STATES)),
    "across": _setup,
    "published": _yes,
    "candidate": parse_number,
    "beside": parse_number,
    "marked": lambda text: tuple(map(parse_number, text.split(","))),
    "tab": _one_of(list(TABS)),
    "runs": str,
    "x": _range,
    "y": _range,
}
# These may be said several times; of the others the last one counts.
_SEVERAL = ("families", "states", "runs")


def _with_part(view: View, name: str, text: str) -> View:
    if name not in _PARSERS:
        raise ValueError(f"expected one of {', '.join(_PARSERS)}")
    value = _PARSERS[name](text)
    if name in _SEVERAL:
        value = tuple(dict.fromkeys([*getattr(view, name), value]))
    return replace(view, **{name: value})


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)
