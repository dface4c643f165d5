"""Which choices of the space decide: their importances, and all candidates as lines across what they are."""

from __future__ import annotations

import warnings
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from bft_nas.core.units import format_percent
from bft_nas.dashboard._run_data import PROPOSAL_COLUMNS
from bft_nas.dashboard._style import AMBER, INK, SECOND, SHARE_SCALE, describe, layout, log_ticks, nothing
from bft_nas.record import Column
from bft_nas.record.columns import columns_in
from bft_nas.record.pareto import complete, front

WHAT_DECIDES = (
    "How much each choice separates the best tenth of the candidates from all (Optuna's PED-ANOVA)."
)
FEWEST = 10
# More than this many add seconds and no information: the evenly spaced ones stand for all.
MOST = 500
# Beyond it no eye follows a line, and drawing takes seconds.
MOST_LINES = 1000
SHOWN = 12
# Values of an axis up to which each of them has a tick.
FEW = 8


def importance_figure(proposals: pd.DataFrame, results: pd.DataFrame) -> go.Figure:
    """How much each choice decides whether a candidate is among the most accurate, and among the cheapest.

    Optuna's PED-ANOVA (Watanabe et al. 2023), which also evaluates choices that only some families have.

    Args:
        proposals: see `bft_nas.dashboard._run_data.RunData`.
        results: see `bft_nas.record.run.Run.results`.
    """
    found = importances(proposals, results)
    figure = go.Figure(layout=layout("importances", height=130 + 38 * max(6, min(SHOWN, len(found)))))
    if found.empty:
        done = len(complete(results))
        few = f"Importances need {FEWEST} complete candidates; there {'is' if done == 1 else 'are'} {done}."
        return nothing(figure, few if done < FEWEST else "Nothing was chosen among several values.")
    top = found.loc[found.max(axis=1).nlargest(SHOWN).index][::-1]
    for column, colour in (("macs", AMBER), ("accuracy", SECOND)):
        figure.add_trace(
            go.Bar(
                x=(100 * top[column]).tolist(),
                y=[_choice_name(name) for name in top.index],
                orientation="h",
                name={"macs": "for few MACs", "accuracy": "for accuracy"}[column],
                marker={"color": colour},
                hovertemplate="%{y}: %{x:.1f}%<extra></extra>",
            )
        )
    figure.update_layout(bargap=0.35, bargroupgap=0.05, legend={"traceorder": "reversed"})
    figure.update_xaxes(title_text="importance", ticksuffix="%")
    figure.update_yaxes(ticklabelstandoff=6, showgrid=False)
    said = "; ".join(
        f"for {word} {', '.join(f'{name} {format_percent(part)}' for name, part in found[column].nlargest(3).items())}"
        for column, word in (("accuracy", "accuracy"), ("macs", "few MACs"))
    )
    return describe(figure, f"The most important choices: {said}.")


def importances(proposals: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """One row a choice, with its importance for ``accuracy`` and for ``macs``, each of 0 to 1 and 1 in all.

    Empty with fewer than `FEWEST` complete candidates, or where nothing was chosen.
    """
    done = complete(results)
    parameters = [name for name in proposals.columns if name not in PROPOSAL_COLUMNS or name == "budget"]
    if len(done) < FEWEST:
        return pd.DataFrame(columns=["accuracy", "macs"])
    done = done.iloc[np.unique(np.linspace(0, len(done) - 1, MOST).astype(int))]
    chosen = proposals.set_index("number").loc[done["number"], parameters]
    chosen = chosen.loc[:, chosen.nunique() > 1]
    if chosen.empty or not len(chosen.columns):
        return pd.DataFrame(columns=["accuracy", "macs"])
    study = _study(chosen, done)
    from optuna.importance import get_param_importances

    with warnings.catch_warnings():
        # It takes less for better, and says so each time.
        warnings.simplefilter("ignore")
        return pd.DataFrame(
            {
                "accuracy": get_param_importances(study, target=lambda trial: -trial.values[0]),
                "macs": get_param_importances(study, target=lambda trial: trial.values[1]),
            }
        )


def _study(chosen: pd.DataFrame, done: pd.DataFrame) -> Any:
    """A study in memory of what was chosen and what came of it."""
    import optuna
    from optuna.distributions import CategoricalDistribution

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["maximize", "minimize"])
    spaces = {
        str(name): CategoricalDistribution(sorted(values.dropna().unique().tolist(), key=str))
        for name, values in chosen.items()
    }
    rows = [
        {str(name): value for name, value in row.items() if not pd.isna(value)}
        for row in chosen.to_dict("records")
    ]
    outcomes = zip(rows, done["accuracy"], done["macs"], strict=True)
    study.add_trials(
        [
            optuna.create_trial(
                params=row,
                distributions={name: spaces[name] for name in row},
                values=[accuracy, float(macs)],
            )
            for row, accuracy, macs in outcomes
        ]
    )
    return study


