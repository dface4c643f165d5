from __future__ import annotations

import math
from itertools import pairwise

import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bft_nas.dashboard import front_figure
from bft_nas.dashboard._points import _hover_text
from bft_nas.dashboard._style import alternative
from bft_nas.dashboard.front import candidates_text, log_axis
from bft_nas.record.pareto import complete, front, winners
from bft_nas.record.standings import standing_texts
from tests.dashboard.pages import BUDGETS, FRAMES, STOPPED, make_references, make_results


def points(figure: go.Figure) -> dict[int, tuple[float, float, float]]:
    """MACs, accuracy and butterfly share, as drawn, of every complete candidate in a front figure."""
    return {
        number: (x, y, share)
        for trace in figure.data
        if trace.marker.coloraxis == "coloraxis"
        for number, x, y, share in zip(trace.customdata, trace.x, trace.y, trace.marker.color, strict=True)
    }


def named(figure: go.Figure, name: str) -> go.Scatter:
    return next(trace for trace in figure.data if trace.name == name)


def test_the_figure_shows_the_numbers_of_the_frame() -> None:
    results = make_results()
    drawn = points(front_figure(results, BUDGETS))
    trained = complete(results)
    assert sorted(drawn) == trained["number"].tolist()
    for row in trained.to_dict("records"):
        expected = (row["macs"] / 1e6, 100 * row["accuracy"], 100 * row["butterfly_share"])
        assert drawn[row["number"]] == pytest.approx(expected)


def test_front_and_winners_in_the_figure_are_those_of_the_frame() -> None:
    results = make_results()
    figure = front_figure(results, BUDGETS)
    line = named(figure, "front")
    assert line.line.shape == "hv"
    assert list(line.x) == pytest.approx((front(results)["macs"] / 1e6).tolist())
    assert list(line.y) == pytest.approx((front(results)["accuracy"] * 100).tolist())
    best = winners(results, BUDGETS)
    assert list(named(figure, "winner").text) == [f"#{number}" for number in best["number"]]
    assert [shape.x0 for shape in figure.layout.shapes] == [20, 50]
    assert [note.text for note in figure.layout.annotations] == ["20M", "50M"]


def test_a_front_in_three_objectives_is_not_called_as_the_line_in_two_is() -> None:
    results = make_results().assign(predicted_ms=lambda rows: 3.0 - 0.1 * rows["number"])
    figure = front_figure(results, BUDGETS)
    line = named(figure, "front in MACs and accuracy")
    assert f"{len(line.x)} on the front in MACs and accuracy" in alternative(figure)
    on_front = front(results)
    assert len(on_front) > len(line.x)
    told = standing_texts(results, (), ())
    named_so = [number for number, text in told.items() if text.startswith("on the front")]
    assert sorted(on_front["number"]) == named_so
    assert {told[number] for number in named_so} == {
        "on the front in MACs, accuracy and predicted milliseconds"
    }


def test_what_pointing_says_is_made_once_for_a_candidate_without_some_value() -> None:
    results = make_results().assign(latency=float("nan"))
    front_figure(results, BUDGETS)
    made = _hover_text.cache_info().misses
    front_figure(results, BUDGETS)
    assert _hover_text.cache_info().misses == made


def test_pointing_at_a_candidate_tells_what_it_is() -> None:
    figure = front_figure(make_results(), BUDGETS)
    trace = next(
        t for t in figure.data if t.mode == "markers" and t.customdata is not None and 1 in t.customdata
    )
    text = trace.hovertext[list(trace.customdata).index(1)]
    for part in ("#1", "mobilenet_v2", "75.90%", "48.7M", "1.00M", "224x224", "d/d b8/d b16/b4"):
        assert part in text


def test_each_family_has_its_shape_and_one_entry_in_the_legend() -> None:
    figure = front_figure(make_results(), BUDGETS)
    families = [trace for trace in figure.data if trace.mode == "markers" and trace.customdata is None]
    assert [trace.name for trace in families] == ["mobilenet_v1", "mobilenet_v2", "shufflenet_v2"]
    assert len({trace.marker.symbol for trace in families}) == 3


def test_the_failed_are_counted() -> None:
    assert candidates_text(make_results(5, 2)) == "5 candidates trained, 2 failed"
    assert candidates_text(make_results(1, 0)) == "1 candidate trained"


def test_those_that_were_stopped_early_are_counted_and_faint_and_on_no_front() -> None:
    stopped = STOPPED[STOPPED["state"] == "stopped"]
    assert f", {len(stopped)} stopped early" in candidates_text(STOPPED)
    figure = front_figure(STOPPED, BUDGETS)
    faint = [trace for trace in figure.data if trace.name == "stopped early"]
    drawn = {number: y for trace in faint for number, y in zip(trace.customdata, trace.y, strict=True)}
    assert drawn == pytest.approx(dict(zip(stopped["number"], 100 * stopped["accuracy"], strict=True)))
    assert all(trace.opacity < 0.5 and trace.marker.symbol.endswith("-open") for trace in faint)
    assert not set(stopped["number"]) & set(points(figure))
    assert not set(stopped["number"]) & set(front(STOPPED)["number"])


