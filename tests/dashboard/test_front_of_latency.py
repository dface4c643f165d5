"""The front against latency: one setup on its axis, named there, and only what was measured in it."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import plotly.graph_objects as go
import pytest

from bft_nas.core.errors import UserError
from bft_nas.dashboard._front import FRONT, front_values
from bft_nas.dashboard._run_data import RunData
from bft_nas.dashboard._view import View, parse_view, view_query
from bft_nas.dashboard.front import front_figure
from bft_nas.record.latency import Latency, Setup, measured_on, with_latency
from tests.dashboard.pages import BUDGETS, make_data, make_references, make_results

SETUP = Setup("onnxruntime", "1.32.0", 1, "float32", "AMD EPYC", 2)
OTHER = replace(SETUP, cpu="Cortex-A55")
MEASURED = 5


def latencies(results: pd.DataFrame, references: pd.DataFrame) -> list[Latency]:
    """Of some candidates and all references in one setup, and of one candidate in another."""
    hashes = [*results["hash"][:MEASURED], *references["hash"]]
    found = [
        Latency(name, name, SETUP, 0.001 * (place + 3), 0.002 * (place + 3), 64, None, "")
        for place, name in enumerate(hashes)
    ]
    return [*found, replace(found[0], setup=OTHER, p50=0.5)]


@pytest.fixture
def data() -> RunData:
    results, references = make_results(), make_references()
    found = latencies(results, references)
    made = make_data(with_latency(results, found), references=with_latency(references, found))
    return replace(made, latencies=tuple(found))


def points(figure: go.Figure) -> list[tuple[int, float]]:
    """Numbers and places of the candidates."""
    return [
        (int(number), float(x))
        for trace in figure.data
        if trace.mode == "markers" and trace.customdata is not None and trace.marker.symbol != "diamond-open"
        for number, x in zip(trace.customdata, trace.x, strict=True)
    ]


def test_points_stand_at_their_milliseconds_and_the_axis_names_the_setup(data: RunData) -> None:
    figure = front_figure(data.results, BUDGETS, references=data.references, against="latency")
    rows = data.results[data.results["latency"].notna() & (data.results["state"] != "failed")]
    expected = {int(row["number"]): 1000 * row["latency"] for row in rows.to_dict("records")}
    assert dict(points(figure)) == pytest.approx(expected)
    assert " ".join(figure.layout.xaxis.title.text.split("<br>")) == f"Latency (log scale) {SETUP.text}"
    assert all(text.endswith(" ms") for text in figure.layout.xaxis.ticktext)
    # Neither budgets nor results of others, which are in MACs.
    assert not figure.layout.shapes
    assert not any(trace.yaxis == "y2" for trace in figure.data)


def test_the_front_is_that_of_accuracy_and_latency(data: RunData) -> None:
    figure = front_figure(data.results, BUDGETS, against="latency")
    (line,) = (trace for trace in figure.data if trace.name == "front")
    assert list(line.x) == sorted(line.x)
    assert list(line.y) == sorted(line.y)
    done = data.results[data.results["latency"].notna() & (data.results["state"] == "complete")]
    for row in done.to_dict("records"):
        best = max(y for x, y in zip(line.x, line.y, strict=True) if x <= 1000 * row["latency"] + 1e-9)
        assert best >= 100 * row["accuracy"]


def test_no_latency_of_another_setup_is_on_the_axis(data: RunData) -> None:
    results = with_latency(data.results, data.latencies, OTHER.key)
    figure = front_figure(results, BUDGETS, against="latency")
    assert [x for _, x in points(figure)] == pytest.approx([500])
    assert OTHER.cpu in figure.layout.xaxis.title.text


def test_that_a_machine_was_busy_is_said_of_the_points_that_it_is_true_of(data: RunData) -> None:
    first, *others = data.latencies
    busy = with_latency(data.results, [replace(first, share=0.5), *others])
    figure, quiet = (front_figure(each, BUDGETS, against="latency") for each in (busy, data.results))
    assert figure.layout.xaxis.title.text == quiet.layout.xaxis.title.text
    # Zoom lasts as long as this stays the same.
    assert figure.layout.uirevision == quiet.layout.uirevision
    told = [text for trace in figure.data if trace.hovertext is not None for text in trace.hovertext]
    assert [text.startswith("<b>#0</b>") for text in told if "beside other work" in text] == [True]
    assert measured_on(busy) == (
        f"{SETUP.text}; 1 of {MEASURED} measured beside other work, and therefore too long"
    )


def test_against_macs_it_is_as_before(data: RunData) -> None:
    plain = make_results()
    before = front_figure(plain, BUDGETS, references=make_references())
    now = front_figure(data.results, BUDGETS, references=data.references)
    assert points(now) == points(before)
    assert now.layout.xaxis == before.layout.xaxis
    assert now.layout.shapes == before.layout.shapes


def test_without_any_latency_it_says_so() -> None:
    figure = front_figure(make_results(), BUDGETS, against="latency")
    assert points(figure) == []
    assert any("No candidate" in note.text for note in figure.layout.annotations)


def test_the_page_offers_every_setup_and_shows_the_one_of_its_address(data: RunData) -> None:
    values = dict(zip(FRONT, front_values(data, View(run="A run")), strict=True))
    assert values["front-title.children"] == "Accuracy against MACs"
    assert values["across.options"] == {
        "macs": "MACs",
        SETUP.key: f"latency: {SETUP.text}",
        OTHER.key: f"latency: {OTHER.text}",
    }
    assert not values["across-choice.hidden"]
    view, problems = parse_view(f"?run=A+run&across={OTHER.key}")
    assert (view.across, problems) == (OTHER.key, ())
    assert parse_view(view_query(view)) == (view, ())
    values = dict(zip(FRONT, front_values(data, view), strict=True))
    assert values["front-title.children"] == "Accuracy against latency"
    assert values["front-says.children"].endswith(", 1 of them measured.")
    assert OTHER.cpu in values["front.figure"]["layout"]["xaxis"]["title"]["text"]
    # Of a setup that the run does not know, or no more.
    values = dict(zip(FRONT, front_values(data, replace(view, across="0" * 8)), strict=True))
    assert values["front-title.children"] == "Accuracy against MACs"
    _, problems = parse_view("?across=fast")
    assert problems == ("across=fast: expected macs, or the key of a setup in which latencies were measured",)


def test_a_run_of_which_nothing_was_measured_offers_nothing() -> None:
    data = make_data(make_results(), references=make_references())
    values = dict(zip(FRONT, front_values(data, View()), strict=True))
    assert values["across-choice.hidden"]


def test_a_notebook_refuses_what_is_no_axis() -> None:
    with pytest.raises((KeyError, UserError)):
        front_figure(make_results(), BUDGETS, against="luck")  # type: ignore[arg-type]
