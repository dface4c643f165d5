from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bft_nas.dashboard import search_figures
from bft_nas.dashboard._run_data import RunData, read_run
from bft_nas.dashboard._style import alternative
from bft_nas.dashboard.search_course import SEARCH_VIEWS, course, hypervolumes
from bft_nas.record import Run
from bft_nas.record.pareto import complete, hypervolume
from tests.dashboard.pages import FRAMES, HOSTILE, make_data, make_results


@pytest.fixture(name="data")
def _data(made_up: Run) -> RunData:
    return read_run(made_up)


def timed(data: RunData, spans: list[tuple[float, float]]) -> RunData:
    """A run whose candidates began and ended so many seconds after its start."""
    start = pd.Timestamp(2026, 11, 20)
    times = pd.DataFrame(spans, columns=["started", "ended"]).map(lambda s: start + pd.Timedelta(seconds=s))
    proposals = data.proposals.assign(**times)
    return replace(data, read_proposals=lambda: proposals)


def test_the_course_counts_epochs_and_seconds_in_the_order_of_the_ends() -> None:
    data = timed(make_data(FRAMES["many"].head(3)), [(0, 30), (0, 10), (10, 40)])
    found = course(data)
    assert found["number"].tolist() == [1, 0, 2]
    assert found["epochs"].tolist() == [3, 6, 9]
    assert found["seconds"].tolist() == [10, 30, 40]


def test_pauses_of_a_search_are_not_counted() -> None:
    data = timed(make_data(FRAMES["many"].head(3)), [(0, 10), (5, 20), (1020, 1030)])
    assert course(data)["seconds"].tolist() == [10, 20, 30]


def test_the_hypervolume_is_that_of_all_complete_candidates_so_far(data: RunData) -> None:
    found = course(data)
    volumes = hypervolumes(found, 50e6)
    for last in (1, len(found) // 2, len(found)):
        done = complete(found.head(last))
        assert volumes[last - 1] == pytest.approx(
            hypervolume(zip(done["macs"], done["accuracy"], strict=True), 50e6)
        )
    assert (np.diff(volumes) >= 0).all()


def test_several_runs_share_a_figure(data: RunData) -> None:
    other = replace(data, name="<b>", results=data.results.head(20))
    figures = search_figures({"made-up": data, "<b>": other})
    for name in ("hypervolume_epochs", "hypervolume_seconds", "rate"):
        lines = figures[name].data
        assert [line.name for line in lines] == ["made-up", "&lt;b&gt;"]
        assert len({line.line.color for line in lines}) == 2
    assert figures["hypervolume_epochs"].data[0].x[-1] == data.results["epochs"].sum()


def test_the_rate_is_that_of_the_last_candidates() -> None:
    data = timed(make_data(FRAMES["many"].head(14)), [(60 * i, 60 * i + 60) for i in range(14)])
    assert list(search_figures({"a": data})["rate"].data[0].y) == pytest.approx([60] * 14)


def test_the_time_from_proposal_to_end_is_shared_out() -> None:
    frame = FRAMES["single"].assign(seconds=30.0)
    data = timed(make_data(frame), [(0, 40)])
    proposals = data.proposals.assign(proposing=4.0)
    data = replace(data, read_proposals=lambda: proposals)
    assert data.clock == {"proposing": 4.0, "training": 30.0, "waiting": 6.0}
    bars = {bar.name: bar.x[0] for bar in search_figures({"a": data})["time"].data}
    waiting = "waiting for a worker, a resumption or a promotion"
    assert bars == pytest.approx({"proposing": 10, "proxy trainings": 75, waiting: 15})


def test_rungs_tell_how_many_came_and_how_many_were_stopped(data: RunData) -> None:
    figure = search_figures({"a": data})["rungs"]
    went_on, stopped = figure.data
    results = data.results
    for place, rung in enumerate(data.rungs):
        at = (results["state"] == "stopped") & (results["epochs"] == rung)
        assert stopped.y[place] == at.sum() > 0
        assert went_on.y[place] == (results["epochs"] >= rung).sum() - at.sum()


def test_failures_are_counted_by_reason_which_is_text(data: RunData) -> None:
    results = data.results.copy()
    results.loc[results["state"] == "failed", "reason"] = [HOSTILE] + ["out of memory"] * (
        (results["state"] == "failed").sum() - 1
    )
    figure = search_figures({"a": replace(data, results=results)})["failures"]
    (bars,) = figure.data
    assert sorted(bars.x) == sorted([1, (results["state"] == "failed").sum() - 1])
    assert not any("<script" in text for text in [*figure.layout.yaxis.ticktext, *bars.customdata])


def test_reasons_that_begin_alike_have_a_bar_each(data: RunData) -> None:
    begin = "a kernel failed while the third convolution of the network was run on the device with too few channels"
    failed = make_results(0, 3).assign(reason=[f"{begin}: 3", f"{begin}: 4", f"{begin}: 4"])
    (bars,) = search_figures({"a": replace(data, results=failed)})["failures"].data
    assert len(set(bars.y)) == 2
    assert dict(zip(bars.customdata, bars.x, strict=True)) == {f"{begin}: 3": 1, f"{begin}: 4": 2}


def test_few_failures_have_an_axis_of_whole_numbers(data: RunData) -> None:
    failed = data.results[:3].assign(state="failed", reason="out of memory")
    figure = search_figures({"a": replace(data, results=failed)})["failures"]
    assert list(figure.data[0].x) == [3]
    assert figure.layout.xaxis.dtick == 1


@pytest.mark.parametrize("name", FRAMES)
def test_any_run_has_all_views_and_a_text_for_each(name: str) -> None:
    figures = search_figures({"a": make_data(FRAMES[name])})
    assert list(figures) == list(SEARCH_VIEWS)
    assert all(alternative(figure) for figure in figures.values())


def test_what_there_is_not_is_said() -> None:
    figures = search_figures({"a": make_data(FRAMES["empty"])})
    for name, words in {
        "hypervolume_epochs": "No candidate is complete yet.",
        "rate": "A rate needs two candidates.",
        "time": "No candidate has ended yet.",
        "rungs": "No candidate is stopped early: the search has no scheduler.",
        "failures": "No candidate failed.",
    }.items():
        assert alternative(figures[name]) == words
