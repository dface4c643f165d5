"""What the page does for one candidate, or for two side by side: their networks, curves, YAML and export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from dash import Dash, Input, Output, State, dcc, html

from bft_nas.core.errors import UserError
from bft_nas.core.units import format_pixels
from bft_nas.dashboard._download import NO_WEIGHTS, export_command, exported_zip, train_command
from bft_nas.dashboard._parts import EMPTY, long_table, outputs, table
from bft_nas.dashboard._run_data import RunData
from bft_nas.dashboard._runs import EXAMPLE, Runs
from bft_nas.dashboard._style import alternative, cannot_be_shown, guarded, tell_terminal
from bft_nas.dashboard._trained import network_link
from bft_nas.dashboard._view import View
from bft_nas.dashboard.curves import curves_figure
from bft_nas.dashboard.network import architecture_yaml, comparison_figure, differences, strip_figure
from bft_nas.network import Architecture, cost
from bft_nas.record.columns import column_named, columns_for
from bft_nas.record.pareto import winners
from bft_nas.record.standings import standing_texts

Row = Mapping[Any, Any]


@dataclass(frozen=True)
class Chosen:
    """A candidate to show."""

    number: int
    row: Row
    """See `bft_nas.record.COLUMNS`."""
    architecture: Architecture

    @property
    def name(self) -> str:
        """As people call it."""
        return f"#{self.number}"


CANDIDATE = (
    "card.children",
    "curve.figure",
    "curve-figure.aria-label",
    "network.hidden",
    "network-title.children",
    "network-says.children",
    "strip.figure",
    "strip-figure.aria-label",
    "differences.children",
    "layers.children",
    "yaml.children",
    "export.disabled",
    "export-says.children",
)
STRIP_SAYS = "A bar for each layer, its MACs high. Numbers are the radices of butterflies."
COMPARISON_SAYS = "Layers of the same place stand across from each other, their MACs high."


def register(app: Dash, runs: Runs) -> None:
    """Show the chosen candidates, and export one."""

    @app.callback(
        outputs(CANDIDATE),
        Input("chosen", "data"),
        Input("version", "data"),
        State("view", "data"),
        prevent_initial_call=True,
    )
    def show_candidate(chosen: Any, version: str, before: dict[str, Any]) -> tuple[Any, ...]:
        view = View.from_stored(before)
        return candidate_values(runs, runs.read(view.run), view)

    @app.callback(
        Output("exported", "data"),
        Input("export", "n_clicks"),
        State("view", "data"),
        running=[
            # Not of the button itself, which the candidate that is shown by then may have no use for.
            (Output("exporting", "disabled"), True, False),
            (Output("export", "children"), "Exporting and checking ...", "Export as PyTorch and ONNX"),
        ],
        prevent_initial_call=True,
    )
    def export(clicks: int, before: dict[str, Any]) -> dict[str, Any]:
        view = View.from_stored(before)
        number = _number(runs.read(view.run), view.candidate)
        content = exported_zip(runs.find(view.run), number)
        return dict(dcc.send_bytes(content, f"{view.run}-{number}.zip"))  # type: ignore[attr-defined, no-untyped-call]


def candidate_values(runs: Runs, data: RunData, view: View) -> tuple[Any, ...]:
    """The values of `CANDIDATE`."""
    try:
        first = _find(runs, data, _number(data, view.candidate))
        second = None if view.beside in (None, first.number) else _find(runs, data, view.beside)
    except UserError as error:
        return (
            html.P(str(error), className="about"),
            EMPTY,
            "",
            True,
            "",
            "",
            EMPTY,
            "",
            [],
            [],
            "",
            True,
            "",
        )
    return _shown(runs, data, first, second)


def _number(data: RunData, number: int | None) -> int:
    """The candidate asked for, or the winner of the largest budget."""
    if number is not None:
        return number
    best = winners(data.results, data.budgets)
    if best.empty:
        raise UserError("No candidate is complete yet.")
    return int(best.iloc[-1]["number"])


def _find(runs: Runs, data: RunData, number: int) -> Chosen:
    found = data.results[data.results["number"] == number]
    if found.empty:
        raise UserError(f"candidate {number}: not in run '{data.name}'; expected {_numbers(data.results)}")
    return Chosen(number, found.iloc[0].to_dict(), runs.architecture(data.name, number))


def _numbers(results: pd.DataFrame) -> str:
    if results.empty:
        return "none, as none is finished"
    return f"one from {results['number'].min()} to {results['number'].max()}"


def _shown(runs: Runs, data: RunData, first: Chosen, second: Chosen | None) -> tuple[Any, ...]:
    both = [first] if second is None else [first, second]
    draw = guarded(tell_terminal)
    curve = draw("curves", lambda: curves_figure(data.curves, highlighted=[one.number for one in both]))
    # In a column of its own: no room for margins.
    curve.update_layout(height=None, margin={"l": 48, "r": 8, "t": 40, "b": 44})
    if second is None:
        strip = draw("strip", lambda: strip_figure(first.architecture))
        title, says, different = f"The network of {first.name}", STRIP_SAYS, []
    else:
        networks, names = (first.architecture, second.architecture), (first.name, second.name)
        strip = draw("comparison", lambda: comparison_figure(*networks, names=names))
        title, says = f"{first.name} above, {second.name} below", COMPARISON_SAYS
        different = [_said("differences", lambda: _differences(first, second))]
    weights = runs.has_weights(data.name, first.number)
    return (
        [
            html.Div(_said("card", lambda: _card(data, both))),
            *_said("trained networks", lambda: [_trained(runs, data, one) for one in both]),
        ],
        curve,
        alternative(curve),
        False,
        title,
        says,
        strip.update_layout(height=None),
        alternative(strip),
        different,
        _said("layers", lambda: _layers(first)),
        _said("yaml", lambda: architecture_yaml(first.architecture)),
        not weights,
        _export_says(runs, data.name, first.number, weights),
    )


def _said(name: str, make: Callable[[], Any]) -> Any:
    """A part of the page, or what went wrong with it, so that the others are there."""
    try:
        return make()
    except Exception as error:
        tell_terminal(name, error)
        return cannot_be_shown(error)


def _card(data: RunData, both: list[Chosen]) -> Any:
    accuracy, columns = column_named("accuracy"), columns_for("card", data.results)
    if len(both) == 1:
        (one,) = both
        # What names a winner comes first; the proxy's accuracy is then one fact of many.
        told = next((each for each in columns if each.name == "confirmed" and each.cell(one.row)), accuracy)
        columns = tuple(accuracy if each is told else each for each in columns)
        named = [
            html.Div(
                [
                    html.Dt(column.heading, title=column.hover),
                    html.Dd(column.cell(one.row), title=column.exact(one.row.get(column.name))),
                ]
            )
            for column in columns
        ]
        return [
            html.P([html.Strong(told.cell(one.row)), f" {_standing(data, one)}"], className="headline"),
            html.Dl(named, className="facts small"),
        ]
    rows = [
        ("", *(one.name for one in both)),
        (accuracy.heading, *(accuracy.cell(one.row) for one in both)),
        ("outcome", *(_standing(data, one) for one in both)),
        *((column.heading, *(column.cell(one.row) for one in both)) for column in columns),
    ]
    return table(rows[0], rows[1:], "Both candidates")


def _trained(runs: Runs, data: RunData, one: Chosen) -> Any:
    """What is trained to the end from a candidate, however far it has come, or how that is done."""
    found = runs.trainings.of_candidate(data.name, one.number, one.architecture)
    if found:
        parts: list[Any] = [f"Trainings of {one.name} to the end: "]
        for each in found:
            parts += [html.A(each.name, href=network_link(each.name)), f", {each.accuracy}; "]
        return html.P([*parts, "not to be compared with its accuracy in the search."], className="trained")
    if one.row["state"] == "failed":
        return None
    command = train_command(runs.find(data.name), one.number, runs.trainings.folder)
    return html.P(
        [f"{one.name} was not trained to the end yet: ", html.Code(command)], className="trained about"
    )


def _standing(data: RunData, one: Chosen) -> str:
    rows = data.results[data.results["number"] == one.number]
    return standing_texts(data.results, data.budgets, data.verdicts, rows=rows)[one.number]


def _differences(first: Chosen, second: Chosen) -> Any:
    different = differences(first.architecture, second.architecture)
    if different.empty:
        return html.P("The two networks are the same.", className="about")
    rows = [
        (
            row["layer"],
            row["a"],
            row["b"],
            f"{row['macs_a']:,}",
            f"{row['macs_b']:,}",
            f"{row['difference']:+,}",
        )
        for row in different.to_dict("records")
    ]
    headings = ["Layer", first.name, second.name, f"MACs {first.name}", f"MACs {second.name}", "more"]
    return long_table(headings, rows, "What differs, layer by layer")


def _layers(one: Chosen) -> Any:
    counted = cost(one.architecture)
    rows = [
        (
            layer.name,
            f"{layer.out_channels}x{format_pixels(layer.size, layer.width)}",
            str(layer.fusion or ""),
            f"{layer.macs:,}",
            f"{layer.params:,}",
        )
        for layer in counted.layers
    ]
    total = ("total", "", "", f"{counted.macs:,}", f"{counted.params:,}")
    return long_table(
        ["Layer", "Output", "Fusion", "MACs", "Parameters"], [*rows, total], f"The layers of {one.name}"
    )


def _export_says(runs: Runs, name: str, number: int, weights: bool) -> Any:
    if not weights:
        if runs.find(name).resolve() == EXAMPLE.resolve():
            return "No export: the example comes without weights."
        return f"No export: {NO_WEIGHTS}."
    command = html.Code(export_command(runs.find(name), number))
    return ["A folder with PyTorch, ONNX and plain Python, as a zip. Or: ", command]