def parallel_figure(results: pd.DataFrame, proposals: pd.DataFrame) -> go.Figure:
    """Complete candidates as lines across what they are and what came of them; a drag along an axis filters.

    Of more than `MOST_LINES` these are the front, of which evenly spaced ones do where it is larger still, and evenly
    spaced ones of the others.

    Args:
        results: see `bft_nas.record.run.Run.results`.
        proposals: see `bft_nas.dashboard._run_data.RunData`.
    """
    done = complete(results)
    figure = go.Figure(layout=layout("parallel", height=420))
    if done.empty:
        return nothing(figure, "No candidate is complete.")
    if len(done) > MOST_LINES:
        best = _evenly(front(done)["number"], MOST_LINES)
        done = done[done["number"].isin([*best, *_evenly(done["number"], MOST_LINES - len(best))])]
    # What was chosen stands left of what came of it, and words outermost, where there is room for them.
    described_first = columns_in("axes")[::-1]
    columns = sorted(described_first, key=lambda column: column.format.numeric)
    dimensions = [_axis(column, done[column.name]) for column in columns if column.name in done]
    dimensions = [dimension for dimension in dimensions if dimension]
    if "budget_share" in proposals:
        shares = proposals.set_index("number")["budget_share"].reindex(done["number"])
        dimensions.insert(1, _ticked("budget share", shares))
    figure.add_trace(
        go.Parcoords(
            dimensions=dimensions,
            customdata=done["number"].tolist(),
            line={
                "color": (100 * done["butterfly_share"]).tolist(),
                "colorscale": SHARE_SCALE,
                "cmin": 0,
                "cmax": 100,
            },
            labelfont={"size": 12, "color": INK},
            tickfont={"size": 11, "color": INK},
            rangefont={"size": 1, "color": "rgba(0, 0, 0, 0)"},
            unselected={"line": {"color": INK, "opacity": 0.06}},
        )
    )
    figure.update_layout(margin={"l": 96, "r": 48, "t": 60, "b": 28})
    return describe(
        figure,
        f"{len(done)} complete candidates as lines across {', '.join(str(d['label']) for d in dimensions)}.",
    )


def _evenly(values: pd.Series[Any], most: int) -> pd.Series[Any]:
    """At most so many of them, evenly spaced."""
    return values.iloc[np.linspace(0, len(values) - 1, min(most, len(values))).astype(int)]


def _axis(column: Column, values: pd.Series[Any]) -> dict[str, Any]:
    """A column as an axis of parallel coordinates; empty where no candidate has a value."""
    form = column.format
    if values.isna().all():
        return {}
    if not form.numeric:
        return _named(column.heading, values)
    label = f"{column.heading} ({form.axis_unit})" if form.axis_unit else column.heading
    scaled = form.scale * values
    if form.logarithmic:
        return _logarithms(label, scaled)
    if form.scale == 1 and scaled.nunique() <= FEW:
        return _ticked(label, scaled)
    return {"label": label, "values": scaled.tolist()}


def _named(label: str, values: pd.Series[Any]) -> dict[str, Any]:
    """An axis with a place for each of some words."""
    words = sorted(values.unique())
    return {
        "label": label,
        "values": [words.index(word) for word in values],
        "tickvals": list(range(len(words))),
        "ticktext": [escape(str(word)) for word in words],
    }


def _ticked(label: str, values: pd.Series[Any]) -> dict[str, Any]:
    """An axis with a tick at each of a few values."""
    return {"label": label, "values": values.tolist(), "tickvals": sorted(values.dropna().unique().tolist())}


def _logarithms(label: str, values: pd.Series[Any]) -> dict[str, Any]:
    """A log axis, with round numbers beside it."""
    low, high = float(values.min()), float(values.max())
    # Between two that are near, or of one candidate, no number is round.
    ticks = log_ticks(low, high) or sorted({low, high})
    return {
        "label": label,
        "values": np.log10(values).tolist(),
        "tickvals": np.log10(ticks).tolist(),
        "ticktext": [f"{tick:.4g}" for tick in ticks],
    }


def _choice_name(name: str) -> str:
    """``mobilenet_v1.stages.3.fusion`` as people say it, in two lines: families count stages from one."""
    family, _, rest = name.partition(".stages.")
    if not rest:
        return name.replace(".", "<br>").replace("_", " ") if "." in name else name.replace("_", " ")
    stage, _, what = rest.partition(".")
    return f"{family}<br>stage {int(stage) + 1} {what.replace('_', ' ')}"
