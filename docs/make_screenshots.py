"""Pictures of the dashboard for its page in docs: each view, light and dark, wide and narrow.

    python -m docs.make_screenshots example

Writes docs/dashboard-VIEW-SCHEME-WIDTH.png. Two candidates of the front are shown side by side in the views of one
candidate.
"""

from __future__ import annotations

import argparse
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from bft_nas.core.errors import UserError
from bft_nas.record import RUNS, Run
from bft_nas.record.pareto import front
from tests.dashboard.browsing import drawn, launch, served
from tests.dashboard.pages import CHROMIUM

# What of the page a view's picture shows.
VIEWS = {
    "front": "#page",
    "candidates": "#network",
    "butterflies": ".tabs",
    "search": ".tabs",
    "table": ".tabs",
}
WIDTHS = {"wide": (1280, 1.0), "narrow": (390, 2.0)}
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
    best = front(run.results())["number"]
    query = f"?candidate={best.iloc[-1]}&beside={best.iloc[0]}"
    assert CHROMIUM is not None, "needs chromium"
    with served(run.folder.parent, run.name) as address, sync_playwright() as playwright:
        browser = launch(playwright, CHROMIUM)
        for view in VIEWS:
            for scheme in ("light", "dark"):
                for width in WIDTHS:
                    file = options.output / f"dashboard-{view}-{scheme}-{width}.png"
                    file.write_bytes(picture(browser, address, query, view, scheme, width))
                    print(f"{file}: {file.stat().st_size / 1000:.0f} kB")
        browser.close()
    return 0


def picture(browser: Browser, address: str, query: str, view: str, scheme: str, width: str) -> bytes:
    """A PNG of a view, in 256 colours where it would be too large."""
    pixels, scale = WIDTHS[width]
    page = browser.new_page(
        viewport={"width": pixels, "height": 900 if width == "wide" else 844},
        device_scale_factor=scale,
        color_scheme="dark" if scheme == "dark" else "light",
    )
    tab = view if view in ("butterflies", "search", "table") else "butterflies"
    page.goto(f"{address}{'?' if view == 'front' else query + '&'}tab={tab}")
    image = Image.open(BytesIO(photograph(drawn(page), view)))
    page.close()
    image = image.convert("RGB")
    content = BytesIO()
    image.save(content, "PNG", optimize=True)
    if content.tell() > LARGEST:
        content = BytesIO()
        image.quantize(256, dither=Image.Dither.NONE).save(content, "PNG", optimize=True)
    if content.tell() > LARGEST:
        raise ValueError(f"{view}, {scheme}, {width}: {content.tell():,} bytes; expected at most {LARGEST:,}")
    return content.getvalue()


def photograph(page: Page, view: str) -> bytes:
    """The part of the page that a view is."""
    page.locator("#panel .main-svg, #panel .ag-row").first.wait_for()
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
