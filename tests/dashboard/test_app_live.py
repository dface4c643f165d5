"""The dashboard before a running search, runs that vanish, and runs in which there is little to see."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from bft_nas.engines import local_engine
from bft_nas.export.write import CONTENTS
from bft_nas.record import Run
from bft_nas.record.pareto import front
from bft_nas.searching.loop import Clock, Prepared, search
from tests.conftest import Silent, tiny_prepared, tiny_run
from tests.dashboard.browsing import drawn, looking, points, ranges, served, show_tab, until, zoom
from tests.dashboard.made_up import make_run


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return tiny_prepared()


@pytest.fixture(scope="module")
def searched(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A search for real, after three candidates."""
    run = tiny_run(tmp_path_factory.mktemp("live") / "runs", prepared)
    go_on(run, prepared, trials=3)
    return run


@pytest.fixture(scope="module")
def address(searched: Run) -> Iterator[str]:
    with served(searched.folder.parent) as address:
        yield address


def go_on(run: Run, prepared: Prepared, trials: int) -> None:
    search(run, local_engine(prepared.images, run.protocol), Silent(), Clock(), trials=trials, seconds=None)


def test_a_running_search_adds_a_point_and_the_zoom_and_the_choice_stay(
    window: BrowserContext, address: str, searched: Run, prepared: Prepared
) -> None:
    with looking(window, f"{address}?candidate=1&tab=table") as page:
        drawn(page)
        assert set(points(page)) == {0, 1, 2}
        page.locator('#table .ag-center-cols-container [row-id="2"]').click()
        expect(page).to_have_url(re.compile("marked=2"))
        zoomed = zoom(page)
        moment = page.evaluate("performance.timeOrigin")
        go_on(searched, prepared, trials=4)
        until(page, lambda: set(points(page)) == {0, 1, 2, 3}, seconds=30)
        assert ranges(page) == pytest.approx(zoomed)
        expect(page.locator("#network-title")).to_have_text("The network of #1")
        expect(page.locator("#table-says")).to_contain_text("4 candidates")
        expect(page.locator('#table .ag-row-selected.ag-row[row-id="2"]').first).to_be_visible()
        expect(page.locator("#live")).to_contain_text("4 candidates trained")
        assert page.evaluate("performance.timeOrigin") == moment


def test_a_candidate_is_exported_from_the_page(
    window: BrowserContext, address: str, searched: Run, tmp_path: Path
) -> None:
    number = int(front(searched.results())["number"].iloc[0])
    with looking(window, f"{address}?candidate={number}") as page:
        drawn(page)
        expect(page.locator("#export-says")).to_contain_text(
            f"bft-nas export tiny --runs {searched.folder.parent} --candidate {number} -o tiny-{number}"
        )
        with page.expect_download(timeout=180_000) as download:
            page.get_by_role("button", name="Export").click()
            expect(page.get_by_role("button", name="Exporting")).to_be_disabled()
        expect(page.get_by_role("button", name="Export as PyTorch and ONNX")).to_be_enabled()
        assert download.value.suggested_filename == f"tiny-{number}.zip"
        with zipfile.ZipFile(download.value.path()) as archive:
            names = {name.partition("/")[2] for name in archive.namelist()}
            assert names == set(CONTENTS)
            assert b"import torch" in archive.read(f"tiny-{number}/model.py")


def test_an_export_that_ends_beside_a_candidate_without_weights_leaves_the_button_off(
    window: BrowserContext, address: str, searched: Run
) -> None:
    on_front = front(searched.results())["number"].tolist()
    (behind, *_) = set(searched.results()["number"]) - set(on_front)
    with looking(window, f"{address}?candidate={on_front[0]}") as page:
        drawn(page)
        button = page.locator("#export")
        button.click()
        expect(button).to_have_text("Exporting and checking ...")
        page.get_by_label("Candidate", exact=True).fill(str(behind))
        page.keyboard.press("Enter")
        expect(page.locator("#export-says")).to_contain_text("No export")
        expect(button).to_have_text("Export as PyTorch and ONNX", timeout=180_000)
        expect(button).to_be_disabled()


def test_without_weights_there_is_no_export(window: BrowserContext, address: str, searched: Run) -> None:
    (behind, *_) = set(searched.results()["number"]) - set(front(searched.results())["number"])
    with looking(window, f"{address}?candidate={behind}") as page:
        drawn(page)
        expect(page.get_by_role("button", name="Export")).to_be_disabled()
        expect(page.locator("#export-says")).to_have_text(
            "No export: there are no weights of it; a search keeps those of the front and of what it confirms."
        )


