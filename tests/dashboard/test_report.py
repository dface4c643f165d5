from __future__ import annotations

import base64
import json
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from bft_nas.core.errors import RunError, UserError
from bft_nas.core.units import format_macs
from bft_nas.dashboard import write_report, write_run_report
from bft_nas.dashboard.network import architecture_yaml
from bft_nas.dashboard.search_course import SEARCH_VIEWS
from bft_nas.network import Architecture, cost
from bft_nas.record import Run
from bft_nas.record.pareto import front, winners
from bft_nas.record.standings import standing_texts
from tests.dashboard.pages import BUDGETS, FRAMES, HOSTILE, Page, make_data, make_results

FIGURES = {"front", "curves", "butterflies", "placement", "importances", "parallel", *SEARCH_VIEWS}


def nowhere(number: int) -> Architecture:
    raise UserError(f"candidate {number}: not on disk")


def write(path: Path, results: pd.DataFrame, name: str = "A run", budgets: Sequence[int] = BUDGETS) -> str:
    write_report(path, make_data(results, name=name, budgets=budgets), nowhere)
    return path.read_text(encoding="utf-8")


def test_the_report_lists_winners_and_front(tmp_path: Path) -> None:
    results = make_results()
    page = Page(write(tmp_path / "report.html", results))
    for row in [*front(results).to_dict("records"), *winners(results, BUDGETS).to_dict("records")]:
        line = next(line for line in page.rows if f"#{row['number']} " in line)
        assert f"{row['accuracy']:.2%}" in line
        assert format_macs(row["macs"]) in line
    exact = {attributes.get("title") for tag, attributes in page.tags if tag == "span"}
    assert {f"{macs:,} MACs" for macs in front(results)["macs"]} <= exact


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
    ids = [attributes["id"] for tag, attributes in page.tags if tag == "div" and attributes.get("id")]
    assert set(ids) == FIGURES - ({"curves"} if name == "empty" else set()) | (
        set() if name == "empty" else {"network"}
    )


def test_what_users_name_is_escaped(tmp_path: Path) -> None:
    results = make_results(3, 1).assign(family=HOSTILE, fusions=HOSTILE, hash=HOSTILE)
    results.loc[results["state"] == "failed", "reason"] = HOSTILE
    path = tmp_path / "report.html"
    write_report(path, make_data(results, name=HOSTILE, facts=[(HOSTILE, HOSTILE)]), nowhere)
    text = path.read_text(encoding="utf-8")
    assert "<script>alert" not in text
    page = Page(text)
    assert page.text.count(HOSTILE) > 10
    # Plotly once, the data and what is done with it.
    assert [tag for tag, _ in page.tags].count("script") == 3
    assert text.count("plotly.js v") == 1


def test_the_report_loads_nothing(tmp_path: Path) -> None:
    page = Page(write(tmp_path / "report.html", make_results()))
    assert not {tag for tag, _ in page.tags} & {"link", "iframe", "img", "object", "embed", "base"}
    assert not [attributes for _, attributes in page.tags if "src" in attributes]
    # Links lead to its own sections alone.
    ids = {attributes.get("id") for _, attributes in page.tags}
    assert {
        str(attributes["href"]).removeprefix("#") for tag, attributes in page.tags if "href" in attributes
    } <= ids
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_the_page_is_accessible(tmp_path: Path) -> None:
    page = Page(write(tmp_path / "report.html", make_results()))
    assert ("html", {"lang": "en"}) in page.tags
    assert any(attributes.get("name") == "viewport" for tag, attributes in page.tags if tag == "meta")
    figures = [attributes for tag, attributes in page.tags if tag == "figure"]
    assert len(figures) == len(FIGURES)
    assert all(attributes.get("aria-label") for attributes in figures)
    scrolled = [attributes for _, attributes in page.tags if "scroll" in str(attributes.get("class"))]
    assert scrolled
    assert all(attributes["tabindex"] == "0" and attributes["aria-label"] for attributes in scrolled)


def test_a_report_that_cannot_be_finished_leaves_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("older", encoding="utf-8")

    def full(self: Path, target: Path) -> Path:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(RunError, match=r"report\.html: cannot be written \(no space"):
        write(path, make_results())
    assert path.read_text(encoding="utf-8") == "older"
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_is_reported_into_its_folder_or_wherever(made_up: Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made_up.folder, tmp_path / "made-up"))
    assert write_run_report(Run(folder)) == folder / "report.html"
    elsewhere = write_run_report(Run(folder), tmp_path / "mine.html")
    assert elsewhere.read_bytes() == (folder / "report.html").read_bytes()
    with pytest.raises(UserError, match=r"report '.*nowhere/mine.html': expected a folder that there is"):
        write_run_report(Run(folder), tmp_path / "nowhere" / "mine.html")


def test_what_the_script_is_told_is_what_there_is(made_up: Run, tmp_path: Path) -> None:
    path = write_run_report(made_up, tmp_path / "report.html")
    text = path.read_text(encoding="utf-8").split('id="data">')[1].split("<")[0]
    told = json.loads(zlib.decompress(base64.b64decode(text)))
    results = made_up.results()
    assert told["rows"]["macs"] == results["macs"].tolist()
    assert told["rows"]["reason"] == results["reason"].tolist()
    assert told["chosen"][0] == winners(results, BUDGETS)["number"].iloc[-1]
    assert told["outcomes"] == list(standing_texts(results, BUDGETS, ()).values())
    end = 0
    for number, count, lines in zip(
        told["bars"]["numbers"], told["bars"]["counts"], told["yaml"]["of"], strict=True
    ):
        network = made_up.architecture(number)
        macs = told["bars"]["macs"][end : end + count]
        end += count
        assert macs == [layer.macs for layer in cost(network).layers]
        assert [told["yaml"]["lines"][line] for line in lines] == architecture_yaml(network).splitlines()
