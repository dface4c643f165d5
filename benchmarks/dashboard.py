"""What the dashboard and the report take with many candidates, in a real browser on this machine.

A made-up run of real networks from the bundled space, with early stopping, curves and failures. The dashboard's server
has read the run by the time that it says its address, and what is measured begins then.

    python -m benchmarks.dashboard
    python -m benchmarks.dashboard --candidates 300
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, Page, sync_playwright

from bft_nas.dashboard import write_run_report
from bft_nas.record import Run
from tests.dashboard.browsing import DRAWN, PLACE, launch, served
from tests.dashboard.made_up import make_run
from tests.dashboard.pages import CHROMIUM

FIRST_PAINT, INTERACTION = 3.0, 0.3
ROUNDS = 5
# How many candidates the front holds, whether published results are on it, and what is chosen and sorted.
COUNT = """() => document.querySelector("#front .js-plotly-plot").calcdata.reduce((count, [{trace}]) =>
  count + (trace.hoverinfo === "skip" || !trace.customdata ? 0 : trace.customdata.length), 0)"""
AXIS = "() => document.querySelector('#front .y2title')?.textContent ?? ''"
TITLE = "() => document.querySelector('#network-title').textContent"
TOP = """() => document.querySelector('#table .ag-pinned-left-cols-container [row-index="0"]').textContent"""
# Milliseconds from the next key or button pressed until something else is seen, and drawn. The page looks itself, once
# a frame: asking it from outside would take the time of a core.
WATCH = """(text) => {
  const see = eval(text), before = see();
  window.watched = new Promise((done) => {
    let started = null;
    for (const kind of ["keydown", "mousedown"])
      addEventListener(kind, ({ timeStamp }) => { started ??= timeStamp; }, { capture: true, once: true });
    const look = () => {
      if (started === null || see() === before) requestAnimationFrame(look);
      else requestAnimationFrame(() => setTimeout(() => done(performance.now() - started)));
    };
    look();
  });
}"""
# Milliseconds from a choice of a candidate until the browser has drawn what it changes.
CHOICE = """async (number) => {
  const started = performance.now(), input = document.getElementById("candidate");
  input.value = number;
  input.dispatchEvent(new Event("change"));
  while (!document.querySelector("#facts thead").textContent.includes(`#${number}`))
    await new Promise((done) => setTimeout(done));
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - started;
}"""
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


def measure_dashboard(browser: Browser, run: Run) -> None:
    """Prints how long it takes until the front is drawn, and until each thing that people do is on the page."""
    with served(run.folder.parent, run.name) as address:
        # The first page of a server imports what the others find imported.
        paints = [first_paint(browser, address) for _ in range(ROUNDS + 1)]
        tell("dashboard: first page of a server", paints[:1], FIRST_PAINT)
        tell("dashboard: first paint", paints[1:], FIRST_PAINT)
        for name, seconds in interactions(browser, address).items():
            tell(f"dashboard: {name}", seconds, INTERACTION)


def tell(what: str, seconds: Sequence[float], most: float) -> None:
    """Prints the median of some times, and what it is to be."""
    each = ", ".join(f"{1000 * one:.0f}" for one in seconds)
    print(f"{what}: {1000 * median(seconds):.0f} ms (of {each}; wanted below {1000 * most:.0f})", flush=True)


def first_paint(browser: Browser, address: str) -> float:
    """Seconds from asking for the page to the front being on it, in a browser that has never been there."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    begun = time.perf_counter()
    page.goto(address, wait_until="commit")
    wait(page, lambda: page.evaluate(DRAWN))
    seconds = time.perf_counter() - begun
    context.close()
    return seconds


def interactions(browser: Browser, address: str) -> dict[str, list[float]]:
    """Seconds of each thing that people do, several times."""
    # All of the front is in the window, so that any candidate can be clicked.
    page = browser.new_page(viewport={"width": 1280, "height": 1100})
    page.goto(f"{address}?tab=table")
    wait(page, lambda: page.evaluate(DRAWN))
    wait(page, lambda: page.locator("#table .ag-center-cols-container .ag-row").count() > 5)
    page.wait_for_timeout(1000)
    found: dict[str, list[float]] = {}

    def take(name: str, act: Callable[[], object], seen: str) -> None:
        """Act, and wait until what is seen has changed."""
        page.evaluate(WATCH, seen)
        act()
        found.setdefault(name, []).append(page.evaluate("watched") / 1000)
        page.wait_for_timeout(500)

    slider = page.get_by_role("slider")
    published = page.get_by_label("published results")

    def click() -> None:
        page.mouse.down()
        page.mouse.up()

    for step in range(ROUNDS):
        page.evaluate("scrollTo(0, 0)")
        x, y = page.evaluate(PLACE, 100 + step)
        page.mouse.move(x - 4, y)
        page.mouse.move(x, y)
        wait(page, lambda: page.locator("#front .hoverlayer .hovertext").count())
        take("a click on a candidate", click, TITLE)
        take("a step of the budget slider", lambda: slider.press("ArrowLeft"), COUNT)
        take("published results shown or hidden", published.click, AXIS)
        heading = page.get_by_role("columnheader", name=("MACs", "Accuracy")[step % 2], exact=True)
        take("the table sorted", heading.click, TOP)
    return found


def wait(page: Page, is_done: Callable[[], object]) -> None:
    """Look every few milliseconds."""
    end = time.perf_counter() + 60
    while not is_done():
        if time.perf_counter() > end:
            raise TimeoutError
        page.wait_for_timeout(5)


def measure_report(page: Page, run: Run, path: Path) -> None:
    """Prints the report's size, and how long it takes to write, to open and to show another candidate."""
    started = time.perf_counter()
    write_run_report(run, path)
    print(f"report: {path.stat().st_size / 1e6:.2f} MB, written in {time.perf_counter() - started:.1f} s")
    started = time.perf_counter()
    page.goto(path.as_uri())
    page.wait_for_function("document.querySelector('#front .main-svg')", timeout=120_000)
    front = time.perf_counter() - started
    page.wait_for_selector("html[data-ready]", state="attached", timeout=120_000)
    whole = time.perf_counter() - started
    numbers = run.results()["number"].tolist()[:: max(1, len(run.results()) // 10)]
    choices = [float(page.evaluate(CHOICE, number)) for number in numbers]
    print(
        f"report: first paint {page.evaluate(PAINTED) / 1000:.2f} s, the front {front:.2f} s, all views {whole:.1f} s;"
        f" another candidate {median(choices):.0f} ms (at most {max(choices):.0f})"
    )


def main() -> None:
    """Measures at the number of candidates asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--candidates", type=int, default=10_000, metavar="N")
    options = parser.parse_args()
    if CHROMIUM is None:
        parser.exit(1, "no chromium or chrome is installed\n")
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        run = make_run(Path(folder) / "runs", candidates=options.candidates, halving=True)
        print(f"{options.candidates} candidates, {len(run.curves())} epochs")
        browser = launch(playwright, CHROMIUM)
        measure_dashboard(browser, run)
        measure_report(browser.new_page(), run, Path(folder) / "report.html")
        browser.close()


if __name__ == "__main__":
    main()