def test_a_run_that_is_deleted_while_it_is_shown(window: BrowserContext, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    run = make_run(runs, "going", candidates=5, failed=0)
    make_run(runs, "staying", candidates=2, failed=0)
    with served(runs, "going") as address, looking(window, address) as page:
        drawn(page)
        away = tmp_path / "away"
        shutil.move(run.folder, away)
        expect(page.locator("#gone")).to_contain_text(
            f"run 'going': not found under '{runs}'; expected staying", timeout=15_000
        )
        page.get_by_label("Candidate", exact=True).fill("2")
        page.keyboard.press("Enter")
        expect(page.locator("#trouble")).to_contain_text("run 'going': not found")
        assert len(points(page)) == 5
        shutil.move(away, run.folder)
        expect(page.locator("#gone")).to_be_hidden(timeout=15_000)


def test_what_can_be_chosen_follows_the_runs_and_their_candidates(
    window: BrowserContext, tmp_path: Path
) -> None:
    run = make_run(tmp_path, "first", candidates=20, failed=0)
    make_run(tmp_path, "beside", candidates=2, failed=0)
    journal = run.folder / "study.journal"
    whole = journal.read_bytes()
    journal.write_bytes(b"".join(whole.splitlines(keepends=True)[:3]))
    families = (
        "JSON.stringify(document.querySelector('#families') && dash_component_api.getLayout('families'))"
    )
    with served(tmp_path) as address, looking(window, f"{address}?run=first&tab=search&runs=beside") as page:
        drawn(page)
        journal.write_bytes(whole)
        make_run(tmp_path, "newer", candidates=1, failed=0)
        expect(page.locator("#all-runs summary")).to_have_text("3 runs")
        names = run.results()["family"].unique()
        until(page, lambda: all(name in page.evaluate(families) for name in names))
        # A run on the plots that is gone does not keep the page from its own.
        shutil.rmtree(tmp_path / "beside")
        expect(page.locator("#all-runs summary")).to_have_text("2 runs")
        expect(page.locator("#gone")).to_be_hidden()
        run.record_references([])
        expect(page.locator("#live")).to_contain_text("20 candidates trained")


LITTLE: dict[str, tuple[dict[str, int], str]] = {
    "empty": ({"candidates": 0}, "No candidates yet."),
    "one-candidate": ({"candidates": 1, "failed": 0}, "1 candidate trained."),
    "only-failures": ({"candidates": 4, "failed": 1}, "No candidate is complete: 4 failed."),
    "no-curves": ({"candidates": 4, "failed": 0, "curves": False}, "No epoch has been recorded yet."),
}


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard of runs in which there is little to see."""
    folder = tmp_path_factory.mktemp("little")
    for name, (options, _) in LITTLE.items():
        make_run(folder, name, **options)  # type: ignore[arg-type]
    with served(folder) as address:
        yield address


@pytest.mark.parametrize(("name", "says"), [(name, says) for name, (_, says) in LITTLE.items()], ids=LITTLE)
def test_a_run_with_little_to_see_says_so(window: BrowserContext, little: str, name: str, says: str) -> None:
    with looking(window, f"{little}?run={name}") as page:
        expect(page.get_by_text(says).first).to_be_attached(timeout=30_000)
        for tab in ("The search itself", "All candidates", "Where butterflies pay"):
            show_tab(page, tab)
            expect(page.locator("#panel > .panel > *").first).to_be_visible()
            page.wait_for_timeout(200)
        expect(page.locator("#trouble")).to_be_hidden()


def test_before_the_first_run_the_page_says_so(window: BrowserContext, tmp_path: Path) -> None:
    from bft_nas.dashboard._runs import EXAMPLE

    with served(tmp_path / "runs") as address, looking(window, address) as page:
        expected = "example" if (EXAMPLE / "run.yaml").is_file() else "There is no run"
        expect(page.locator("main, header").first).to_contain_text(expected, timeout=30_000)
        if expected == "example":
            page.goto(f"{address}?run=example&candidate=16")
            expect(page.locator("#export-says")).to_have_text("No export: the example comes without weights.")


def test_what_candidates_say_is_text_and_not_markup(window: BrowserContext, tmp_path: Path) -> None:
    run = make_run(tmp_path, "<img src=x>", candidates=6, failed=1)
    with served(tmp_path) as address, looking(window, f"{address}?tab=table&candidate=2") as page:
        drawn(page)
        expect(page.locator("h1")).to_have_text("<img src=x>")
        expect(page.locator("#card")).to_contain_text(run.results()["reason"].iloc[2])
        show_tab(page, "The search itself")
        expect(page.locator("#failures .main-svg").first).to_be_visible()
        assert page.locator("main img, header img, main .xtick b, #card b").count() == 0
