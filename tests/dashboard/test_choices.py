from __future__ import annotations

import pandas as pd
import pytest

from bft_nas.dashboard import importance_figure, parallel_figure
from bft_nas.dashboard._run_data import RunData, read_run
from bft_nas.dashboard._style import alternative
from bft_nas.dashboard.choices import FEWEST, MOST_LINES, importances
from bft_nas.record import Run
from bft_nas.record.pareto import complete, front
from tests.dashboard.pages import make_data, make_results


@pytest.fixture(name="data")
def _data(made_up: Run) -> RunData:
    return read_run(made_up)


def test_importances_are_parts_of_one_and_find_what_decides(data: RunData) -> None:
    # The fewest MACs go with the smallest budget, and nothing else is as sure to.
    found = importances(data.proposals, data.results)
    assert found.sum().tolist() == pytest.approx([1, 1])
    assert found["macs"].nlargest(2).index[0] in ("budget", "budget_share")
    decided = data.results.assign(accuracy=[0.9 if x == 96 else 0.5 for x in data.results["resolution"]])
    assert importances(data.proposals, decided)["accuracy"].idxmax() == "resolution"


def test_the_most_important_choices_are_drawn_for_both_objectives(data: RunData) -> None:
    figure = importance_figure(data.proposals, data.results)
    found = importances(data.proposals, data.results)
    drawn = {trace.name: max(trace.x) for trace in figure.data}
    assert drawn["for few MACs"] == pytest.approx(100 * found["macs"].max())
    assert drawn["for accuracy"] == pytest.approx(100 * found["accuracy"].max())
    assert "budget" in alternative(figure)


def test_importances_say_how_many_candidates_they_need(data: RunData) -> None:
    few = complete(data.results).head(FEWEST - 1)
    assert alternative(importance_figure(data.proposals, few)) == (
        f"Importances need {FEWEST} complete candidates; there are {FEWEST - 1}."
    )
    assert "there are 0" in alternative(importance_figure(pd.DataFrame(), pd.DataFrame()))


def test_where_nothing_was_chosen_nothing_is_important(data: RunData) -> None:
    bare = data.proposals[["number", "started", "ended", "proposing", "repeats", "budget"]].assign(budget=1)
    assert alternative(importance_figure(bare, data.results)) == "Nothing was chosen among several values."


def test_lines_run_across_what_the_complete_candidates_are(data: RunData) -> None:
    done = complete(data.results)
    (lines,) = parallel_figure(data.results, data.proposals).data
    axes = {axis.label: axis for axis in lines.dimensions}
    assert list(axes["accuracy (%)"].values) == pytest.approx((100 * done["accuracy"]).tolist())
    assert [axes["family"].ticktext[value] for value in axes["family"].values] == done["family"].tolist()
    assert [10**value for value in axes["MACs (M)"].values] == pytest.approx((done["macs"] / 1e6).tolist())
    assert "budget share" in axes


def test_a_line_has_the_colour_of_its_share_of_butterflies_as_in_the_front(data: RunData) -> None:
    (lines,) = parallel_figure(data.results, data.proposals).data
    shares = complete(data.results).set_index("number")["butterfly_share"]
    assert list(lines.line.color) == pytest.approx((100 * shares.loc[list(lines.customdata)]).tolist())
    assert (lines.line.cmin, lines.line.cmax) == (0, 100)


def test_of_very_many_candidates_some_are_drawn_and_the_front_is_among_them() -> None:
    many = pd.concat([make_results(12, 0)] * 200, ignore_index=True)
    many = many.assign(number=range(len(many)), macs=many["macs"] + many.index)
    (lines,) = parallel_figure(many, make_data(many).proposals).data
    assert len(lines.customdata) <= MOST_LINES < len(many)
    assert set(front(many)["number"]) <= set(lines.customdata)


def test_of_a_front_that_is_larger_than_what_is_drawn_evenly_spaced_ones_are() -> None:
    large = pd.concat([make_results(12, 0).head(1)] * (MOST_LINES + 200), ignore_index=True)
    large = large.assign(
        number=range(len(large)),
        state="complete",
        macs=large["macs"] + large.index,
        accuracy=large.index / len(large),
    )
    assert len(front(large)) == len(large)
    (lines,) = parallel_figure(large, make_data(large).proposals).data
    assert len(lines.customdata) == MOST_LINES
    assert {0, len(large) - 1} <= set(lines.customdata)


def test_axes_of_one_candidate_have_its_numbers_beside_them() -> None:
    one = make_results(1, 0)
    (lines,) = parallel_figure(one, make_data(one).proposals).data
    axes = {axis.label: axis for axis in lines.dimensions}
    for label, shown in (("MACs (M)", "20"), ("parameters (M)", "0.9")):
        assert list(axes[label].ticktext) == [shown]
        assert list(axes[label].tickvals) == list(axes[label].values)


def test_without_a_complete_candidate_there_are_no_lines(data: RunData) -> None:
    failed = data.results[data.results["state"] == "failed"]
    assert alternative(parallel_figure(failed, data.proposals)) == "No candidate is complete."
