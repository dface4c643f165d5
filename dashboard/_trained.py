"""The page of the networks trained to the end: all of them in a list, and one with its curve, which grows."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import plotly.graph_objects as go
from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.exceptions import PreventUpdate
from flask import Response, abort

from bft_nas.core.errors import UserError, printable
from bft_nas.dashboard._download import first_command, trained_command, trained_zip
from bft_nas.dashboard._html import WITH_SCRIPTS
from bft_nas.dashboard._layout import EVERY, LIVE, TRAINED, runs_list, trained_text
from bft_nas.dashboard._parts import EMPTY, Pieces, facts, figure, fill, outputs, scrolled
from bft_nas.dashboard._runs import Runs
from bft_nas.dashboard._style import alternative, guarded, tell_terminal
from bft_nas.dashboard._view import View, view_query
from bft_nas.dashboard.network import strip_figure
from bft_nas.dashboard.trained_report import curve_figure, loss_figure, trained_report
from bft_nas.record.card import accuracy_text, facts_of_trained
from bft_nas.record.trained import Trained
from bft_nas.record.trained_summary import HEADINGS, Summary
from bft_nas.training.curve import BEST

REPORTS = f"{TRAINED}/report/"
"""Of the paths of reports, before the name of a network."""
# A report has scripts: whatever one could do, it does it apart from the dashboard.
APART = f"sandbox allow-scripts allow-downloads; {WITH_SCRIPTS}"
EXPORT = "Export as PyTorch and ONNX"
ABOUT = (
    "Trainings to the end, each at the deployment resolution of its network. An accuracy is not to be compared with "
    "that of a candidate in a search, nor with that of a network trained on other data."
)
ONE = (
    "trained-list.children",
    "trained-one.hidden",
    "trained-title.children",
    "trained-headline.children",
    "trained-report.href",
    "trained-facts.children",
    "trained-curve.figure",
    "trained-curve-figure.aria-label",
    "trained-loss.figure",
    "trained-loss-figure.aria-label",
    "trained-strip.figure",
    "trained-strip-figure.aria-label",
    "trained-export.disabled",
    "trained-export-says.children",
    "trained-live.children",
)
"""What the page shows of the networks, and of one."""
FOLLOWED = (
    "trained-version.data",
    "trained-shown.data",
    "trained-gone.children",
    "trained-gone.hidden",
    *ONE,
)


def network_link(name: str) -> str:
    """The address of a trained network's page."""
    return f"{TRAINED}?{urlencode({'network': name})}"


def trained_page(runs: Runs, search: str) -> html.Div:
    """The page that an address asks for."""
    asked = dict(parse_qsl(search.removeprefix("?"))).get("network", "")
    name, problem = _chosen(runs, asked)
    page = html.Div(
        [
            dcc.Interval(id="trained-clock", interval=EVERY),
            dcc.Store(id="trained-shown", data=name),
            dcc.Store(id="trained-version", data=runs.trainings.signature()),
            html.A("To the network", href="#trained-one", className="skip"),
            html.Header(
                html.Div(
                    [
                        html.H1("Trained networks"),
                        runs_list(runs.names(), ""),
                        html.Span(id="trained-live", className="live"),
                    ],
                    className="title",
                )
            ),
            html.Div(problem, className="problem", role="alert", hidden=not problem),
            html.Div(id="trained-gone", className="problem", role="alert", hidden=True),
            html.Div(id="trouble", className="problem", role="alert", hidden=True),
            html.Main([html.Section(id="trained-list", className="trained-list"), _one()]),
        ]
    )
    fill(page, ONE, _values(runs, name))
    return page


def _one() -> html.Section:
    return html.Section(
        [
            html.H2(id="trained-title"),
            html.P(id="trained-headline", className="headline", **LIVE),
            html.Div(
                [
                    html.A("Open the report", id="trained-report", target="_blank", className="button"),
                    html.Fieldset(html.Button(EXPORT, id="trained-export"), id="trained-exporting"),
                    dcc.Download(id="trained-exported"),
                ],
                className="actions",
            ),
            html.P(id="trained-export-says", className="about", role="status"),
            html.Dl(id="trained-facts", className="facts"),
            html.Div(
                [
                    html.Div([html.H3("Accuracy on the validation images"), figure("trained-curve")]),
                    html.Div([html.H3("Loss"), figure("trained-loss")]),
                ],
                className="columns",
            ),
            html.H3("The network"),
            html.Div(figure("trained-strip"), className="wide"),
        ],
        id="trained-one",
        className="trained-one",
    )


def register(app: Dash, runs: Runs) -> None:
    """Follow what is trained, export a network, and serve its report."""

    @app.callback(
        outputs(FOLLOWED),
        Input("trained-clock", "n_intervals"),
        State("trained-version", "data"),
        State("trained-shown", "data"),
        prevent_initial_call=True,
    )
    def follow(_: int, version: str, shown: str) -> tuple[Any, ...]:
        now = runs.trainings.signature()
        if now == version:
            raise PreventUpdate
        name, problem = _chosen(runs, shown)
        if problem:
            told = f"{problem}; what is shown is what it was."
            return now, shown, told, False, *(no_update for _ in ONE)
        return now, name, "", True, *_values(runs, name)

    @app.callback(
        Output("trained-exported", "data"),
        Input("trained-export", "n_clicks"),
        State("trained-shown", "data"),
        running=[
            (Output("trained-exporting", "disabled"), True, False),
            (Output("trained-export", "children"), "Exporting and checking ...", EXPORT),
        ],
        prevent_initial_call=True,
    )
    def export(clicks: int, name: str) -> dict[str, Any]:
        content = trained_zip(runs.trainings.open(name).folder)
        return dict(dcc.send_bytes(content, f"{name}.zip"))  # type: ignore[attr-defined, no-untyped-call]

    def report(name: str) -> Response:
        try:
            page = trained_report(runs.trainings.open(name))
        except UserError as error:
            abort(404, str(error))
        return Response(page, headers={"Content-Security-Policy": APART})

    # With slashes, too, lest Dash answers instead: a name has none, and so there is no such network.
    app.server.add_url_rule(f"{REPORTS}<path:name>", view_func=report)


