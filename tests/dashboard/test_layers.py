from __future__ import annotations

import html
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest
from playwright.sync_api import BrowserContext, expect

from bft_nas.core.errors import UserError
from bft_nas.dashboard import front_figure, write_report
from bft_nas.network import Architecture
from bft_nas.network.published import best_within, published_results, static_front
from bft_nas.record.pareto import complete
from tests.dashboard.browsing import looking
from tests.dashboard.pages import (
    BUDGETS,
    HOSTILE,
    Page,
    make_data,
    make_references,
    make_results,
)


def draw(**arguments: Any) -> go.Figure:
    results = arguments.pop("results", make_results())
    return front_figure(results, BUDGETS, **arguments)


def write(path: Path, **arguments: Any) -> str:
    references, imagenet = arguments.pop("references", None), arguments.pop("imagenet", False)
    data = make_data(make_results(), name="t", facts=[], references=references, imagenet=imagenet)
    write_report(path, data, nowhere, **arguments)
    return path.read_text(encoding="utf-8")


def nowhere(number: int) -> Architecture:
    raise UserError(f"candidate {number}: not on disk")


def layer(figure: go.Figure) -> list[go.Scatter]:
    return [trace for trace in figure.data if trace.legendgroup == "published"]


def reference_traces(figure: go.Figure) -> tuple[go.Scatter, go.Scatter]:
    points, names = (trace for trace in figure.data if trace.legendgroup == "references")
    return points, names


def test_without_references_and_published_results_the_figure_is_as_ever() -> None:
    plain = draw()
    assert plain == draw(references=None, published=None)
    assert plain == draw(references=pd.DataFrame(), published=pd.DataFrame())
    assert plain == draw(references=make_references(5).query("state == 'failed'"))


def test_the_published_layer_is_off_unless_asked_for() -> None:
    figure = draw(published=published_results())
    assert {trace.visible for trace in layer(figure)} == {"legendonly"}
    assert figure.layout.yaxis2.visible is False
    figure = draw(published=published_results(), show_published=True)
    assert {trace.visible for trace in layer(figure)} == {True}
    assert figure.layout.yaxis2.visible is True


def test_published_results_stand_on_an_axis_of_their_own() -> None:
    figure = draw(published=published_results(), references=make_references())
    assert {trace.yaxis for trace in layer(figure)} == {"y2"}
    assert {trace.yaxis for trace in figure.data if trace.legendgroup != "published"} == {None}
    assert (figure.layout.yaxis2.side, figure.layout.yaxis2.overlaying) == ("right", "y")
    assert "ImageNet top-1" in figure.layout.yaxis2.title.text
    assert figure.layout.yaxis.title.text == "Validation accuracy"


def test_published_results_and_references_have_shapes_of_their_own() -> None:
    figure = draw(published=published_results(), references=make_references())
    curves = {trace.marker.symbol for trace in layer(figure) if trace.mode == "lines+markers"}
    references = {reference_traces(figure)[0].marker.symbol}
    candidates = {trace.marker.symbol for trace in draw().data if "markers" in str(trace.mode)}
    assert not curves & references
    assert not (curves | references) & candidates


def test_one_entry_in_the_legend_stands_for_all_published_results() -> None:
    entries = [trace for trace in layer(draw(published=published_results())) if trace.showlegend is not False]
    assert [entry.name for entry in entries] == ["published ImageNet top-1"]


def test_curves_are_the_dotted_lines_of_the_frame() -> None:
    published = published_results()
    (drawn,) = (trace for trace in layer(draw(published=published)) if trace.name == "curves")
    assert drawn.line.dash == "dot"
    # A gap ends each.
    points = list(zip(drawn.x, drawn.y, drawn.marker.symbol, strict=True))
    curves = [list(points) for gap, points in groupby(points, lambda point: point[0] is None) if not gap]
    frame = [rows for _, rows in published[published["curve"] != ""].groupby("curve")]
    assert len({curve[0][2] for curve in curves}) == len(curves) == len(frame) > 3
    for curve, rows in zip(curves, frame, strict=True):
        macs, top1, symbols = zip(*curve, strict=True)
        assert macs == pytest.approx((rows["macs"] / 1e6).tolist())
        assert list(top1) == rows["top1"].tolist()
        assert len(set(symbols)) == 1


