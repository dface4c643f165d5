"""The report opened from disk in a real browser: nothing is asked of any host, and the page makes no mistake."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import yaml
from playwright.sync_api import BrowserContext, Page, expect

from bft_nas.core.units import format_macs
from bft_nas.dashboard import comparison_figure, strip_figure, write_report, write_run_report
from bft_nas.dashboard.network import differences
from bft_nas.network import Architecture
from bft_nas.record import Run
from bft_nas.record.columns import columns_in
from bft_nas.record.pareto import complete, front, winners
from tests.dashboard.browsing import click_candidate, looking, point_at, reached, until
from tests.dashboard.made_up import make_run
from tests.dashboard.pages import FRAMES, make_data
from tests.dashboard.test_report import FIGURES, nowhere

# In pixels of a screen, without its margins.
WIDTH_OF_A4 = 717

# What is drawn of a network: a trace a kind and side, and the ends of the axes.
DRAWN = """id => {
  const {data, layout} = document.getElementById(id);
  const names = ["x", "y", "width", "text", "customdata", "showlegend"];
  const traces = data.map((trace) => names.map((name) => trace[name]));
  const axes = ["xaxis", "yaxis", "yaxis2"].filter((name) => layout[name]).map((name) => layout[name]);
  const keys = ["range", "domain", "tickvals", "ticktext", "nticks"];
  return [traces, axes.map((axis) => keys.map((key) => axis[key]))];
}"""

# What pointing at the numbers of a row says, by number of the candidate.
TITLES = """() => [...document.querySelectorAll("#all tbody tr")].map((row) =>
  [Number(row.querySelector("[data-candidate]").dataset.candidate),
    [...row.querySelectorAll("td[title]")].map((cell) => cell.title)])"""


def opened(page: Page) -> Page:
    expect(page.locator("html[data-ready]")).to_be_attached(timeout=30_000)
    return page


def choose(page: Page, first: int, second: int) -> None:
    for name, number in (("candidate", first), ("beside", second)):
        page.locator(f"#{name}").fill(str(number))
        page.locator(f"#{name}").press("Tab")


def cells(page: Page, table: str) -> list[list[str]]:
    rows = page.locator(f"#{table} tbody tr").all()
    return [row.locator("th, td").all_text_contents() for row in rows]


def as_drawn(figure: go.Figure) -> Any:
    """A figure of a network as `DRAWN` tells one."""
    names = ("x", "y", "width", "text", "customdata", "showlegend")
    content = json.loads(str(figure.to_json()))
    axes = [content["layout"][name] for name in ("xaxis", "yaxis", "yaxis2") if name in content["layout"]]
    keys = ("range", "domain", "tickvals", "ticktext", "nticks")
    return [[trace.get(name) for name in names] for trace in content["data"]], [
        [axis.get(key) for key in keys] for axis in axes
    ]


def same(here: Any, there: Any) -> bool:
    """Equal, numbers to rounding."""
    if isinstance(here, list) and isinstance(there, list):
        return len(here) == len(there) and all(map(same, here, there))
    if isinstance(here, int | float) and isinstance(there, int | float):
        return bool(np.isclose(here, there))
    return bool(here == there)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = make_run(tmp_path_factory.mktemp("report") / "runs", candidates=60, halving=True, failed=0.1)
    (kept, *_) = front(run.results())["number"]
    (run.folder / f"candidates/{kept:04d}/weights.safetensors").touch()
    write_run_report(run)
    return run


@pytest.fixture(scope="module")
def seen(window: BrowserContext, run: Run) -> Iterator[Page]:
    """A report in which nobody chooses anything."""
    with looking(window, (run.folder / "report.html").as_uri()) as page:
        yield opened(page)


@pytest.fixture(name="report")
def _report(window: BrowserContext, run: Run) -> Iterator[Page]:
    with looking(window, (run.folder / "report.html").as_uri()) as page:
        yield opened(page)


def test_every_view_is_drawn_once_it_is_near(report: Page) -> None:
    far = report.locator("#parallel .main-svg")
    assert far.count() == 0
    for name in ("front", "curves", "strip", "comparison", *sorted(FIGURES)):
        reached(report, name)
    assert far.count() > 0
    expect(report.get_by_text("WebGL is not supported")).to_have_count(0)


def test_every_view_is_printed(report: Page) -> None:
    report.pdf()
    for name in FIGURES | {"strip", "comparison"}:
        assert report.locator(f"#{name} .main-svg").count() > 0, name
    report.emulate_media(media="print")
    report.set_viewport_size({"width": WIDTH_OF_A4, "height": 1000})
    hidden = "region => [region.scrollHeight - region.clientHeight, region.scrollWidth - region.clientWidth]"
    for region in report.locator(".scroll").all():
        assert max(region.evaluate(hidden)) <= 0, region.get_attribute("aria-label")


def test_a_click_on_a_butterfly_of_the_front_shows_its_candidate(report: Page, run: Run) -> None:
    last = int(front(run.results())["number"].iloc[0])
    reached(report, "butterflies")
    # The page listens once the figure is drawn, which is a moment after it is seen.
    until(report, lambda: report.evaluate("butterflies._ev?.listenerCount('plotly_click') > 0"))
    report.evaluate("number => butterflies.emit('plotly_click', { points: [{ customdata: number }] })", last)
    expect(report.locator("#candidate")).to_have_value(str(last))


def test_pointing_at_a_candidate_tells_what_it_is(seen: Page, run: Run) -> None:
    row = front(run.results()).iloc[0]
    point_at(seen, int(row["number"]))
    label = seen.locator("#front .hoverlayer")
    expect(label).to_contain_text(f"accuracy {row['accuracy']:.2%}")
    expect(label).to_contain_text(row["family"])


def test_it_begins_with_the_winner_of_the_largest_budget(seen: Page, run: Run) -> None:
    best = winners(run.results(), run.settings.budgets)["number"].tolist()
    expect(seen.locator("#candidate")).to_have_value(str(best[-1]))
    facts = {name: values for name, *values in cells(seen, "facts")}
    row = run.row(best[-1])
    assert facts["MACs"][0] == format_macs(row["macs"])
    assert facts["accuracy"][0] == f"{row['accuracy']:.2%}"
    assert facts["hash"][0] == row["hash"]


def test_a_click_on_a_point_shows_the_candidate(report: Page, run: Run) -> None:
    number = int(front(run.results())["number"].iloc[0])
    click_candidate(report, number)
    expect(report.locator("#candidate")).to_have_value(str(number))
    expect(report.locator("#facts thead")).to_contain_text(f"#{number}")
    network = run.architecture(number)
    assert same(report.evaluate(DRAWN, "strip"), list(as_drawn(strip_figure(network))))
    report.locator("summary").click()
    text = report.locator("#yaml").inner_text()
    assert Architecture.from_dict(yaml.safe_load(text)) == network
    expect(report.locator("#export")).to_have_text(
        f"bft-nas export made-up --runs {run.folder.parent} --candidate {number} -o made-up-{number}"
    )


def test_a_click_with_shift_puts_a_candidate_beside(report: Page, run: Run) -> None:
    first, *_, second = (int(number) for number in front(run.results())["number"])
    click_candidate(report, first)
    report.keyboard.down("Shift")
    click_candidate(report, second)
    report.keyboard.up("Shift")
    expect(report.locator("#candidate")).to_have_value(str(first))
    expect(report.locator("#beside")).to_have_value(str(second))
    expect(report.locator("#curves .legend")).to_contain_text(f"#{second}")
    expect(report.locator("#front .shape-label")).to_have_text([f"#{first}", f"#{second}"])


def test_any_two_candidates_are_compared_as_in_python(report: Page, run: Run) -> None:
    numbers = run.results()["number"].tolist()
    for first, second in zip(numbers[:8], numbers[8:16], strict=True):
        choose(report, first, second)
        a, b = run.architecture(first), run.architecture(second)
        expect(report.locator("#differences thead")).to_contain_text(f"MACs #{second}")
        figure = comparison_figure(a, b, names=(f"#{first}", f"#{second}"))
        assert same(report.evaluate(DRAWN, "comparison"), list(as_drawn(figure)))
        expected = [
            [row["layer"], row["a"], row["b"], f"{row['macs_a']:,}", f"{row['macs_b']:,}",
             f"{row['difference']:+,}" if row["difference"] else "0"]
            for row in differences(a, b).to_dict("records")
        ]  # fmt: skip
        assert cells(report, "differences") == expected


def test_a_number_that_there_is_not_leaves_things_as_they_are(report: Page) -> None:
    before = report.locator("#candidate").input_value()
    report.locator("#candidate").fill("99999")
    report.locator("#candidate").press("Tab")
    expect(report.locator("#candidate")).to_have_value(before)


def test_the_one_beside_can_be_taken_away(report: Page) -> None:
    report.locator("#beside").fill("")
    report.locator("#beside").press("Tab")
    expect(report.locator("#both")).to_be_hidden()
    expect(report.get_by_text("Choose one to stand beside.")).to_be_visible()


def test_zoom_and_selection_do_not_disturb_each_other(report: Page, run: Run) -> None:
    box = report.locator("#front .nsewdrag").first.bounding_box()
    assert box is not None
    report.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.05 * box["height"])
    report.mouse.down()
    report.mouse.move(box["x"] + 0.98 * box["width"], box["y"] + 0.7 * box["height"], steps=5)
    report.mouse.up()
    ends = "['xaxis', 'yaxis'].flatMap((name) => document.getElementById('front')._fullLayout[name].range)"
    zoomed = report.evaluate(ends)
    choose(report, 3, 5)
    assert report.evaluate(ends) == pytest.approx(zoomed)


def test_the_numbers_are_those_of_results_csv(seen: Page, run: Run) -> None:
    results = pd.read_csv(run.folder / "results.csv", keep_default_na=False, na_values={"accuracy": ""})
    columns = columns_in("candidates")
    shown: list[list[str]] = []
    titles: dict[int, list[str]] = {}
    while True:
        shown += cells(seen, "all")
        titles |= dict(seen.evaluate(TITLES))
        if seen.locator("#on").is_disabled():
            break
        seen.locator("#on").click()
    assert len(shown) == len(results)
    for cell, row in zip(shown, results.to_dict("records"), strict=True):
        _, *others = columns
        assert cell == [f"#{row['number']}", *(column.text(row[column.name]) for column in others)]
        whole = [f"{row[name]:,}" for name in ("macs", "params", "peak_memory", "budget")]
        assert [title.split()[0] for title in titles[row["number"]]] == whole


def test_the_table_is_sorted_and_filtered(report: Page, run: Run) -> None:
    results = run.results()
    report.locator("#all thead").get_by_text("Accuracy").click()
    expect(report.locator("#all th[aria-sort=descending]")).to_have_text("Accuracy")
    best = complete(results)["accuracy"].max()
    assert cells(report, "all")[0][1] == f"{best:.2%}"
    status = [column.name for column in columns_in("candidates")].index("state")
    report.locator("#status").select_option("failed")
    failed = results[results["state"] == "failed"]
    expect(report.locator("#shown")).to_have_text(f"1 to {len(failed)} of {len(failed)}")
    assert {row[status] for row in cells(report, "all")} == {"failed"}
    report.locator("#status").select_option("")
    report.locator("#fusion").select_option("dense")
    report.locator("#within").select_option("20000000")
    few = results[(results["butterfly_share"] == 0) & (results["macs"] <= 20_000_000)]
    expect(report.locator("#shown")).to_have_text(
        f"1 to {len(few)} of {len(few)}" if len(few) else "none of them"
    )


def test_what_the_table_shows_is_downloaded(report: Page, run: Run) -> None:
    report.locator("#status").select_option("complete")
    with report.expect_download() as download:
        report.get_by_role("button", name="Download as CSV").click()
    assert download.value.suggested_filename == "made-up.csv"
    text = Path(download.value.path()).read_text(encoding="utf-8")
    expected = complete(run.results()).reset_index(drop=True)
    given = pd.read_csv(StringIO(text), keep_default_na=False)
    pd.testing.assert_frame_equal(given, expected, check_dtype=False)


def test_a_number_in_a_table_shows_its_candidate(report: Page, run: Run) -> None:
    number = int(front(run.results())["number"].iloc[0])
    report.locator(f"#tables [data-candidate='{number}']").first.press("Enter")
    expect(report.locator("#candidate")).to_have_value(str(number))
    expect(report.locator("#candidate")).to_be_in_viewport()


def test_the_yaml_is_copied(window: BrowserContext, report: Page) -> None:
    window.grant_permissions(["clipboard-read", "clipboard-write"])
    report.locator("summary").click()
    report.locator("#copy").click()
    expect(report.locator("#copy")).to_have_text("Copied")
    assert report.evaluate("navigator.clipboard.readText()") == report.locator("#yaml").text_content()


def test_published_results_appear_with_a_click(report: Page) -> None:
    report.locator("#front .legend .traces", has_text="published").locator(".legendtoggle").click()
    expect(report.locator("#front .y2tick").first).to_be_attached()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_its_window_in_light_and_in_dark(window: BrowserContext, run: Run, width: int) -> None:
    with looking(window, (run.folder / "report.html").as_uri(), width=width) as page:
        opened(page)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth") == width
            back = page.evaluate("getComputedStyle(document.body).backgroundColor")
            light = sum(map(int, re.findall(r"\d+", back)[:3])) > 384
            assert light == (scheme == "light")


@pytest.mark.parametrize("name", FRAMES)
def test_any_run_opens_and_says_what_it_lacks(window: BrowserContext, tmp_path: Path, name: str) -> None:
    path = tmp_path / "report.html"
    write_report(path, make_data(FRAMES[name]), nowhere)
    with looking(window, path.as_uri()) as page:
        reached(opened(page), "butterflies")
        expect(page.get_by_text("No candidate is on the front yet.").first).to_be_attached()
        if name == "empty":
            expect(page.locator("#one")).to_contain_text("No candidate has been recorded.")
        else:
            expect(page.locator("#yaml")).to_have_text("Its architecture is not on disk.")


def test_a_run_without_curves_or_with_a_single_candidate_opens(
    window: BrowserContext, tmp_path: Path
) -> None:
    path = write_run_report(make_run(tmp_path, candidates=1, failed=0, curves=False))
    with looking(window, path.as_uri()) as page:
        opened(page)
        expect(page.locator("#curves")).to_contain_text("No epoch has been recorded yet.")
        expect(page.locator("#two")).to_contain_text("There are no two candidates.")
        expect(page.locator("#strip .point").first).to_be_attached()
