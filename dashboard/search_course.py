"""The course of a search: its hypervolume over time, its rate, where the time went, early stopping and failures."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from html import escape
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from bft_nas.core.units import format_duration, format_macs
from bft_nas.dashboard._run_data import RunData
from bft_nas.dashboard._style import (
    AMBER,
    BUTTERFLY,
    COLOURS,
    DASHES,
    DEPTHWISE,
    GRID,
    SECOND,
    Draw,
    describe,
    layout,
    nothing,
    plainly,
)
from bft_nas.record.pareto import complete, hypervolume, nowhere_above

SEARCH_VIEWS = {
    "hypervolume_epochs": "Hypervolume over trained epochs",
    "hypervolume_seconds": "Hypervolume over time",
    "rate": "Candidates per hour",
    "time": "Where the time went",
    "rungs": "Stopped early",
    "failures": "Failures",
}
"""What `search_figures` returns, and the heading of each."""
# The rate is that of so many candidates up to each.
WINDOW = 10
# What `RunData.clock` tells apart, for people.
PARTS = {
    "proposing": "proposing",
    "training": "proxy trainings",
    "waiting": "waiting for a worker, a resumption or a promotion",
}
# Reasons that are shown, and counts up to which an axis would have ticks between them.
REASONS, FEW = 8, 8


def search_figures(runs: Mapping[str, RunData], draw: Draw = plainly) -> dict[str, go.Figure]:
    """The figures of `SEARCH_VIEWS` by name, with all of the runs in each; ``draw`` makes each of them.

    The hypervolume is the part of the rectangle from no MACs to the largest budget and from no accuracy to all that
    the front dominates. Time is that since the first proposal, without the pauses in which nothing was under way.
    """

    @cache
    def courses() -> dict[str, pd.DataFrame]:
        return {name: course(run) for name, run in runs.items()}

    views = {
        "hypervolume_epochs": lambda: _hypervolume_figure(runs, courses(), "epochs"),
        "hypervolume_seconds": lambda: _hypervolume_figure(runs, courses(), "seconds"),
        "rate": lambda: _rate_figure(courses()),
        "time": lambda: _time_figure(runs),
        "rungs": lambda: _rungs_figure(runs),
        "failures": lambda: _failures_figure(runs),
    }
    return {name: draw(name, make) for name, make in views.items()}


def course(run: RunData) -> pd.DataFrame:
    """One row a candidate in the order in which they ended: ``number``, ``state``, ``macs``, ``accuracy``.

    With ``epochs`` and ``seconds`` of the search up to then; a stopped candidate counts from its start on for as
    long as it was trained.
    """
    columns = ["number", "state", "macs", "accuracy", "epochs", "seconds"]
    if run.results.empty:
        return pd.DataFrame(columns=columns)
    times = run.proposals.set_index("number")[["started", "ended"]].reindex(run.results["number"])
    lasted = pd.to_timedelta(run.results["seconds"].to_numpy(float), unit="s")
    ended = times["ended"].fillna(times["started"] + lasted)
    frame = run.results[columns].assign(started=times["started"].to_numpy(), ended=ended.to_numpy())
    frame = frame.sort_values("started", kind="stable")
    # Whatever begins after all before it has ended begins after a pause.
    ends = frame["ended"].cummax()
    pause = (frame["started"] - ends.shift()).dt.total_seconds().fillna(0.0).clip(lower=0.0).cumsum()
    since = (frame["ended"] - frame["started"].min()).dt.total_seconds() - pause
    frame = frame.assign(seconds=since).sort_values("ended", kind="stable")
    return frame.assign(epochs=frame["epochs"].cumsum())[columns].reset_index(drop=True)


def hypervolumes(found: pd.DataFrame, most_macs: float) -> list[float]:
    """The hypervolume after each candidate of a `course`."""
    front: list[tuple[float, float]] = []
    volumes: list[float] = []
    volume = 0.0
    for state, macs, accuracy in found[["state", "macs", "accuracy"]].itertuples(index=False):
        costs = (macs, -accuracy)
        if state == "complete" and not any(nowhere_above(other, costs) for other in front):
            front = [*(other for other in front if not nowhere_above(costs, other)), costs]
            volume = hypervolume(((m, -cost) for m, cost in front), most_macs)
        volumes.append(volume)
    return volumes


def _hypervolume_figure(
    runs: Mapping[str, RunData], courses: Mapping[str, pd.DataFrame], over: str
) -> go.Figure:
    figure = go.Figure(layout=layout(f"hypervolume_{over}", height=380))
    shown = {name: found for name, found in courses.items() if not complete(found).empty}
    if not shown:
        return nothing(figure, "No candidate is complete yet.")
    most = max(max(runs[name].budgets, default=1) for name in shown)
    scale, unit = (
        _unit(max(found["seconds"].max() for found in shown.values())) if over == "seconds" else (1, "epochs")
    )
    said = []
    for rank, (name, found) in enumerate(shown.items()):
        volumes = hypervolumes(found, most)
        said.append(f"{name} {volumes[-1]:.3f} after {found[over].iloc[-1] / scale:.4g} {unit}")
        figure.add_trace(
            go.Scatter(
                x=[0.0, *(found[over] / scale)],
                y=[0.0, *volumes],
                customdata=[None, *found["number"]],
                name=escape(name),
                mode="lines",
                line={"shape": "hv", "width": 2.5, **_line(rank)},
                hovertemplate=f"%{{y:.3f}} after %{{x:.4g}} {unit}<br>candidate %{{customdata}}<extra></extra>",
            )
        )
    figure.update_layout(showlegend=len(shown) > 1, margin_t=64 if len(shown) > 1 else 24)
    figure.update_xaxes(title_text="epochs trained in all" if over == "epochs" else unit)
    figure.update_yaxes(title_text=f"hypervolume up to {format_macs(most)} MACs", rangemode="tozero")
    return describe(figure, f"Hypervolume up to {format_macs(most)} MACs: {'; '.join(said)}.")


def _rate_figure(courses: Mapping[str, pd.DataFrame]) -> go.Figure:
    figure = go.Figure(layout=layout("rate", height=380))
    shown = {name: found for name, found in courses.items() if len(found) > 1}
    if not shown:
        return nothing(figure, "A rate needs two candidates.")
    scale, unit = _unit(max(found["seconds"].max() for found in shown.values()))
    said = []
    for rank, (name, found) in enumerate(shown.items()):
        at = np.concatenate(([0.0], found["seconds"].to_numpy(float)))
        back = np.maximum(0, np.arange(len(at)) - WINDOW)
        rates = 3600 * (np.arange(len(at)) - back)[1:] / np.maximum(at - at[back], 1e-3)[1:]
        said.append(f"{name} {3600 * len(found) / max(at[-1], 1e-3):,.0f}")
        figure.add_trace(
            go.Scatter(
                x=at[1:] / scale,
                y=rates,
                customdata=found["number"].tolist(),
                name=escape(name),
                mode="lines",
                line={"width": 2.5, **_line(rank)},
                hovertemplate=f"%{{y:.0f}} an hour at %{{x:.4g}} {unit}<br>candidate %{{customdata}}<extra></extra>",
            )
        )
    figure.update_layout(showlegend=len(shown) > 1, margin_t=64 if len(shown) > 1 else 24)
    figure.update_xaxes(title_text=unit, rangemode="tozero")
    figure.update_yaxes(title_text=f"candidates an hour, the last {WINDOW}", rangemode="tozero")
    return describe(figure, f"Candidates an hour on average: {'; '.join(said)}.")


def _time_figure(runs: Mapping[str, RunData]) -> go.Figure:
    figure = go.Figure(layout=layout("time", height=150 + 46 * len(runs)))
    clocks = {name: run.clock for name, run in runs.items()}
    clocks = {name: clock for name, clock in clocks.items() if sum(clock.values())}
    if not clocks:
        return nothing(figure, "No candidate has ended yet.")
    for (part, told), colour in zip(PARTS.items(), (AMBER, SECOND, DEPTHWISE), strict=True):
        seconds = [clock[part] for clock in clocks.values()]
        parts = [100 * clock[part] / sum(clock.values()) for clock in clocks.values()]
        figure.add_trace(
            go.Bar(
                x=parts,
                y=[escape(name) for name in clocks],
                orientation="h",
                name=told,
                marker={"color": colour},
                text=[
                    format_duration(each) if width > 12 else ""
                    for each, width in zip(seconds, parts, strict=True)
                ],
                textposition="inside",
                insidetextanchor="middle",
                customdata=[format_duration(each) for each in seconds],
                hovertemplate=f"%{{y}}: %{{customdata}} {told}, %{{x:.1f}}%<extra></extra>",
            )
        )
    figure.update_layout(barmode="stack", bargap=0.35, legend_traceorder="normal")
    figure.update_xaxes(title_text="of the time, proposal to end", ticksuffix="%", range=[0, 101])
    figure.update_yaxes(ticklabelstandoff=6, showgrid=False, autorange="reversed")
    said = "; ".join(
        f"{name}: {', '.join(f'{PARTS[part]} {format_duration(seconds)}' for part, seconds in clock.items())}"
        for name, clock in clocks.items()
    )
    return describe(figure, f"Where the time went. {said}.")


def _rungs_figure(runs: Mapping[str, RunData]) -> go.Figure:
    figure = go.Figure(layout=layout("rungs", height=380))
    rows = [(name, rung, *_at_rung(run.results, rung)) for name, run in runs.items() for rung in run.rungs]
    if not rows:
        return nothing(figure, "No candidate is stopped early: the search has no scheduler.")
    names, rungs, reached, stopped = map(list, zip(*rows, strict=True))
    x: list[Any] = [f"epoch {rung}" for rung in rungs]
    if len(set(names)) > 1:
        x = [[escape(name) for name in names], x]
    continued = [all_of - some for all_of, some in zip(reached, stopped, strict=True)]
    for label, counts, colour in (("continued", continued, BUTTERFLY), ("stopped", stopped, DEPTHWISE)):
        figure.add_trace(
            go.Bar(
                x=x,
                y=counts,
                name=label,
                marker={"color": colour},
                text=counts,
                textposition="auto",
                hovertemplate=f"%{{y}} {label} after %{{x}}<extra></extra>",
            )
        )
    figure.update_layout(barmode="stack", bargap=0.4, legend_traceorder="normal")
    figure.update_xaxes(dividercolor=GRID, showgrid=False)
    figure.update_yaxes(title_text="candidates")
    said = "; ".join(f"{name}, after epoch {rung}: {some} of {all_of}" for name, rung, all_of, some in rows)
    return describe(figure, f"Stopped early. {said}.")


def _at_rung(results: pd.DataFrame, rung: int) -> tuple[int, int]:
    """How many reached a rung, and how many of them were stopped there."""
    stopped = (results["state"] == "stopped") & (results["epochs"] == rung)
    return int((results["epochs"] >= rung).sum()), int(stopped.sum())


def _failures_figure(runs: Mapping[str, RunData]) -> go.Figure:
    counts = (
        pd.concat(
            [
                run.results.loc[run.results["state"] == "failed", "reason"].value_counts().rename(name)
                for name, run in runs.items()
            ],
            axis=1,
        ).fillna(0)
        if runs
        else pd.DataFrame()
    )
    counts = counts.loc[counts.sum(axis=1).nlargest(REASONS).index][::-1] if len(counts) else counts
    figure = go.Figure(layout=layout("failures", height=max(260, 140 + 46 * len(counts))))
    if counts.empty:
        return nothing(figure, "No candidate failed.")
    for rank, name in enumerate(counts.columns):
        figure.add_trace(
            go.Bar(
                x=counts[name].tolist(),
                # Not the reasons: long ones that begin alike would be one.
                y=list(range(len(counts))),
                orientation="h",
                name=escape(str(name)),
                marker={"color": COLOURS[rank % len(COLOURS)]},
                customdata=[escape(str(reason)) for reason in counts.index],
                hovertemplate="%{x}: %{customdata}<extra></extra>",
            )
        )
    figure.update_layout(barmode="stack", bargap=0.4, showlegend=len(counts.columns) > 1)
    figure.update_xaxes(title_text="candidates", tickformat="d", rangemode="tozero")
    if counts.sum(axis=1).max() <= FEW:
        figure.update_xaxes(dtick=1)
    figure.update_yaxes(
        ticklabelstandoff=6,
        showgrid=False,
        tickvals=list(range(len(counts))),
        ticktext=["<br>".join(map(escape, wrap(str(reason), 26)[:3])) for reason in counts.index],
    )
    said = "; ".join(f"{int(count)} times {reason}" for reason, count in counts.sum(axis=1)[::-1].items())
    return describe(figure, f"Why candidates failed: {said}.")


def _unit(seconds: float) -> tuple[float, str]:
    return (3600, "hours") if seconds > 7200 else (60, "minutes") if seconds > 120 else (1, "seconds")


def _line(rank: int) -> dict[str, str]:
    return {"color": COLOURS[rank % len(COLOURS)], "dash": DASHES[rank % len(DASHES)]}
