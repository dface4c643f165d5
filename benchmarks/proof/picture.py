"""docs/results.png from the records: every training of the searches and references of a task, and their means.

PYTHONPATH=. python benchmarks/proof/picture.py
"""

from __future__ import annotations

from pathlib import Path

import plotly.graph_objects as go
import records
from page import Contestant, contestants
from playwright.sync_api import sync_playwright
from tasks import FORMER, NAMES, SEARCHES, TASKS

from tests.dashboard.browsing import launch
from tests.dashboard.pages import CHROMIUM

PICTURE = Path(__file__).parents[2] / "docs" / "results.png"
TASK = TASKS["cifar10-15M"]
SIZE = (880, 300)
FOUND, KNOWN, INK, GRID = "#c63d17", "#4b6f8f", "#3b4149", "#e6e8eb"


def figure(field: list[Contestant]) -> go.Figure:
    """A row of dots for each contestant, one a training, behind a mark at the mean; the best row on top."""
    drawn = go.Figure()
    for each in reversed(field):
        name, colour = NAMES[each.name], FOUND if each.name in SEARCHES else KNOWN
        accuracies = [100 * row["accuracy"] for row in each.rows]
        drawn.add_scatter(
            x=accuracies, y=[name] * len(accuracies), mode="markers",
            marker={"color": colour, "size": 9, "opacity": 0.45},
        )  # fmt: skip
        drawn.add_scatter(
            x=[each.mean], y=[name], mode="markers+text", text=[f"{each.mean:.1f} %"], textposition="top center",
            marker={"color": colour, "size": 18, "symbol": "line-ns", "line": {"width": 2.5, "color": colour}},
            textfont={"color": colour},
        )  # fmt: skip
    drawn.update_layout(
        template="none",
        title={
            "text": f"{TASK.title}: test accuracy, trained to the end alike",
            "subtitle": {"text": "a dot a training, a line the mean"},
            "x": 0.01,
            "y": 0.96,
        },
        font={"family": "Helvetica, Arial, sans-serif", "size": 14, "color": INK},
        showlegend=False,
        width=SIZE[0],
        height=SIZE[1],
        margin={"l": 220, "r": 24, "t": 72, "b": 36},
        xaxis={"ticksuffix": " %", "gridcolor": GRID, "zeroline": False},
        yaxis={"gridcolor": GRID, "ticksuffix": "  ", "range": [-0.5, len(field) - 0.2]},
    )
    return drawn


def main() -> None:
    """Draws the picture in a browser."""
    assert CHROMIUM is not None, "needs chromium"
    field = [each for each in contestants(TASK, records.read().values()) if each.name not in FORMER]
    with sync_playwright() as playwright:
        browser = launch(playwright, CHROMIUM)
        page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]}, device_scale_factor=2.0)
        page.set_content(
            "<body style='margin:0'>" + figure(field).to_html(full_html=False, config={"staticPlot": True})
        )
        page.locator(".main-svg").first.wait_for()
        page.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    main()
