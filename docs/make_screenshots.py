"""Pictures of the dashboard for its page in docs, each view light and dark; and of a run's report.

    python -m docs.make_screenshots example

Writes docs/dashboard-VIEW-SCHEME.png and docs/report.png.
"""

from __future__ import annotations

import argparse
import sys
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Browser, FloatRect, Page, sync_playwright

from bft_nas.core.errors import UserError
from bft_nas.dashboard import write_run_report
from bft_nas.record import RUNS, Run
from tests.dashboard.browsing import drawn, launch, served
from tests.dashboard.pages import CHROMIUM

# What of the page a view's picture shows.
VIEWS = {"front": "#page", "confirmed": "#panel .view", "butterflies": ".tabs"}
WIDTH, HEIGHT = 1280, 900
LARGEST = 220_000


def main() -> int:
    """Takes all pictures and prints their sizes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--runs", type=Path, default=RUNS, metavar="DIR")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, metavar="DIR")
    options = parser.parse_args()
    try:
        run = Run.open(options.run, runs=options.runs)
    except UserError as error:
        print(f"make_screenshots: error: {error}", file=sys.stderr)
        return 2
    assert CHROMIUM is not None, "needs chromium"
    with served(run.folder.parent, run.name) as address, sync_playwright() as playwright:
        browser = launch(playwright, CHROMIUM)
        for view in VIEWS:
            for scheme in ("light", "dark"):
                file = options.output / f"dashboard-{view}-{scheme}.png"
                file.write_bytes(picture(browser, address, view, scheme))
                print(f"{file}: {file.stat().st_size / 1000:.0f} kB")
        (options.output / "report.png").write_bytes(report_picture(browser, run))
        browser.close()
    return 0


def picture(browser: Browser, address: str, view: str, scheme: str) -> bytes:
    """A PNG of a view."""
    page = browser.new_page(
        viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page.goto(f"{address}?tab={'butterflies' if view == 'front' else view}")
    taken = photograph(drawn(page), view)
    page.close()
    return _small(taken, f"{view}, {scheme}")


def report_picture(browser: Browser, run: Run) -> bytes:
    """A PNG of what a report begins with: what was confirmed."""
    page = browser.new_page(viewport={"width": WIDTH, "height": 1600})
    with TemporaryDirectory() as folder:
        page.goto(write_run_report(run, Path(folder) / "report.html").as_uri())
        page.locator("#standings .main-svg").first.wait_for()
        page.wait_for_timeout(1500)
        top = page.locator("h2").first.bounding_box()
        end = page.locator("figure.standings").bounding_box()
        assert top is not None
        assert end is not None
        height = end["y"] + end["height"] - top["y"]
        area: FloatRect = {"x": 0, "y": top["y"] - 16, "width": WIDTH, "height": height + 32}
        taken = page.screenshot(clip=area, full_page=True)
    page.close()
    return _small(taken, "report")


def _small(taken: bytes, what: str) -> bytes:
    """A PNG in 256 colours where it would be too large."""
    image = Image.open(BytesIO(taken)).convert("RGB")
    content = BytesIO()
    image.save(content, "PNG", optimize=True)
    if content.tell() > LARGEST:
        content = BytesIO()
        image.quantize(256, dither=Image.Dither.NONE).save(content, "PNG", optimize=True)
    if content.tell() > LARGEST:
        raise ValueError(f"{what}: {content.tell():,} bytes; expected at most {LARGEST:,}")
    return content.getvalue()


def photograph(page: Page, view: str) -> bytes:
    """The part of the page that a view is."""
    page.locator("#panel .main-svg").first.wait_for()
    # What sticks to the window would lie over a long part; figures take a moment to find their size.
    page.add_style_tag(content=".filters { position: static !important }")
    page.wait_for_timeout(1500)
    if view == "front":
        end = page.locator("#front-section").bounding_box()
        size = page.viewport_size
        assert end is not None
        assert size is not None
        page.set_viewport_size({"width": size["width"], "height": round(end["y"] + end["height"]) + 24})
        page.wait_for_timeout(500)
        return page.screenshot()
    return page.locator(VIEWS[view]).screenshot()


if __name__ == "__main__":
    sys.exit(main())