def test_those_that_failed_stand_at_the_bottom_and_tell_why() -> None:
    results = make_results(5, 2)
    failed = named(front_figure(results, BUDGETS), "failed")
    assert list(failed.customdata) == [5, 6]
    assert list(failed.x) == pytest.approx((results["macs"].tail(2) / 1e6).tolist())
    assert set(failed.y) == {100 * results["accuracy"].min()}
    assert "failed<br><i>loss is NaN &lt;epoch 5&gt;</i>" in failed.hovertext[0]


def test_every_point_of_a_candidate_has_its_number() -> None:
    figure = front_figure(STOPPED, BUDGETS, references=make_references())
    told = [trace for trace in figure.data if trace.hovertemplate and trace.customdata is not None]
    numbers = [number for trace in told for number in trace.customdata]
    assert sorted(numbers) == STOPPED["number"].tolist()


def test_selected_candidates_are_ringed_and_named_in_order() -> None:
    results = make_results()
    rings = [
        s for s in front_figure(results, BUDGETS, selected=(7, 2, 99, 13)).layout.shapes if s.type == "path"
    ]
    assert [ring.label.text for ring in rings] == ["#7", "#2"]
    chosen = results.set_index("number").loc[[7, 2]]
    assert [ring.yanchor for ring in rings] == pytest.approx((100 * chosen["accuracy"]).tolist())
    assert all(shape.type == "line" for shape in front_figure(results, BUDGETS).layout.shapes)


def test_points_of_several_seeds_have_error_bars() -> None:
    results = make_results(4, 0).assign(spread=[0.01, float("nan"), 0.03, float("nan")])
    bars = {
        number: bar
        for trace in front_figure(results, BUDGETS).data
        if trace.error_y.array is not None
        for number, bar in zip(trace.customdata, trace.error_y.array, strict=True)
    }
    assert bars[0] == pytest.approx(1.0)
    assert bars[2] == pytest.approx(3.0)
    assert not any(trace.error_y.array for trace in front_figure(make_results(), BUDGETS).data)
    # All of them within the axis.
    wide = results.assign(spread=[0.2, float("nan"), 0.1, 0.3])
    low, high = front_figure(wide, BUDGETS).layout.yaxis.range
    assert low < 100 * (wide["accuracy"] - wide["spread"]).min()
    assert high > 100 * (wide["accuracy"] + wide["spread"]).max()


def test_thousands_of_candidates_are_drawn_by_webgl() -> None:
    many = pd.concat([make_results(12, 0)] * 200, ignore_index=True)
    many["number"] = range(len(many))
    figure = front_figure(many, BUDGETS)
    drawn = [trace for trace in figure.data if trace.marker.coloraxis == "coloraxis"]
    assert {trace.type for trace in drawn} == {"scattergl"}
    assert sum(len(trace.x) for trace in drawn) == len(many)
    # What their labels say is what their places say, or the texts would be most of what a page loads.
    assert all(trace.hovertext is None for trace in drawn)
    assert {trace.name in trace.hovertemplate for trace in drawn} == {True}


def test_a_zoom_survives_an_update() -> None:
    figures = [front_figure(make_results(count), BUDGETS) for count in (3, 12)]
    assert figures[0].layout.uirevision == figures[1].layout.uirevision == "front"


def test_the_figure_is_told_in_words() -> None:
    text = alternative(front_figure(make_results(5, 2), BUDGETS, references=make_references(0)))
    assert "5 candidates trained, 2 failed" in text
    assert "beside 10 references" in text
    assert "within 20M MACs candidate" in text


@pytest.mark.parametrize(
    ("name", "words"),
    [("empty", "No candidates yet"), ("only failures", "No candidate is complete: 3 failed")],
)
def test_a_figure_without_points_says_so(name: str, words: str) -> None:
    figure = front_figure(FRAMES[name], BUDGETS)
    assert any(words in note.text for note in figure.layout.annotations)
    assert not points(figure)


def test_one_candidate_that_wins_every_budget_has_one_ring() -> None:
    results = make_results(1, 0)
    figure = front_figure(results, BUDGETS)
    assert list(named(figure, "winner").text) == ["#0"]


@pytest.mark.parametrize("budgets", [(), (50_000_000,), (1_000, 3_000_000_000)])
def test_any_budgets_can_be_drawn(budgets: tuple[int, ...]) -> None:
    figure = front_figure(make_results(), budgets)
    low, high = (10**end for end in figure.layout.xaxis.range)
    assert all(low < macs / 1e6 < high for macs in [*make_results()["macs"], *budgets])
    assert all(low <= tick <= high for tick in figure.layout.xaxis.tickvals)
    assert len(figure.layout.xaxis.tickvals) >= 4


@given(st.floats(0.1, 1000), st.floats(1.25, 10**4))
@example(2.0, 1.8)
@example(101.0, 1.25)
def test_numbers_under_the_axis_have_room_on_a_phone(low: float, ratio: float) -> None:
    figure = go.Figure()
    log_axis(figure, low, low * ratio)
    across = figure.layout.xaxis
    assert len(across.tickvals) >= 3
    places = [290 * math.log(tick / low) / math.log(ratio) for tick in across.tickvals]
    for (left, right), text in zip(pairwise(places), across.ticktext[1:], strict=True):
        assert right - left > 7 * len(text)


def test_names_in_a_figure_are_text_and_not_markup() -> None:
    results = make_results(3, 0).assign(family="<b>mine</b>")
    figure = front_figure(results, BUDGETS)
    assert all("<b>mine" not in str(trace.name) + str(trace.hovertext) for trace in figure.data)