def test_pointing_at_a_published_result_tells_its_source() -> None:
    published = published_results()
    texts = [text for trace in layer(draw(published=published)) for text in trace.hovertext or () if text]
    told = {html.unescape(text.replace("<br>", " ")) for text in texts}
    for row in published[published["curve"] != ""].to_dict("records"):
        assert any(
            row["name"] in text and row["source"] in text and f"{row['top1']:.1f}% ImageNet top-1" in text
            for text in told
        )
    assert all("MACs" in text and "<i>" in text for text in texts)


def test_the_best_rows_without_butterflies_are_a_solid_line_of_steps() -> None:
    published = published_results()
    best = static_front(published)
    (drawn,) = (trace for trace in layer(draw(published=published)) if trace.name == "best static")
    assert (drawn.line.shape, drawn.line.dash) == ("hv", None)
    assert list(drawn.x) == pytest.approx((best["macs"] / 1e6).tolist())
    assert list(drawn.y) == best["top1"].tolist()


def test_pointing_at_a_row_with_butterflies_tells_how_far_from_that_line_it_is() -> None:
    published = published_results()
    best = static_front(published)
    texts = [text for trace in layer(draw(published=published)) for text in trace.hovertext or () if text]
    told = {text.split("</b>")[0].removeprefix("<b>"): text for text in texts if "static row" in text}
    rows = published[published["family"] == "BFT"].to_dict("records")
    assert set(told) == {row["name"] for row in rows}
    for row in rows:
        rival = best_within(best, row["macs"])
        assert rival is not None
        apart = row["top1"] - rival["top1"]
        assert (
            f"{abs(apart):.1f} points {'above' if apart > 0 else 'below'} the best static"
            in told[row["name"]]
        )
        assert rival["name"] in told[row["name"]]
    # What nobody without butterflies is within the MACs of is said to be nothing.
    alone = layer(draw(published=published[published["family"] == "BFT"]))
    assert not any("static row" in str(trace.hovertext) for trace in alone)


def test_the_axes_are_those_of_the_run() -> None:
    published = published_results()
    figure = draw(published=published, show_published=True)
    assert figure.layout.xaxis == draw().layout.xaxis
    low, high = (10**end for end in figure.layout.xaxis.range)
    within = published[(published["macs"] / 1e6).between(low, high)]
    bottom, top = figure.layout.yaxis2.range
    assert bottom < within["top1"].min()
    assert within["top1"].max() < top
    assert top - bottom < 1.3 * (within["top1"].max() - within["top1"].min())


def test_published_results_far_from_the_run_do_not_hinder() -> None:
    far = published_results().assign(macs=10**12)
    assert draw(published=far).layout.xaxis == draw().layout.xaxis


def test_references_are_drawn_with_the_numbers_of_the_frame() -> None:
    references = make_references()
    trained = complete(references)
    points, _ = reference_traces(draw(references=references))
    assert points.name == "references, same protocol"
    assert list(points.x) == pytest.approx((trained["macs"] / 1e6).tolist())
    assert list(points.y) == pytest.approx((100 * trained["accuracy"]).tolist())
    for part in ("mobilenet_v1_bft", "66.00%", "19.7M", "1.20M", "224x224"):
        assert part in points.hovertext[1]
    assert "failed" not in " ".join(points.hovertext)


def test_names_of_references_do_not_overlap_and_the_best_has_one() -> None:
    crowd = pd.concat([make_references(0).assign(name=f"network {i}") for i in range(40)], ignore_index=True)
    crowd["accuracy"] += 0.002 * crowd.index
    _, names = reference_traces(draw(references=crowd))
    best = crowd.sort_values("accuracy")["name"].tolist()[-1]
    assert best in names.text
    for budget in BUDGETS:
        heights = sorted(
            y for x, y in zip(names.x, names.y, strict=True) if abs(x / (budget / 1e6) - 1) < 0.2
        )
        assert heights
        assert all(upper - lower > 0.5 for lower, upper in pairwise(heights))


