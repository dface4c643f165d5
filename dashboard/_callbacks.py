"""What keeps the page together: it is made from its address, keeps its address, and follows its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from dash import Dash, Input, Output, State, ctx, html, no_update, set_props
from dash.exceptions import PreventUpdate
from flask import request
from werkzeug import Response
from werkzeug.utils import redirect

from bft_nas.core.errors import UserError
from bft_nas.dashboard._candidate import CANDIDATE, candidate_values
from bft_nas.dashboard._front import FRONT, front_values
from bft_nas.dashboard._layout import (
    TRAINED,
    families_of,
    lost_page,
    run_facts,
    run_links,
    run_page,
    trained_text,
)
from bft_nas.dashboard._parts import fill
from bft_nas.dashboard._runs import Runs
from bft_nas.dashboard._style import cannot_be_shown, tell_terminal
from bft_nas.dashboard._trained import trained_page
from bft_nas.dashboard._view import (
    FILTERS,
    MACS,
    MOST_MARKED,
    Range,
    View,
    budget_stops,
    filtered,
    nearest_stop,
    parse_number,
    parse_view,
    stored,
    view_query,
)
from bft_nas.dashboard.front import candidates_text


def register(app: Dash, runs: Runs, shown: Sequence[str]) -> None:
    """Give the app its page, and the page its address.

    Args:
        app: gets the callbacks.
        runs: what may be shown.
        shown: names of runs, see `bft_nas.dashboard.app.make_app`.
    """

    def asked(search: str | None) -> tuple[View, tuple[str, ...]]:
        """The view of an address, with a run where it names none."""
        view, problems = parse_view(search or "")
        if view.run:
            return view, problems
        name = next(iter([*shown, *reversed(runs.names())]), "")
        together = tuple(shown) if len(shown) > 1 else ()
        return replace(view, run=name, runs=view.runs or together), problems

    def is_for_trained(search: str | None) -> bool:
        """Whether an address that says nothing is for the trained networks: who has not searched comes to see them."""
        return bool(not search and not shown and runs.is_empty and runs.trainings.names())

    def name_the_run() -> Response | None:
        # An address that names no run would be for another one as soon as that begins.
        search = request.query_string.decode(errors="replace")
        if request.path != "/" or request.args.get("run") or is_for_trained(search):
            return None
        if request.routing_exception:
            # By a name that is none of this machine's.
            raise request.routing_exception
        view, _ = asked(search)
        named = view_query(View(run=view.run, runs=view.runs))
        return redirect(f"/{named}&{search}".removesuffix("&")) if view.run else None

    app.server.before_request(name_the_run)

    @app.callback(Output("page", "children"), Input("arrival", "pathname"), State("arrival", "search"))
    def show_page(path: str | None, search: str | None) -> Any:
        try:
            return page_at(path, search)
        except Exception as error:
            tell_terminal("page", error)
            said = str(error) if isinstance(error, UserError) else cannot_be_shown(error)
            return lost_page(said, runs.names())

    def page_at(path: str | None, search: str | None) -> Any:
        if path == TRAINED or is_for_trained(search):
            return trained_page(runs, search or "")
        view, problems = asked(search)
        if not view.run:
            raise UserError(f"There is no run under '{runs.folder}' yet.")
        version, data = _version(runs, view), runs.read(view.run)
        trained = len(runs.trainings.names())
        page = html.Div(run_page(data, view, version, runs.names(), problems, trained))
        fill(page, FRONT, front_values(data, view))
        fill(page, CANDIDATE, candidate_values(runs, data, view))
        fill(page, ("live.children",), (_live(candidates_text(data.results)),))
        return page

    _keep_address(app, runs)
    _listen_to_figures(app)
    _follow(app, runs)


def _keep_address(app: Dash, runs: Runs) -> None:
    @app.callback(
        output={
            "search": Output("url", "search"),
            "view": Output("view", "data"),
            "chosen": Output("chosen", "data"),
        },
        inputs={
            "given": {
                "search": Input("url", "search"),
                "macs": Input("macs", "value"),
                "fusion": Input("fusion", "value"),
                "families": Input("families", "value"),
                "states": Input("states", "value"),
                "across": Input("across", "value"),
                "published": Input("published", "value"),
                "candidate": Input("candidate", "value"),
                "beside": Input("beside", "value"),
                "marked": Input("marked", "data"),
                "tab": Input("tab", "value"),
                "runs": Input("runs", "value"),
                "axes": Input("axes", "data"),
            }
        },
        state={"before": State("view", "data")},
        prevent_initial_call=True,
    )
    def keep_address(given: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
        set_props("trouble", {"hidden": True})
        old = View.from_stored(before)
        stops = budget_stops(runs.read(old.run).budgets)
        if set(ctx.triggered_prop_ids) == {"url.search"}:
            # Somebody went back, or came by a link within the page.
            view = replace(parse_view(given["search"])[0], run=old.run)
            if view == old:
                raise PreventUpdate
            _set_controls(view, stops)
        else:
            view = _controlled(old, given, stops)
            if view.across != old.across:
                # A zoom along one axis says nothing of another.
                view = replace(view, x=None)
                set_props("axes", {"data": {"x": None, "y": view.y}})
        return {
            "search": no_update if view_query(view) == given["search"] else view_query(view),
            "view": no_update if view == old else stored(view),
            "chosen": no_update if view.chosen == old.chosen else stored(view.chosen),
        }


def _set_controls(view: View, stops: Sequence[int]) -> None:
    for name, value in (
        ("macs", nearest_stop(view.macs, stops)),
        ("fusion", view.fusion or None),
        ("families", list(view.families)),
        ("states", list(view.states)),
        ("across", view.across),
        ("published", ["yes"] if view.published else []),
        ("candidate", _typed(view.candidate)),
        ("beside", _typed(view.beside)),
        ("tab", view.tab),
        ("runs", list(view.runs) or [view.run]),
    ):
        set_props(name, {"value": value})
    set_props("marked", {"data": list(view.marked)})
    set_props("axes", {"data": {"x": view.x, "y": view.y}})


def _controlled(old: View, given: Mapping[str, Any], stops: Sequence[int]) -> View:
    """What the controls say, and for the rest what was before."""
    compared = tuple(given["runs"] or ())
    filters = (given[name] for name in FILTERS)
    return replace(
        filtered(old, stops, *filters),
        across=given["across"] or MACS,
        published="yes" in given["published"],
        candidate=_number(given["candidate"]),
        beside=_number(given["beside"]),
        marked=tuple(given["marked"]),
        tab=given["tab"],
        runs=() if compared == (old.run,) else compared,
        x=_range(given["axes"]["x"]),
        y=_range(given["axes"]["y"]),
    )


def _range(ends: Sequence[float] | None) -> Range | None:
    return (float(ends[0]), float(ends[1])) if ends else None


def _number(text: str | None) -> int | None:
    """The number typed for a candidate; UserError for what is none."""
    try:
        return parse_number(text.strip().removeprefix("#")) if text and text.strip() else None
    except ValueError as error:
        raise UserError(f"candidate '{str(text)[:40]}': {error}") from None


def _typed(number: int | None) -> str | None:
    return None if number is None else str(number)


def _listen_to_figures(app: Dash) -> None:
    """What is done in the front and in the table is written into controls, which the address follows."""

    @app.callback(
        Output("candidate", "value"),
        Output("beside", "value"),
        Input("front", "clickData"),
        State("picks", "value"),
        prevent_initial_call=True,
    )
    def click(clicked: dict[str, Any], picks: str) -> tuple[Any, Any]:
        numbers = [point["customdata"] for point in clicked["points"] if point.get("customdata") is not None]
        if not numbers:
            raise PreventUpdate
        return (no_update, str(numbers[0])) if picks == "beside" else (str(numbers[0]), no_update)

    @app.callback(
        Output("published", "value"),
        Input("front", "restyleData"),
        State("drawn", "data"),
        prevent_initial_call=True,
    )
    def click_legend(restyled: list[Any], drawn: dict[str, Any]) -> list[str]:
        changes, traces = restyled
        for trace, visible in zip(traces, changes.get("visible", ()), strict=False):
            if trace in drawn["published"]:
                return ["yes"] if visible is True else []
        raise PreventUpdate

    @app.callback(
        Output("axes", "data"),
        Input("front", "relayoutData"),
        State("axes", "data"),
        State("drawn", "data"),
        prevent_initial_call=True,
    )
    def zoom(changed: dict[str, Any] | None, axes: dict[str, Any], drawn: dict[str, Any]) -> dict[str, Any]:
        zoomed = _zoomed(axes, changed or {}, drawn)
        if zoomed == axes:
            raise PreventUpdate
        return zoomed

    @app.callback(
        Output("marked", "data"),
        Input("table", "selectedRows"),
        State("table", "rowData"),
        State("marked", "data"),
        prevent_initial_call=True,
    )
    def select_rows(selected: Any, rows: list[dict[str, Any]], marked: list[int]) -> list[int]:
        if not isinstance(selected, list):
            # Rows that the page itself selects, named by their ids.
            raise PreventUpdate
        # What a filter hides stays marked.
        hidden = {*marked} - {row["number"] for row in rows}
        return sorted({*hidden, *(row["number"] for row in selected)})[:MOST_MARKED]


def _zoomed(axes: Mapping[str, Any], changed: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    ranges = dict(axes)
    for name in ranges:
        axis = f"{name}axis"
        if f"{axis}.range[0]" in changed:
            ranges[name] = [changed[f"{axis}.range[0]"], changed[f"{axis}.range[1]"]]
        elif f"{axis}.range" in changed:
            ranges[name] = changed[f"{axis}.range"]
        elif changed.get(f"{axis}.autorange"):
            ranges[name] = None
    # Back at where the figure began is no zoom.
    return {name: None if ends == whole[name] else ends for name, ends in ranges.items()}


def _follow(app: Dash, runs: Runs) -> None:
    @app.callback(
        Output("version", "data"),
        Output("gone", "children"),
        Output("gone", "hidden"),
        Output("live", "children"),
        Output("facts", "children"),
        Output("trained-count", "children"),
        Output("families", "options"),
        Output("runs", "options"),
        Output("all-runs", "children"),
        Input("clock", "n_intervals"),
        State("version", "data"),
        State("view", "data"),
        State("gone", "hidden"),
        prevent_initial_call=True,
    )
    def follow(_: int, version: str, before: dict[str, Any], well: bool) -> tuple[Any, ...]:
        view = View.from_stored(before)
        try:
            now = _version(runs, view)
            if now == version and well:
                raise PreventUpdate
            data = runs.read(view.run)
        except UserError as error:
            if not well:
                raise PreventUpdate from None
            return no_update, f"{error}; what is shown is what it was.", False, "", *[no_update] * 5
        names = runs.names()
        return (
            now,
            "",
            True,
            _live(candidates_text(data.results)),
            run_facts(data),
            trained_text(len(runs.trainings.names())),
            families_of(data, view),
            list(reversed(names)),
            run_links(names, view.run),
        )


def _version(runs: Runs, view: View) -> str:
    """What differs when the records of a view's runs have, or a run or a training to the end has begun or ended.

    UserError when its own run is not there any more.
    """
    others = [name for name in view.runs if name != view.run] if view.tab == "search" else []
    found = [runs.signature(view.run), *(_signature_of_other(runs, name) for name in others)]
    return str([*found, runs.names(), runs.trainings.standing()])


def _signature_of_other(runs: Runs, name: str) -> Any:
    try:
        return runs.signature(name)
    except UserError:
        return None


def _live(text: str) -> str:
    return f"{text} · read at {datetime.now():%H:%M:%S}"
