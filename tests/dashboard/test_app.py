"""The dashboard in a real browser, before runs on disk: what it shows, and what comes of a hand on it."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from bft_nas.core.units import format_params
from bft_nas.record import Run
from bft_nas.record.columns import columns_in
from bft_nas.record.pareto import winners
from tests.dashboard.browsing import (
    click_candidate,
    drawn,
    looking,
    point_at,
    points,
    ranges,
    served,
    show_tab,
    until,
    zoom,
)
from tests.dashboard.made_up import make_run

# What each tab shows, by its name.
OF_TABS = {
    "Where butterflies pay": "where",
    "Confirmations and references": "standings",
    "The search itself": "rate",
    "All candidates": "table",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    runs = tmp_path_factory.mktemp("dashboard") / "runs"
    make_run(runs, "other", candidates=12, seed=1)
    return make_run(runs, "first", candidates=40, halving=True, failed=0.1)


@pytest.fixture(scope="module")
def results(run: Run) -> pd.DataFrame:
    return pd.read_csv(run.folder / "results.csv", keep_default_na=False, na_values={"accuracy": ""})


@pytest.fixture(scope="module")
def address(run: Run) -> Iterator[str]:
    with served(run.folder.parent, "first") as address:
        yield address


@pytest.fixture(scope="module")
def seen(window: BrowserContext, address: str) -> Iterator[Page]:
    """A page on which nobody chooses anything."""
    with looking(window, address) as page:
        yield drawn(page)


@pytest.fixture
def page(window: BrowserContext, address: str) -> Iterator[Page]:
    with looking(window, address) as page:
        yield drawn(page)


CELLS = """() => {
  const rows = {};
  for (const cell of document.querySelectorAll("#table .ag-row [col-id]")) {
    (rows[cell.closest(".ag-row").getAttribute("row-id")] ??= {})[cell.getAttribute("col-id")] = cell.innerText;
  }
  return rows;
}"""

KEPT = """() => {
  const rows = [];
  dash_ag_grid.getApi("table").forEachNode((node) => rows.push(node.data));
  return rows;
}"""


@pytest.fixture(scope="module")
def apart(results: pd.DataFrame) -> list[int]:
    """Complete candidates that a mouse cannot mistake for another one."""
    left = results[results["state"] != "failed"]
    places = pd.DataFrame({"x": left["macs"].astype(float).map(math.log), "y": left["accuracy"]})
    places = places / (places.max() - places.min())
    away = [((places - place) ** 2).sum(axis=1).drop(i).min() for i, place in places.iterrows()]
    alone = left[pd.Series(away, index=left.index) > 0.05**2]
    return [int(number) for number in alone.loc[alone["state"] == "complete", "number"]]


def set_value(page: Page, name: str, value: list[str]) -> None:
    """What a dropdown holds, as a hand would have chosen it."""
    page.evaluate("([id, value]) => dash_clientside.set_props(id, { value })", [name, value])


def rings(page: Page) -> set[int]:
    texts = page.locator("#front .shape-label text").all_text_contents()
    return {int(text.strip().removeprefix("#")) for text in texts}


def test_the_front_has_the_numbers_of_results_csv(seen: Page, results: pd.DataFrame) -> None:
    there = points(seen)
    assert set(there) == set(results["number"])
    for row in results[results["state"] != "failed"].to_dict("records"):
        assert there[row["number"]] == pytest.approx((row["macs"] / 1e6, 100 * row["accuracy"]))


def test_the_table_has_the_numbers_of_results_csv(
    window: BrowserContext, address: str, results: pd.DataFrame
) -> None:
    # A window in which no row and no column is out of sight, since the table has only those in sight.
    with looking(window, f"{address}?tab=table", width=3000, height=3200) as page:
        page.add_style_tag(content="main { max-width: none !important } #table { height: 2400px !important }")
        expect(page.locator("#table .ag-center-cols-container .ag-row")).to_have_count(len(results))
        expect(page.locator('#table [row-id="0"] [col-id="hash"]')).to_have_text(results["hash"].iloc[0])
        cells = page.evaluate(CELLS)
        kept = {row["number"]: row for row in page.evaluate(KEPT)}
    for row in results.to_dict("records"):
        for name in ("macs", "params", "budget", "peak_memory"):
            assert kept[row["number"]][name] == row[name]
        shown = cells[str(row["number"])]
        assert shown["accuracy"] == ("" if pd.isna(row["accuracy"]) else f"{row['accuracy']:.2%}")
        for column in columns_in("candidates"):
            assert shown[column.name] == column.text(row[column.name])


def test_a_candidate_has_the_numbers_of_the_command_line(page: Page, run: Run, apart: list[int]) -> None:
    number = apart[0]
    shown = subprocess.run(
        [sys.executable, "-m", "bft_nas.cli.main", "show", "first", "--runs", str(run.folder.parent)]
        + ["--candidate", str(number)],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "200", "PATH": ""},
    ).stdout
    page.get_by_label("Candidate", exact=True).fill(str(number))
    page.keyboard.press("Enter")
    expect(page.locator("#network-title")).to_have_text(f"The network of #{number}")
    for fact in ("accuracy", "MACs", "fusions"):
        told = re.search(rf"^{fact} +(.+?)(?: \(protocol.*)?$", shown, re.MULTILINE)
        assert told
        assert told[1].strip() in page.locator("#card").inner_text()
    page.get_by_text("Layer by layer").click()
    layers = page.locator("#layers tbody tr").evaluate_all(
        "rows => rows.map(row => row.innerText.split('\\t'))"
    )
    lines = {line.split()[0]: line.split() for line in shown.splitlines() if line.strip()}
    assert len(layers) > 10
    for name, _, _, macs, params in layers:
        assert macs in lines[name.strip()]
        assert params in lines[name.strip()]


def test_the_winner_is_shown_until_somebody_chooses(seen: Page, run: Run, results: pd.DataFrame) -> None:
    best = winners(results, run.settings.budgets).iloc[-1]
    expect(seen.locator("#network-title")).to_have_text(f"The network of #{best['number']}")
    expect(seen.locator("#card")).to_contain_text(f"{best['accuracy']:.2%}")


def test_pointing_at_a_candidate_says_what_it_is(seen: Page, apart: list[int], results: pd.DataFrame) -> None:
    row = results[results["number"] == apart[0]].iloc[0]
    point_at(seen, apart[0])
    label = seen.locator("#front .hoverlayer")
    expect(label).to_contain_text(f"accuracy {row['accuracy']:.2%}")
    expect(label).to_contain_text(f"parameters {format_params(row['params'])}")


def test_a_click_shows_a_candidate_and_another_one_beside_it(page: Page, apart: list[int]) -> None:
    first, second, *_ = apart
    click_candidate(page, first)
    expect(page.locator("#network-title")).to_have_text(f"The network of #{first}")
    expect(page.locator("#curve .legendtext", has_text=f"#{first}")).to_have_count(1)
    page.get_by_label("a click compares it").check()
    click_candidate(page, second)
    expect(page.locator("#network-title")).to_have_text(f"#{first} above, #{second} below")
    expect(page.locator("#differences tbody tr").first).to_be_visible()
    expect(page.locator("#card")).to_contain_text(f"#{second}")
    expect(page).to_have_url(re.compile(f"candidate={first}&beside={second}"))
    until(page, lambda: rings(page) == {first, second})


def test_a_failed_candidate_says_why(page: Page, results: pd.DataFrame) -> None:
    row = results[results["state"] == "failed"].iloc[0]
    page.get_by_label("Candidate", exact=True).fill(str(row["number"]))
    page.keyboard.press("Enter")
    expect(page.locator("#card")).to_contain_text(row["reason"])
    assert page.locator("#card b").count() == 0


def test_the_yaml_of_a_candidate_can_be_copied(page: Page, address: str, run: Run, apart: list[int]) -> None:
    import yaml

    from bft_nas.network import Architecture

    number = apart[0]
    click_candidate(page, number)
    expect(page.locator("#network-title")).to_have_text(f"The network of #{number}")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address.rstrip("/"))
    page.locator("summary", has_text="YAML").click()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert Architecture.from_dict(yaml.safe_load(copied)) == run.architecture(number)


def test_the_budget_slider_filters_everything(page: Page, results: pd.DataFrame) -> None:
    show_tab(page, "All candidates")
    expect(page.locator("#table-says")).to_contain_text(f"{len(results)} candidates")
    thumb = page.get_by_role("slider")
    thumb.focus()
    while page.locator("#macs-says").inner_text() != "up to 20M":
        before = page.locator("#macs-says").inner_text()
        thumb.press("ArrowLeft")
        expect(page.locator("#macs-says")).not_to_have_text(before)
    within = results[results["macs"] <= 20_000_000]
    assert 0 < len(within) < len(results)
    until(page, lambda: set(points(page)) == set(within["number"]))
    expect(page.locator("#table-says")).to_contain_text(f"{len(within)} of {len(results)} candidates")
    assert all(x <= 20 for x, _ in points(page).values())


def test_fusion_family_and_status_are_filters(page: Page, results: pd.DataFrame) -> None:
    def choose(label: str, option: str) -> None:
        page.get_by_role("group", name=label).get_by_role("button").first.click()
        page.get_by_role("option", name=option, exact=True).click()
        page.keyboard.press("Escape")

    family = results["family"].iloc[0]
    choose("Family", family)
    choose("Status", "complete")
    choose("Fusions", "some butterflies")
    left = results[
        (results["family"] == family)
        & (results["state"] == "complete")
        & results["butterfly_share"].between(0, 1, inclusive="neither")
    ]
    assert 0 < len(left) < len(results)
    until(page, lambda: set(points(page)) == set(left["number"]))
    expect(page).to_have_url(re.compile(f"fusion=mixed&families={family}&states=complete"))


def test_published_curves_come_and_go_together(page: Page) -> None:
    axis = page.locator("#front .y2title")
    assert axis.count() == 0
    page.get_by_label("published results").check()
    expect(axis).to_contain_text("ImageNet")
    page.get_by_label("published results").uncheck()
    expect(axis).to_have_count(0)
    page.locator("#front .legend .traces", has_text="published").locator(".legendtoggle").click()
    expect(axis).to_contain_text("ImageNet")
    expect(page.get_by_label("published results")).to_be_checked()


def test_selected_rows_are_ringed(page: Page, results: pd.DataFrame) -> None:
    show_tab(page, "All candidates")
    best = results.sort_values("accuracy", ascending=False)["number"].tolist()[:2]
    for number in best:
        page.locator(f'#table .ag-center-cols-container [row-id="{number}"]').click(modifiers=["Control"])
        expect(page).to_have_url(re.compile(rf"marked=[\d,]*\b{number}\b"))
    until(page, lambda: rings(page) == set(best))


def test_what_a_filter_hides_stays_marked(page: Page, results: pd.DataFrame) -> None:
    show_tab(page, "All candidates")
    for family in sorted(results["family"].unique())[:2]:
        number = results.loc[results["family"] == family, "number"].iloc[0]
        row = page.locator(f'#table .ag-center-cols-container [row-id="{number}"]')
        row.scroll_into_view_if_needed()
        row.click(modifiers=["Control"])
        expect(page).to_have_url(re.compile(rf"marked=[\d,]*\b{number}\b"))
    marked = re.search(r"marked=[\d,]+", page.url)
    assert marked
    set_value(page, "families", [family])
    expect(page.locator("#table-says")).to_contain_text(" of ")
    set_value(page, "families", [])
    expect(page.locator("#table-says")).not_to_contain_text(" of ")
    page.wait_for_timeout(500)
    assert marked[0] in page.url


def test_reset_leads_from_a_zoomed_link_to_the_whole(
    window: BrowserContext, address: str, seen: Page
) -> None:
    with looking(window, f"{address}?run=first&x=1.2,1.5&y=60,75") as page:
        drawn(page)
        assert ranges(page) == pytest.approx([1.2, 1.5, 60, 75])
        page.locator("#front .nsewdrag").first.hover()
        page.locator("#front [data-title='Reset axes']").click()
        until(page, lambda: ranges(page) == pytest.approx(ranges(seen)))
        expect(page).not_to_have_url(re.compile("[xy]="))


def test_the_table_is_sorted_and_filtered_by_its_heads(page: Page, results: pd.DataFrame) -> None:
    show_tab(page, "All candidates")
    numbers = page.locator("#table .ag-pinned-left-cols-container .ag-row")
    expect(numbers.first).to_be_visible()

    def first() -> str:
        return str(page.locator('#table .ag-pinned-left-cols-container [row-index="0"]').inner_text()).strip()

    assert first() == str(results.dropna(subset="accuracy").sort_values("accuracy")["number"].iloc[-1])
    page.get_by_role("columnheader", name="MACs", exact=True).click()
    expect(page.locator('#table .ag-pinned-left-cols-container [row-index="0"]')).to_have_text(
        str(results.sort_values("macs")["number"].iloc[0])
    )


def test_the_csv_holds_what_the_filters_leave(
    window: BrowserContext, address: str, results: pd.DataFrame
) -> None:
    with looking(window, f"{address}?tab=table&states=complete&macs=20M") as page:
        with page.expect_download() as download:
            page.get_by_role("button", name="Download as CSV").click()
        read = pd.read_csv(download.value.path(), keep_default_na=False)
    expected = results[(results["state"] == "complete") & (results["macs"] <= 20_000_000)]
    assert download.value.suggested_filename == "first.csv"
    assert list(read.columns) == list(results.columns)
    pd.testing.assert_frame_equal(read, expected.reset_index(drop=True), check_dtype=False)


def test_filters_of_columns_go_by_what_cells_show_and_for_the_csv(
    window: BrowserContext, address: str, results: pd.DataFrame
) -> None:
    row = results[results["state"] == "complete"].iloc[0]
    shown = f"{row['accuracy']:.2%}"
    alike = results["accuracy"].map(lambda accuracy: f"{accuracy:.2%}" == shown)
    with looking(window, f"{address}?tab=table", width=3000) as page:
        page.add_style_tag(content="main { max-width: none !important }")
        page.get_by_label("Accuracy Filter Input").first.fill(shown.removesuffix("%"))
        expect(page.locator("#table-left")).to_contain_text(f"leave {alike.sum()} of them")
        with page.expect_download() as download:
            page.get_by_role("button", name="Download as CSV").click()
        read = pd.read_csv(download.value.path(), keep_default_na=False)
    assert read["number"].tolist() == results.loc[alike, "number"].tolist()


def test_an_address_shows_what_its_sender_saw(
    window: BrowserContext, address: str, apart: list[int], results: pd.DataFrame
) -> None:
    first, second, *_ = apart
    with looking(window, f"{address}?tab=search") as page:
        drawn(page)
        page.get_by_label("published results").check()
        # Their axis moves all points.
        expect(page.locator("#front .y2title")).to_have_count(1)
        click_candidate(page, first)
        page.get_by_label("Beside it").fill(str(second))
        page.keyboard.press("Enter")
        expect(page.locator("#network-title")).to_have_text(f"#{first} above, #{second} below")
        zoomed = zoom(page)
        link = page.url
    with looking(window, link) as page:
        drawn(page)
        expect(page.locator("#network-title")).to_have_text(f"#{first} above, #{second} below")
        expect(page.get_by_label("published results")).to_be_checked()
        expect(page.locator("#front .y2title")).to_have_count(1)
        expect(page.get_by_label("The search itself")).to_be_checked()
        assert ranges(page) == pytest.approx(zoomed, rel=1e-3)
        page.reload()
        drawn(page)
        assert ranges(page) == pytest.approx(zoomed, rel=1e-3)
        assert page.url == link


def test_going_back_undoes_a_step(page: Page, apart: list[int]) -> None:
    first, second, *_ = apart
    click_candidate(page, first)
    expect(page).to_have_url(re.compile(f"candidate={first}"))
    click_candidate(page, second)
    expect(page.locator("#network-title")).to_have_text(f"The network of #{second}")
    page.go_back()
    expect(page.locator("#network-title")).to_have_text(f"The network of #{first}")
    expect(page.get_by_label("Candidate", exact=True)).to_have_value(str(first))


def test_going_back_to_an_address_without_a_run_stays_with_the_run(
    window: BrowserContext, tmp_path: Path
) -> None:
    make_run(tmp_path, "first", candidates=5, failed=0)
    with served(tmp_path) as address, looking(window, address) as page:
        drawn(page)
        expect(page).to_have_url(re.compile(r"\?run=first&?$"))
        page.get_by_label("Candidate", exact=True).fill("3")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("candidate=3"))
        make_run(tmp_path, "newer", candidates=2, failed=0, seed=1)
        page.go_back()
        expect(page.get_by_label("Candidate", exact=True)).to_have_value("")
        expect(page).to_have_url(re.compile(r"\?run=first&?$"))
        expect(page.locator("#front-says")).to_have_text("5 candidates trained.")
        page.reload()
        expect(page.locator("h1")).to_have_text("first")


def test_butterflies_have_a_view(seen: Page) -> None:
    for name in ("where", "placement", "importance", "parallel"):
        expect(seen.locator(f"#{name}-figure")).to_have_attribute("aria-label", re.compile(r"\w+"))
        expect(seen.locator(f"#{name} .main-svg").first).to_be_visible()


def test_runs_are_on_the_plots_of_the_search_together(window: BrowserContext, address: str) -> None:
    with looking(window, f"{address}?run=first&runs=first&runs=other&tab=search") as page:
        curve = page.locator("#hypervolume_epochs")
        expect(curve.locator(".legendtext", has_text="first")).to_have_count(1)
        expect(curve.locator(".legendtext", has_text="other")).to_have_count(1)
        for name in ("hypervolume_seconds", "rate", "time", "failures", "rungs"):
            expect(page.locator(f"#{name} .main-svg").first).to_be_visible()


def test_the_plots_of_the_search_have_the_runs_that_are_chosen(
    window: BrowserContext, address: str, run: Run
) -> None:
    with looking(window, f"{address}?run=first&tab=search") as page:
        names = page.locator("#time .ytick text")
        expect(names).to_have_text(["first"])
        # What is drawn is drawn because of the choice.
        page.evaluate("dash_clientside.set_props('clock', {disabled: true})")
        for chosen in (["first", "other"], ["other"]):
            set_value(page, "runs", chosen)
            expect(names).to_have_text(chosen[::-1])


def test_every_figure_has_words_for_those_who_do_not_see_it(page: Page) -> None:
    for tab in ("Where butterflies pay", "The search itself"):
        show_tab(page, tab)
        page.locator(f"#{OF_TABS[tab]}").wait_for()
        words = page.locator("figure").evaluate_all("all => all.map(one => one.ariaLabel)")
        assert len(words) > 5
        assert all(words)


def test_controls_have_names_for_those_who_do_not_see_them(seen: Page) -> None:
    for name in ("MACs", "What others have measured", "Clicks in the front", "Views"):
        expect(seen.get_by_role("group", name=name, exact=True)).to_have_count(1)
    expect(seen).to_have_title("first · bft-nas")
    # The time in it would be read aloud again and again.
    assert seen.locator("#live").get_attribute("role") is None


def test_everything_is_reached_with_the_keyboard(page: Page) -> None:
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "() => { const at = document.activeElement; "
                "return at.id || at.getAttribute('role') || at.name || at.innerText || at.tagName; }"
            )
        )
    assert {"slider", "fusion", "families", "states", "candidate", "beside"} <= reached
    page.get_by_label("Where butterflies pay").focus()
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile("tab=confirmed"))


def test_the_page_is_light_or_dark_as_its_reader_likes(seen: Page) -> None:
    for scheme in ("dark", "light"):
        seen.emulate_media(color_scheme=scheme)
        colour = seen.evaluate("getComputedStyle(document.body).backgroundColor")
        red, green, blue = map(int, re.findall(r"\d+", colour)[:3])
        assert (red + green + blue > 600) == (scheme == "light")


def test_a_narrow_window_scrolls_down_alone(window: BrowserContext, address: str) -> None:
    with looking(window, f"{address}?candidate=1&beside=2", width=390, height=844) as page:
        drawn(page)
        for tab, name in OF_TABS.items():
            show_tab(page, tab)
            page.locator(f"#{name}").wait_for()
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
