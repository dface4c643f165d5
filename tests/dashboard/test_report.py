from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import pytest

from bft_nas.dashboard import front_figure, write_report
from bft_nas.dashboard.figures import candidates_text, learning_curves_figure
from bft_nas.pareto import complete, front, winners
from tests.dashboard.pages import BUDGETS, CHROMIUM, HOSTILE, Page, make_curves, make_results, open_in_browser

STOPPED = make_results()
STOPPED.loc[STOPPED["number"].isin([0, 3, 6]), "state"] = "stopped"
FRAMES = {
    "stopped": STOPPED,
    "only stopped": make_results(2, 0).assign(state="stopped"),
    "empty": make_results(0, 0),
    "bare": pd.DataFrame(),
    "single": make_results(1, 0),
    "only failures": make_results(0, 3),
    "many": make_results(),
}


def write(path: Path, results: pd.DataFrame, title: str = "A run", budgets: Sequence[int] = BUDGETS) -> str:
    curves = pd.DataFrame() if results.empty else make_curves(results)
    facts = [("Space", "mobile"), ("Protocol hash", "0123abcd")]
    write_report(path, title=title, results=results, curves=curves, budgets=budgets, facts=facts)
    return path.read_text(encoding="utf-8")


def points(figure: go.Figure) -> dict[int, tuple[float, float, float]]:
    """MACs, accuracy and butterfly share, as drawn, of every candidate in a front figure."""
    return {
        number: (x, y, share)
        for trace in figure.data
        if trace.mode == "markers" and trace.customdata is not None
        for number, x, y, share in zip(trace.customdata, trace.x, trace.y, trace.marker.color, strict=True)
    }


def named(figure: go.Figure, name: str) -> go.Scatter:
    return next(trace for trace in figure.data if trace.name == name)


def test_the_figure_shows_the_numbers_of_the_frame() -> None:
    results = make_results()
    drawn = points(front_figure(results, BUDGETS, title="t"))
    trained = complete(results)
    assert sorted(drawn) == trained["number"].tolist()
    for row in trained.to_dict("records"):
        expected = (row["macs"] / 1e6, 100 * row["accuracy"], 100 * row["butterfly_share"])
        assert drawn[row["number"]] == pytest.approx(expected)


def test_front_and_winners_in_the_figure_are_those_of_the_frame() -> None:
    results = make_results()
    figure = front_figure(results, BUDGETS, title="t")
    line = named(figure, "front")
    assert line.line.shape == "hv"
    assert list(line.x) == pytest.approx((front(results)["macs"] / 1e6).tolist())
    assert list(line.y) == pytest.approx((front(results)["accuracy"] * 100).tolist())
    best = winners(results, BUDGETS)
    assert list(named(figure, "winner").text) == [f"#{number}" for number in best["number"]]
    assert [shape.x0 for shape in figure.layout.shapes] == [20, 50]
    assert [note.text for note in figure.layout.annotations] == ["20M", "50M"]


def test_pointing_at_a_candidate_tells_what_it_is() -> None:
    figure = front_figure(make_results(), BUDGETS, title="t")
    trace = next(
        t for t in figure.data if t.mode == "markers" and t.customdata is not None and 1 in t.customdata
    )
    text = trace.hovertext[list(trace.customdata).index(1)]
    for part in ("#1", "mobilenet_v2", "75.90%", "48.7M", "1,000,000", "224x224", "d/d b8/d b16/b4"):
        assert part in text


def test_each_family_has_its_shape_and_one_entry_in_the_legend() -> None:
    figure = front_figure(make_results(), BUDGETS, title="t")
    families = [trace for trace in figure.data if trace.mode == "markers" and trace.customdata is None]
    assert [trace.name for trace in families] == ["mobilenet_v1", "mobilenet_v2", "shufflenet_v2"]
    assert len({trace.marker.symbol for trace in families}) == 3


def test_the_subtitle_counts_the_failed() -> None:
    figure = front_figure(make_results(5, 2), BUDGETS, title="t")
    assert figure.layout.title.subtitle.text == "5 candidates trained, 2 failed (not drawn)"
    assert candidates_text(make_results(1, 0)) == "1 candidate trained"


def test_those_that_were_stopped_early_are_counted_and_marked_and_on_no_front(tmp_path: Path) -> None:
    count = int((STOPPED["state"] == "stopped").sum())
    assert f", {count} stopped early (not drawn)" in candidates_text(STOPPED)
    page = write(tmp_path / "report.html", STOPPED)
    assert page.count("%, stopped</td>") == count
    numbers = STOPPED.loc[STOPPED["state"] == "stopped", "number"]
    assert not set(numbers) & set(points(front_figure(STOPPED, BUDGETS, title="t")))
    assert not set(numbers) & set(front(STOPPED)["number"])


@pytest.mark.parametrize(
    ("name", "words"),
    [("empty", "No candidates yet"), ("only failures", "No candidate is complete: 3 failed")],
)
def test_a_figure_without_points_says_so(name: str, words: str) -> None:
    figure = front_figure(FRAMES[name], BUDGETS, title="t")
    assert any(words in note.text for note in figure.layout.annotations)
    assert not points(figure)


def test_one_candidate_that_wins_every_budget_has_one_ring() -> None:
    results = make_results(1, 0)
    figure = front_figure(results, BUDGETS, title="t")
    assert list(named(figure, "winner").text) == ["#0"]


