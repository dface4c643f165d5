"""The report that a real search writes, when it is interrupted and when it has come to its end."""

from __future__ import annotations

import signal
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, expect

from bft_nas.record import Run
from tests.conftest import SPACE
from tests.dashboard.browsing import looking, reached
from tests.dashboard.test_report import FIGURES
from tests.test_end_to_end import start, wait_for_line

SEARCH = (
    "search", "--flops", "3M", "--space", "tiny.yaml", "--classes", "10", "--images", "200", "--epochs", "2",
    "--workers", "1", "--name", "first", "--no-references", "--no-confirm", "--no-timing", "--trials", "4",
)  # fmt: skip


def is_complete(page: Page, run: Run) -> None:
    """Every view is there and every candidate with its numbers."""
    expect(page.locator("html[data-ready]")).to_be_attached(timeout=30_000)
    for name in FIGURES | {"strip"}:
        reached(page, name)
    results = run.results()
    rows = page.locator("#all tbody tr")
    expect(rows).to_have_count(len(results))
    for place, row in enumerate(results.to_dict("records")):
        expect(rows.nth(place)).to_contain_text(f"{100 * row['accuracy']:.2f}%")
        expect(rows.nth(place)).to_contain_text(row["hash"])
    expect(page.locator(".facts")).to_contain_text(run.protocol_hash)


def test_the_reports_of_an_interrupted_and_of_a_finished_search(
    window: BrowserContext, tmp_path: Path
) -> None:
    (tmp_path / "tiny.yaml").write_text(SPACE, encoding="utf-8")
    process = start(tmp_path, *SEARCH)
    wait_for_line(process, "candidate 2 (3 of 4)")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    address = (tmp_path / "runs/first/report.html").as_uri()
    interrupted = Run.open("first", runs=tmp_path / "runs")
    assert 0 < len(interrupted.results()) < 4
    with looking(window, address) as page:
        is_complete(page, interrupted)

    again = start(
        tmp_path,
        "search",
        "--resume",
        "first",
        "--no-references",
        "--no-confirm",
        "--no-timing",
        "--workers",
        "1",
    )
    again.communicate(timeout=240)
    assert again.returncode == 0
    finished = Run.open("first", runs=tmp_path / "runs")
    assert len(finished.results()) == 4
    with looking(window, address) as page:
        is_complete(page, finished)
        # What a search itself records: it was proposed, trained and waited for.
        expect(page.locator("#time")).to_contain_text("proxy trainings")