def _chosen(runs: Runs, asked: str) -> tuple[str, str]:
    """The network to show, and why the one that was asked for is not: by default the newest in training, or of all."""
    if asked and asked in runs.trainings.names():
        return asked, ""
    found, _ = runs.trainings.all()
    first = next((each.name for each in found if each.evaluation is None and each.at_work), "")
    name = first or next((each.name for each in found), "")
    if not asked:
        return printable(name), ""
    try:
        runs.trainings.open(asked)
    except UserError as error:
        return printable(name), str(error)
    return printable(name), ""


def _values(runs: Runs, name: str) -> tuple[Any, ...]:
    """The values of `ONE`."""
    found, problems = runs.trainings.all()
    summary = next((each for each in found if printable(each.name) == name), None)
    training = sum(each.at_work and each.evaluation is None for each in found)
    live = f"{trained_text(len(found))}, {training or 'none'} in training · read at {datetime.now():%H:%M:%S}"
    one: tuple[Any, ...] = (True, "", "", "", [], EMPTY, "", EMPTY, "", EMPTY, "", True, "")
    if summary is not None:
        try:
            one = _shown(runs.trainings.open(name), summary)
        except UserError as error:
            problems = [*problems, str(error)]
    return _list(runs, found, problems, name), *one, live


def _shown(trained: Trained, summary: Summary) -> tuple[Any, ...]:
    """Those of them that are about one network."""
    curve, draw = trained.curve(), guarded(tell_terminal)
    figures = [
        draw("curve", lambda: _whole(curve_figure(curve), summary)),
        draw("loss", lambda: _whole(loss_figure(curve), summary)),
        draw("strip", lambda: strip_figure(trained.architecture)),
    ]
    weights = (trained.folder / BEST).is_file()
    name = printable(trained.name)
    return (
        False,
        name,
        _headline(summary, trained),
        f"{REPORTS}{quote(name, safe='')}",
        facts((key[0].upper() + key[1:], printable(value)) for key, value in facts_of_trained(trained)),
        *(value for each in figures for value in (each.update_layout(height=None), alternative(each))),
        not weights,
        _export_says(trained, summary, weights),
    )


def _whole(drawn: go.Figure, summary: Summary) -> go.Figure:
    """A curve with room for the epochs to come."""
    if summary.epoch and summary.evaluation is None:
        tick = max(1, -(-summary.epochs // 10))
        drawn.update_xaxes(range=[0.5, summary.epochs + 0.5], dtick=tick)
    return drawn


def _headline(summary: Summary, trained: Trained) -> Pieces:
    if summary.evaluation is None:
        state, _, rest = summary.accuracy.partition(", ")
        resume = shlex.join(["bft-nas", "train", "--resume", str(trained.folder)])
        told = [] if summary.at_work else ["; resume with: ", html.Code(printable(resume))]
        return [html.Strong(state.capitalize()), f" {rest}", *told]
    accuracy, _, rest = accuracy_text(summary.evaluation).partition(" ")
    flattered = "; they chose the best weights" if summary.evaluation.split == "validation" else ""
    return [html.Strong(accuracy), f" {rest}{flattered}"]


def _export_says(trained: Trained, summary: Summary, weights: bool) -> Any:
    if not weights:
        return "No export yet: there are weights after the first epoch."
    so_far = "" if summary.evaluation is not None else "The best weights so far. "
    command = html.Code(trained_command(trained.folder))
    return [f"{so_far}A folder with PyTorch, ONNX and plain Python, as a zip. Or: ", command]


def _list(runs: Runs, found: Sequence[Summary], problems: Sequence[str], current: str) -> Pieces:
    told = [html.P(problem, className="problem") for problem in problems]
    if not found:
        run = None if runs.is_empty else runs.find(runs.names()[-1])
        where = f"No network was trained to the end under '{runs.trainings.folder}' yet. Begin with: "
        return [html.P([printable(where), html.Code(first_command(run, runs.trainings.folder))]), *told]
    known = set(runs.names())
    rows = [html.Tr(_cells(each, known, current)) for each in found]
    numeric = {"MACs", "parameters"}
    head = [
        html.Th(
            heading[0].upper() + heading[1:], scope="col", className="number" if heading in numeric else ""
        )
        for heading in HEADINGS
    ]
    content = html.Table([html.Thead(html.Tr(head)), html.Tbody(rows)])
    return [html.P(ABOUT, className="about"), scrolled(content, "Trained networks"), *told]


def _cells(summary: Summary, known: set[str], current: str) -> Pieces:
    name, accuracy, macs, params, network, data, begun = summary.cells
    marks: Mapping[str, Any] = {"aria-current": "page"} if name == current else {}
    said: Any = network
    if summary.candidate is not None and printable(summary.candidate[0]) in known:
        run, number = summary.candidate
        said = html.A(network, href=f"/{view_query(View(run=printable(run), candidate=number))}")
    return [
        html.Th(html.A(name, href=network_link(name), **marks), scope="row"),
        html.Td(accuracy),
        html.Td(macs, className="number"),
        html.Td(params, className="number"),
        html.Td(said),
        html.Td(data),
        html.Td(begun),
    ]
