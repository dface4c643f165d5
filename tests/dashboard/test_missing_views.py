"""A view that cannot be made says so in its place, and the others are there: in the report and on the page."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect

from bft_nas.dashboard import _candidate, _front, _tabs, report, search_course, write_run_report
from bft_nas.dashboard._runs import Runs
from bft_nas.dashboard._view import View
from bft_nas.dashboard.app import make_app
from bft_nas.dashboard.network import bars_of
from bft_nas.dashboard.search_course import SEARCH_VIEWS
from bft_nas.network import Architecture
from bft_nas.record import Run
from bft_nas.record.pareto import front
from tests.dashboard.browsing import looking, reached
from tests.dashboard.made_up import make_run

SAID = "This view cannot be shown (KeyError: 'no <b>layer</b>')."
FIGURES = {
    "front": "front_figure",
    "curves": "curves_figure",
    "butterflies": "butterfly_figure",
    "placement": "placement_figure",
    "importances": "importance_figure",
    "parallel": "parallel_figure",
    "strip": "strip_figure",
    "comparison": "comparison_figure",
}
OF_THE_SEARCH = {
    "_hypervolume_figure": {"hypervolume_epochs", "hypervolume_seconds"},
    "course": {"hypervolume_epochs", "hypervolume_seconds", "rate"},
    "_rate_figure": {"rate"},
    "_time_figure": {"time"},
    "_rungs_figure": {"rungs"},
    "_failures_figure": {"failures"},
}


def fails(*given: object, **options: object) -> Any:
    raise KeyError("no <b>layer</b>")


def embedded_figures(text: str) -> dict[str, Any]:
    found = re.search(r'id="data">([^<]*)<', text)
    assert found is not None
    return dict(json.loads(zlib.decompress(base64.b64decode(found[1])))["figures"])


def missing(text: str) -> set[str]:
    """The figures in whose place a report says that they are missing; the others have something to show."""
    figures = embedded_figures(text)
    assert set(figures) == {*FIGURES, *SEARCH_VIEWS}
    alternatives = {name: figure["layout"]["meta"]["alternative"] for name, figure in figures.items()}
    return {name for name, said in alternatives.items() if said == SAID}


def written(run: Run, folder: Path) -> tuple[str, list[str]]:
    problems: list[str] = []
    path = write_run_report(run, folder / "report.html", on_problem=lambda name, error: problems.append(name))
    return path.read_text(encoding="utf-8"), problems


@pytest.mark.parametrize(("name", "function"), FIGURES.items())
def test_a_report_has_all_figures_but_the_one_that_cannot_be_drawn(
    name: str, function: str, made_up: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, function, fails)
    text, problems = written(made_up, tmp_path)
    assert missing(text) == {name}
    assert problems == [name]
    assert "no <b>layer</b>" not in text


@pytest.mark.parametrize(("function", "names"), OF_THE_SEARCH.items())
def test_a_report_has_all_plots_of_the_search_but_those_that_cannot_be_drawn(
    function: str, names: set[str], made_up: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_course, function, fails)
    text, problems = written(made_up, tmp_path)
    assert missing(text) == names == set(problems)


@pytest.mark.parametrize(
    "function", ["facts_list", "_one", "_two", "winners_table", "table", "_references", "_tables"]
)
def test_a_report_has_all_texts_but_the_one_that_cannot_be_made(
    function: str, made_up: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, function, fails)
    text, problems = written(made_up, tmp_path)
    assert text.count("This view cannot be shown (KeyError: &#x27;no &lt;b&gt;layer&lt;/b&gt;&#x27;).") == 1
    assert len(problems) == 1
    assert not missing(text)


def test_a_network_with_a_layer_that_nobody_knows_costs_a_report_that_network_alone(
    made_up: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = made_up.architecture(3)

    def bars(architecture: Architecture) -> Any:
        return fails() if architecture == odd else bars_of(architecture)

    monkeypatch.setattr(report, "bars_of", bars)
    text, problems = written(made_up, tmp_path)
    assert problems == ["the network of candidate 3"]
    assert not missing(text)


@contextmanager
def report_in_browser(window: BrowserContext, path: Path) -> Iterator[Any]:
    with looking(window, path.as_uri()) as page:
        expect(page.locator("html[data-ready]")).to_be_attached(timeout=30_000)
        yield page


@pytest.mark.parametrize("name", ["front", "curves"])
def test_in_a_browser_all_else_of_a_report_works(
    name: str, made_up: Run, window: BrowserContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, FIGURES[name], fails)
    path = write_run_report(made_up, tmp_path / "report.html")
    with report_in_browser(window, path) as page:
        expect(page.locator(f"#{name}")).to_contain_text("This view cannot be shown")
        for other in {*FIGURES, *SEARCH_VIEWS} - {name, "parallel"}:
            reached(page, other)
        expect(page.locator("#all tbody tr").first).to_be_visible()
        page.locator("#candidate").fill("1")
        page.locator("#candidate").press("Tab")
        expect(page.locator("#facts thead")).to_contain_text("#1")


def page_values(folder: Path) -> dict[str, tuple[Any, ...]]:
    runs = Runs(folder)
    (name,) = runs.names()
    view = View(run=name)
    data = runs.read(name)
    return {
        "front": _front.front_values(data, view),
        "candidate": _candidate.candidate_values(runs, data, view),
        "beside": _candidate.candidate_values(runs, data, View(run=name, candidate=0, beside=1)),
        "butterflies": _tabs._values("butterflies", runs, view),
        "confirmed": _tabs._values("confirmed", runs, view),
        "search": _tabs._values("search", runs, view),
    }


@pytest.mark.parametrize(
    ("module", "function", "place"),
    [
        (_front, "front_figure", "front"),
        (_candidate, "strip_figure", "candidate"),
        (_candidate, "_layers", "candidate"),
        (_candidate, "_card", "candidate"),
        (_candidate, "architecture_yaml", "candidate"),
        (_candidate, "comparison_figure", "beside"),
        (_candidate, "_differences", "beside"),
        (_tabs, "butterfly_figure", "butterflies"),
        (_tabs, "placement_figure", "butterflies"),
        (_tabs, "importance_figure", "butterflies"),
        (_tabs, "parallel_figure", "butterflies"),
        (_tabs, "standings_figure", "confirmed"),
        (search_course, "_time_figure", "search"),
    ],
)
def test_the_page_has_all_views_but_the_one_that_cannot_be_made(
    module: Any,
    function: str,
    place: str,
    made_up: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = page_values(made_up.folder.parent)
    monkeypatch.setattr(module, function, fails)
    values = page_values(made_up.folder.parent)
    assert "KeyError: 'no <b>layer</b>'" in capsys.readouterr().err
    told = [value for value in values[place] if "cannot be shown" in str(value)]
    assert told
    # A figure and its text at most.
    assert len(told) <= 2
    for name, found in values.items():
        assert len(found) == len(whole[name])


def test_a_candidate_without_a_network_on_disk_is_left_out_of_the_map_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path, "made-up", candidates=12, failed=0)
    first, *others = front(run.results())["number"]
    (run.folder / f"candidates/{first:04d}/architecture.json").unlink()
    figure, *_ = page_values(tmp_path)["butterflies"]
    assert [row[0] for row in figure.data[0].customdata] == others


def test_a_page_whose_front_cannot_be_drawn_comes_with_all_else(
    made_up: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_front, "front_figure", fails)
    browser = make_app(Runs(made_up.folder.parent), [made_up.name]).server.test_client()
    answer = browser.post(
        "/_dash-update-component",
        json={
            "output": "page.children",
            "outputs": {"id": "page", "property": "children"},
            "inputs": [{"id": "arrival", "property": "pathname", "value": "/"}],
            "changedPropIds": ["arrival.pathname"],
            "state": [{"id": "arrival", "property": "search", "value": ""}],
        },
    )
    assert answer.status_code == 200
    text = answer.get_data(as_text=True)
    assert "This view cannot be shown (KeyError" in text
    assert "The network of #" in text