def test_the_axis_leaves_room_for_names_of_references() -> None:
    with_names = draw(references=make_references()).layout.xaxis.range
    without = draw().layout.xaxis.range
    assert with_names[0] == without[0]
    assert without[1] < with_names[1] < without[1] + 0.3 * (without[1] - without[0])


def test_references_and_published_results_of_a_run_without_candidates() -> None:
    figure = draw(results=pd.DataFrame(), references=make_references(), published=published_results())
    assert len(reference_traces(figure)[0].x) == 9
    assert any("No candidates yet" in note.text for note in figure.layout.annotations)


@pytest.mark.parametrize("count", [1, 2])
def test_a_few_published_rows_can_be_drawn(count: int) -> None:
    for rows in (published_results().head(count), published_results().query("curve == 'FBNet'").tail(count)):
        bottom, top = draw(published=rows).layout.yaxis2.range
        assert bottom < rows["top1"].min() <= rows["top1"].max() < top


def test_names_are_text_and_not_markup() -> None:
    published = published_results().assign(name=HOSTILE, source=HOSTILE, resolution=HOSTILE)
    published["curve"] = published["curve"].where(published["curve"] == "", HOSTILE)
    figure = draw(
        published=published.drop_duplicates("macs"), references=make_references().assign(name=HOSTILE)
    )
    for trace in [*layer(figure), *reference_traces(figure)]:
        assert "<script" not in f"{trace.name} {trace.text} {trace.hovertext}"


def test_the_report_lists_every_reference_and_why_one_failed(tmp_path: Path) -> None:
    references = make_references()
    page = Page(write(tmp_path / "report.html", references=references))
    assert "References Known networks, trained under the protocol of the candidates" in page.text
    assert "width of each is solved" in page.text
    for row in references.to_dict("records"):
        outcome = row["reason"] or f"{row['accuracy']:.2%}"
        assert any(outcome in line for line in page.rows)
        assert any(line.startswith(row["name"]) and row["family"] in line for line in page.rows)
    accuracies = [
        line.split()[1] for line in page.rows if " 50M " in line and line.startswith(("m", "f", "s"))
    ]
    assert accuracies == sorted(accuracies, reverse=True)


def test_the_report_says_what_published_results_are(tmp_path: Path) -> None:
    off = Page(write(tmp_path / "off.html", published=published_results())).text
    on = Page(write(tmp_path / "on.html", published=published_results(), imagenet=True)).text
    for text in (off, on):
        assert "ImageNet top-1 of full trainings by others" in text
        assert "do not compare with the accuracy of the proxy training" in text
    assert "click on their entry in the legend" in off
    assert "click on their entry" not in on


def test_a_report_without_either_speaks_of_neither(tmp_path: Path) -> None:
    text = write(tmp_path / "report.html", references=pd.DataFrame(), published=pd.DataFrame())
    assert text == write(tmp_path / "other.html")
    page = Page(text)
    assert "eferences" not in page.text
    assert "ublished" not in page.text


def test_references_that_all_failed_are_listed_and_not_drawn(tmp_path: Path) -> None:
    failed = make_references(5).query("state == 'failed'")
    page = Page(write(tmp_path / "report.html", references=failed))
    assert sum("out of memory" in line for line in page.rows) == 5
    assert "Crosses are references" not in page.text


def test_what_others_name_is_escaped(tmp_path: Path) -> None:
    references = make_references().assign(name=HOSTILE, family=HOSTILE, fusions=HOSTILE)
    references.loc[references["state"] == "failed", "reason"] = HOSTILE
    published = published_results().assign(name=HOSTILE, source=HOSTILE)
    text = write(tmp_path / "report.html", references=references, published=published)
    assert "<script>alert" not in text
    assert Page(text).text.count(HOSTILE) == 21


def test_a_click_in_the_legend_shows_the_layer_with_its_axis(window: BrowserContext, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write(path, references=make_references(), published=published_results())
    with looking(window, path.as_uri()) as page:
        expect(page.locator("html[data-ready]")).to_be_attached()
        expect(page.locator("#front .y2tick")).to_have_count(0)
        before = page.locator("#front .point").count()
        page.locator("#front .legend .traces", has_text="published").locator(".legendtoggle").click()
        expect(page.locator("#front .y2tick").nth(2)).to_be_attached()
        assert page.locator("#front .point").count() > before + 20