@pytest.mark.parametrize("budgets", [(), (50_000_000,), (1_000, 3_000_000_000)])
def test_any_budgets_can_be_drawn(budgets: tuple[int, ...]) -> None:
    figure = front_figure(make_results(), budgets, title="t")
    low, high = (10**end for end in figure.layout.xaxis.range)
    assert all(low < macs / 1e6 < high for macs in [*make_results()["macs"], *budgets])
    assert all(low <= tick <= high for tick in figure.layout.xaxis.tickvals)
    assert len(figure.layout.xaxis.tickvals) >= 4


def test_names_in_a_figure_are_text_and_not_markup() -> None:
    results = make_results(3, 0).assign(family="<b>mine</b>")
    figure = front_figure(results, BUDGETS, title=HOSTILE)
    assert "<script>" not in figure.layout.title.text
    assert all("<b>mine" not in str(trace.name) + str(trace.hovertext) for trace in figure.data)


def test_learning_curves_show_every_epoch_and_winners_strongly() -> None:
    results = make_results()
    curves = make_curves(results)
    figure = learning_curves_figure(curves, winning=[4, 2, 4, 99])
    assert [trace.name for trace in figure.data] == ["the others", "#4", "#2"]
    drawn = [y for trace in figure.data for y in trace.y if y is not None]
    assert sorted(drawn) == pytest.approx(sorted(100 * curves["accuracy"]))
    assert figure.data[0].opacity < 0.5 < figure.data[1].line.width


@pytest.mark.parametrize("curves", [pd.DataFrame(), make_curves(FRAMES["empty"])])
def test_learning_curves_of_nothing(curves: pd.DataFrame) -> None:
    assert "No epoch" in learning_curves_figure(curves).layout.annotations[0].text


def test_the_report_holds_every_candidate_and_why_some_failed(tmp_path: Path) -> None:
    results = make_results()
    page = Page(write(tmp_path / "report.html", results))
    for row in results.to_dict("records"):
        line = next(line for line in page.rows if row["hash"] in line)
        assert f"#{row['number']} " in line
        assert ("failed" if row["reason"] else f"{row['accuracy']:.2%}") in line
        assert any(row["reason"] in line for line in page.rows)
    exact = {attributes.get("title") for tag, attributes in page.tags if tag == "span"}
    assert {f"{macs:,}" for macs in results["macs"]} <= exact


def test_the_report_says_what_is_counted_and_what_compares(tmp_path: Path) -> None:
    text = Page(write(tmp_path / "report.html", make_results())).text
    for part in (
        "multiply-accumulate",
        "not counted are bias",
        "same protocol hash",
        "Space mobile",
        "0123abcd",
    ):
        assert part in text


def test_a_budget_that_nothing_fits_is_named(tmp_path: Path) -> None:
    page = Page(write(tmp_path / "report.html", make_results(), budgets=(1_000_000, 50_000_000)))
    assert any("1M" in line and "no complete candidate within it" in line for line in page.rows)


@pytest.mark.parametrize("name", FRAMES)
def test_any_frame_gives_a_page(tmp_path: Path, name: str) -> None:
    page = Page(write(tmp_path / "report.html", FRAMES[name]))
    assert "What the numbers mean" in page.text
    assert [attributes["id"] for tag, attributes in page.tags if attributes.get("id")] == ["front", "curves"]


def test_what_users_name_is_escaped(tmp_path: Path) -> None:
    results = make_results(3, 1).assign(family=HOSTILE, fusions=HOSTILE, hash=HOSTILE)
    results.loc[results["state"] == "failed", "reason"] = HOSTILE
    path = tmp_path / "report.html"
    facts = [(HOSTILE, HOSTILE)]
    write_report(
        path, title=HOSTILE, results=results, curves=make_curves(results), budgets=BUDGETS, facts=facts
    )
    text = path.read_text(encoding="utf-8")
    assert "<script>alert" not in text
    page = Page(text)
    assert page.text.count(HOSTILE) > 10
    # Plotly once, and one for each figure.
    assert [tag for tag, _ in page.tags].count("script") == 3


def test_the_report_loads_nothing(tmp_path: Path) -> None:
    page = Page(write(tmp_path / "report.html", make_results()))
    assert not {tag for tag, _ in page.tags} & {"link", "iframe", "img", "object", "embed", "base"}
    assert not [attributes for _, attributes in page.tags if "src" in attributes or "href" in attributes]
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_the_page_is_accessible(tmp_path: Path) -> None:
    page = Page(write(tmp_path / "report.html", make_results()))
    assert ("html", {"lang": "en"}) in page.tags
    assert any(attributes.get("name") == "viewport" for tag, attributes in page.tags if tag == "meta")
    figures = [attributes for tag, attributes in page.tags if tag == "figure"]
    assert len(figures) == 2
    assert all(attributes.get("aria-label") for attributes in figures)


def test_a_report_that_cannot_be_finished_leaves_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("older", encoding="utf-8")

    def full(self: Path, target: Path) -> Path:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space"):
        write(path, make_results())
    assert path.read_text(encoding="utf-8") == "older"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium to open the report in")
def test_a_browser_draws_the_figures_from_disk(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    results = make_results()
    write(path, results, title=HOSTILE)
    drawn = [(attributes.get("class") or "").split() for _, attributes in open_in_browser(path).tags]
    assert sum("main-svg" in classes for classes in drawn) >= 2
    assert sum("point" in classes for classes in drawn) >= len(complete(results))
