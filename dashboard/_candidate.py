"""What the page does for one candidate, or for two side by side: their networks, curves, YAML and export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from dash import Dash, Input, Output, State, dcc, html
from dash.exceptions import PreventUpdate

from bft_nas.dashboard._download import export_command, exported_zip
from bft_nas.dashboard._layout import EMPTY, facts, table
from bft_nas.dashboard._run_data import RunData
from bft_nas.dashboard._runs import Runs
from bft_nas.dashboard._style import alternative
from bft_nas.dashboard.curves import curves_figure
from bft_nas.dashboard.network import architecture_yaml, comparison_figure, differences, strip_figure
from bft_nas.errors import UserError
from bft_nas.network import Architecture, cost
from bft_nas.pareto import front, winners
from bft_nas.units import format_macs, format_percent

Row = Mapping[Any, Any]


@dataclass(frozen=True)
class Chosen:
    """A candidate to show."""

    number: int
    row: Row
    """See `bft_nas.run.COLUMNS`."""
    architecture: Architecture

    @property
    def name(self) -> str:
        """As people call it."""
        return f"#{self.number}"


def register(app: Dash, runs: Runs) -> None:
    """Show the chosen candidates, and export one."""

    @app.callback(
        output={
            "card": Output("card", "children"),
            "curve": Output("curve", "figure"),
            "curve_label": Output("curve-figure", "aria-label"),
            "hidden": Output("network", "hidden"),
            "title": Output("network-title", "children"),
            "says": Output("network-says", "children"),
            "strip": Output("strip", "figure"),
            "strip_label": Output("strip-figure", "aria-label"),
            "differences": Output("differences", "children"),
            "layers": Output("layers", "children"),
            "yaml": Output("yaml", "children"),
            "export_off": Output("export", "disabled"),
            "export_says": Output("export-says", "children"),
        },
        inputs=[Input("chosen", "data"), Input("version", "data"), State("run", "data")],
    )
    def show_candidate(chosen: dict[str, Any], version: str, run: str) -> dict[str, Any]:
        if not version:
            raise PreventUpdate
        data = runs.read(run)
        try:
            first = _find(runs, data, _number(data, chosen["candidate"]))
            beside = chosen["beside"]
            second = None if beside in (None, first.number) else _find(runs, data, beside)
        except UserError as error:
            return _nothing(str(error))
        return _shown(runs, data, first, second)

    @app.callback(
        Output("exported", "data"),
        Input("export", "n_clicks"),
        State("chosen", "data"),
        State("run", "data"),
        running=[
            (Output("export", "disabled"), True, False),
            (Output("export", "children"), "Exporting and checking ...", "Export as PyTorch and ONNX"),
        ],
        prevent_initial_call=True,
    )
    def export(clicks: int, chosen: dict[str, Any], run: str) -> dict[str, Any]:
        if not clicks:
            raise PreventUpdate
        number = _number(runs.read(run), chosen["candidate"])
        content = exported_zip(runs.find(run), number)
        return dict(dcc.send_bytes(content, f"{run}-{number}.zip"))


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


def _nothing(message: str) -> dict[str, Any]:
    return {
        "card": html.P(message, className="about"),
        "curve": EMPTY,
        "curve_label": "",
        "hidden": True,
        "title": "The network",
        "says": "",
        "strip": EMPTY,
        "strip_label": "",
        "differences": [],
        "layers": [],
        "yaml": "",
        "export_off": True,
        "export_says": "",
    }


def _shown(runs: Runs, data: RunData, first: Chosen, second: Chosen | None) -> dict[str, Any]:
    both = [first] if second is None else [first, second]
    curve = curves_figure(data.curves, highlighted=[one.number for one in both])
    # In a column of its own: no room for margins.
    curve.update_layout(height=None, margin={"l": 48, "r": 8, "t": 40, "b": 44})
    if second is None:
        strip = strip_figure(first.architecture)
        title, says, different = f"The network of {first.name}", STRIP_SAYS, []
    else:
        strip = comparison_figure(first.architecture, second.architecture, names=(first.name, second.name))
        title, says = f"{first.name} above, {second.name} below", COMPARISON_SAYS
        different = [_differences(first, second)]
    weights = runs.has_weights(data.name, first.number)
    return {
        "card": _card(data, both),
        "curve": curve,
        "curve_label": alternative(curve),
        "hidden": False,
        "title": title,
        "says": says,
        "strip": strip.update_layout(height=None),
        "strip_label": alternative(strip),
        "differences": different,
        "layers": _layers(first),
        "yaml": architecture_yaml(first.architecture),
        "export_off": not weights,
        "export_says": _export_says(runs, data.name, first.number, weights),
    }


STRIP_SAYS = "A bar for each layer: as wide as its output channels, as high as its MACs. Numbers are radices."
COMPARISON_SAYS = "Layers of the same place stand across from each other. Bars are as wide as output channels, as high as MACs."


def _card(data: RunData, both: list[Chosen]) -> Any:
    if len(both) == 1:
        (one,) = both
        return [
            html.P([html.Strong(_accuracy(one.row)), f" {_standing(data, one)}"], className="headline"),
            html.Dl(facts(_facts(one.row).items()), className="facts small"),
        ]
    columns = [
        {"accuracy": _accuracy(one.row), "is": _standing(data, one), **_facts(one.row)} for one in both
    ]
    rows = [(name, *(column[name] for column in columns)) for name in columns[0]]
    return table(["", *(one.name for one in both)], rows, "Both candidates")


def _accuracy(row: Row) -> str:
    return "failed" if row["state"] == "failed" else format_percent(row["accuracy"])


def _standing(data: RunData, one: Chosen) -> str:
    if one.row["state"] != "complete":
        return str(one.row["reason"])
    best = winners(data.results, data.budgets)
    won = [format_macs(int(budget)) for budget in best.loc[best["number"] == one.number, "for_budget"]]
    if won:
        return f"winner within {' and '.join(won)}"
    on_front = (front(data.results)["number"] == one.number).any()
    return "on the front" if on_front else "behind the front"


def _facts(row: Row) -> dict[str, str]:
    return {
        "MACs": f"{format_macs(row['macs'])} of {format_macs(row['budget'])}",
        "parameters": f"{row['params']:,}",
        "network": f"{row['family']} at {row['resolution']}x{row['resolution']}",
        "butterflies": f"{row['butterfly_share']:.0%} of the fusions' MACs",
        "peak memory": f"{row['peak_memory'] / 1e6:.2f} MB an image",
        "training": f"{row['epochs']} epochs, {row['seconds']:.1f} s",
        "fusions": str(row["fusions"]),
    }


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
    return table(headings, rows, "What differs, layer by layer")


def _layers(one: Chosen) -> Any:
    counted = cost(one.architecture)
    rows = [
        (
            layer.name,
            f"{layer.out_channels}x{layer.size}x{layer.size}",
            layer.fusion or "",
            f"{layer.macs:,}",
            f"{layer.params:,}",
        )
        for layer in counted.layers
    ]
    total = ("total", "", "", f"{counted.macs:,}", f"{counted.params:,}")
    return table(
        ["Layer", "Output", "Fusion", "MACs", "Parameters"], [*rows, total], f"The layers of {one.name}"
    )


def _export_says(runs: Runs, name: str, number: int, weights: bool) -> Any:
    if not weights:
        return "No export: weights are kept for the front only, and not in the example."
    command = html.Code(export_command(runs.find(name), number))
    return ["A folder with PyTorch, ONNX and plain Python, as a zip. Or: ", command]
