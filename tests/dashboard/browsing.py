"""A dashboard in a process of its own, and a real browser that looks at it and allows no mistake."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Locator, Page, Playwright, Request, expect

# Two files of tests at once, on two cores, can keep a page waiting for longer than the five seconds of Playwright.
expect.set_options(timeout=30_000)

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
# Where the browser draws a candidate of the front, in pixels of the window.
PLACE = """number => {
  const graph = document.querySelector("#front.js-plotly-plot, #front .js-plotly-plot");
  const box = graph.getBoundingClientRect();
  const {xaxis, yaxis} = graph._fullLayout;
  for (const [{trace}] of graph.calcdata) {
    const at = trace.hoverinfo === "skip" || !trace.customdata ? -1 : Array.from(trace.customdata).indexOf(number);
    if (at >= 0) {
      return [
        box.left + xaxis._offset + xaxis.d2p(trace.x[at]), box.top + yaxis._offset + yaxis.d2p(trace.y[at])
      ];
    }
  }
}"""
# The candidates that are drawn, with MACs in millions and accuracy in percent.
POINTS = """() => document.querySelector("#front .js-plotly-plot").calcdata.flatMap(([{trace}]) =>
  trace.hoverinfo === "skip" || !trace.customdata || trace.visible !== true ? [] :
    Array.from(trace.customdata).map((number, at) => [number, trace.x[at], trace.y[at]]))"""
# A click means something once Dash listens to the figure, which is after it was drawn.
DRAWN = """() => {
  const graph = document.querySelector("#front .js-plotly-plot");
  return graph?.calcdata?.length > 3 && graph._ev.listenerCount("plotly_click") > 0;
}"""
# Plotly looks for what is under the mouse every 50 ms and when the page moves; a look that falls into a click loses it.
AT_REST = "() => !window.store?.getState().isLoading"
LOOKED = "() => new Promise(resolve => setTimeout(resolve, 60))"
RANGES = """() => {
  const {xaxis, yaxis} = document.querySelector("#front .js-plotly-plot")._fullLayout;
  return [...xaxis.range, ...yaxis.range];
}"""


def launch(playwright: Playwright, program: str) -> Browser:
    """A browser without a window."""
    return playwright.chromium.launch(executable_path=program, args=list(FLAGS))


@contextmanager
def served(runs: Path, *arguments: str) -> Iterator[str]:
    """``bft-nas dashboard`` of a folder; the address that it says."""
    with dashboard("--runs", str(runs), *arguments) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.match(r"http://\S+", line)
        assert found, line
        yield found[0]


@contextmanager
def dashboard(*arguments: str, folder: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own, ended with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bft_nas.cli.main", "dashboard", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30)


@contextmanager
def looking(
    window: BrowserContext, address: str, *, width: int = 1280, height: int = 900, scheme: Any = "light"
) -> Iterator[Page]:
    """A page of its own; an error of the page or a request to another host fails the test."""
    mistakes: list[str] = []
    page = window.new_page()
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=scheme)
    _watch(page, address, mistakes)
    page.goto(address)
    try:
        yield page
    finally:
        page.close()
    assert not mistakes, mistakes


def _watch(page: Page, address: str, mistakes: list[str]) -> None:
    host = "/".join(address.split("/")[:3])

    def check(request: Request) -> None:
        if not request.url.startswith((f"{host}/", "data:", "blob:")):
            mistakes.append(f"asked for {request.url}")

    page.on("request", check)
    page.on("pageerror", lambda error: mistakes.append(str(error)))
    page.on("console", lambda said: mistakes.append(said.text) if said.type == "error" else None)


def drawn(page: Page) -> Page:
    """The page once the front is on it."""
    expect(page.locator("#front .main-svg").first).to_be_visible(timeout=30_000)
    until(page, lambda: page.evaluate(DRAWN))
    return page


def reached(page: Page, name: str) -> Locator:
    """A figure of a report, which is drawn once it is near."""
    page.locator(f"#{name}").scroll_into_view_if_needed()
    figure = page.locator(f"#{name} .main-svg").first
    expect(figure).to_be_visible()
    return figure


def until(page: Page, happens: Callable[[], object], seconds: float = 10) -> None:
    """Wait for what no element of the page tells."""
    for _ in range(int(20 * seconds)):
        if happens():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it did not happen in time")


def show_tab(page: Page, name: str) -> None:
    """A click on the name of a tab."""
    page.locator("#tab").get_by_text(name, exact=True).click()


def click_candidate(page: Page, number: int) -> None:
    """A click on a candidate's point of the front, as a mouse does it."""
    until(page, lambda: page.evaluate(AT_REST), seconds=30)
    point_at(page, number)
    page.evaluate(LOOKED)
    page.mouse.down()
    page.mouse.up()


def point_at(page: Page, number: int) -> None:
    """The mouse on a candidate's point, and Plotly aware of it."""
    page.evaluate("scrollTo(0, 0)")
    x, y = page.evaluate(PLACE, number)
    page.mouse.move(x - 4, y)
    page.mouse.move(x, y)
    expect(page.locator("#front .hoverlayer")).to_contain_text(f"#{number}")


def points(page: Page) -> dict[int, tuple[float, float]]:
    """The candidates of the front in the browser: MACs in millions and accuracy in percent by number."""
    found: Sequence[tuple[int, float, float]] = page.evaluate(POINTS)
    return {int(number): (x, y) for number, x, y in found}


def zoom(page: Page) -> list[float]:
    """Drag a box over a part of the front; the ends of the axes after it."""
    page.evaluate("scrollTo(0, 0)")
    box = page.locator("#front .nsewdrag").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 0.1 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.8 * box["height"], steps=5)
    page.mouse.up()
    page.wait_for_url(re.compile("y="))
    return ranges(page)


def ranges(page: Page) -> list[float]:
    """The ends of the front's axes: MACs in powers of ten of millions, then accuracy in percent."""
    return [float(end) for end in page.evaluate(RANGES)]
