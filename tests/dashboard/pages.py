"""Made-up results, and the pages that reports are, read as text or opened in a browser."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

import pandas as pd

from bft_nas.dashboard._run_data import RunData

BUDGETS = (20_000_000, 50_000_000)
HOSTILE = "<script>alert('&')</script>"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def make_results(complete_ones: int = 12, failed: int = 2) -> pd.DataFrame:
    columns: dict[str, list[Any]] = {
        "number": [], "state": [], "family": [], "resolution": [], "budget": [], "macs": [], "params": [],
        "peak_memory": [], "butterfly_share": [], "fusions": [], "accuracy": [], "epochs": [], "seconds": [],
        "reason": [], "hash": [],
    }  # fmt: skip
    for number in range(complete_ones + failed):
        is_failed = number >= complete_ones
        row = {
            "number": number,
            "state": "failed" if is_failed else "complete",
            "family": ("mobilenet_v1", "mobilenet_v2", "shufflenet_v2")[number % 3],
            "resolution": (160, 224)[number % 2],
            "budget": BUDGETS[number % 2],
            "macs": BUDGETS[number % 2] - 1_234_567 * (number % 5),
            "params": 900_000 + 100_000 * number,
            "peak_memory": 1_500_000 + number,
            "butterfly_share": (number % 4) / 3,
            "fusions": ("d b4 b8", "d/d b8/d b16/b4")[number % 2],
            "accuracy": float("nan") if is_failed else 0.5 + 0.037 * ((number * 7) % 11),
            "epochs": 1 if is_failed else 3,
            "seconds": 12.25 + number,
            "reason": f"loss is NaN <epoch {number}>" if is_failed else "",
            "hash": f"cafe{number:08d}",
        }
        for name, value in row.items():
            columns[name].append(value)
    return pd.DataFrame(columns)


def make_curves(results: pd.DataFrame) -> pd.DataFrame:
    rows = [
        {"number": number, "epoch": epoch, "accuracy": 0.2 * epoch, "train_loss": 2.0 / epoch}
        for number, epochs in zip(results["number"], results["epochs"], strict=True)
        for epoch in range(1, epochs + 1)
    ]
    return pd.DataFrame(rows, columns=["number", "epoch", "accuracy", "train_loss"])


REFERENCES = ("mobilenet_v1", "mobilenet_v1_bft", "mnasnet_a1", "fbnet_a", "shufflenet_v2")


def make_references(failed: int = 1) -> pd.DataFrame:
    """Each reference at each budget; at the first budget the last ones failed."""
    rows: list[dict[str, Any]] = []
    for budget in BUDGETS:
        for number, name in enumerate(REFERENCES):
            is_failed = budget == BUDGETS[0] and number >= len(REFERENCES) - failed
            rows.append(
                {
                    "name": name,
                    "state": "failed" if is_failed else "complete",
                    "family": name.removesuffix("_bft"),
                    "resolution": 224,
                    "budget": budget,
                    "macs": budget - 123_456 * (number + 1),
                    "params": 1_100_000 + 100_000 * number,
                    "butterfly_share": 0.9 if name.endswith("_bft") else 0.0,
                    "fusions": "d b4 b8",
                    "accuracy": float("nan") if is_failed else 0.61 + 0.05 * number,
                    "reason": f"out of memory <at {name}>" if is_failed else "",
                    "hash": f"beef{number:08d}",
                }
            )
    return pd.DataFrame(rows)


def make_data(
    results: pd.DataFrame,
    *,
    name: str = "A run",
    budgets: Sequence[int] = BUDGETS,
    curves: pd.DataFrame | None = None,
    references: pd.DataFrame | None = None,
    imagenet: bool = False,
    facts: Sequence[tuple[str, str]] = (("Space", "mobile"), ("Protocol hash", "0123abcd")),
) -> RunData:
    """A run of these results, of which nothing is known beside them."""
    if curves is None:
        curves = make_curves(results)
    return RunData(
        name=name,
        budgets=tuple(budgets),
        epochs=3,
        rungs=(),
        facts=tuple(facts),
        results=results,
        read_curves=lambda: curves,
        references=pd.DataFrame() if references is None else references,
        read_proposals=lambda: pd.DataFrame(
            {
                "number": results["number"],
                "started": pd.Series(pd.Timestamp(2026, 11, 20), index=results.index),
                "ended": pd.Series(pd.Timestamp(2026, 11, 20, 1), index=results.index),
                "proposing": 0.1,
                "repeats": None,
                "budget": results["budget"],
            }
        ),
        imagenet=imagenet,
    )


STOPPED = make_results()
STOPPED.loc[STOPPED["number"].isin([0, 3, 6]), "state"] = "stopped"
FRAMES = {
    "stopped": STOPPED,
    "only stopped": make_results(2, 0).assign(state="stopped"),
    "empty": make_results(0, 0),
    "single": make_results(1, 0),
    "only failures": make_results(0, 3),
    "many": make_results(),
}


class Page(HTMLParser):
    """The tags of a page, the text of its table rows and its visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[str] = []
        self.visible: list[str] = []
        self.unseen = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.unseen = tag in {"script", "style"}
        if tag == "tr":
            self.rows.append("")

    def handle_endtag(self, tag: str) -> None:
        self.unseen = False

    def handle_data(self, data: str) -> None:
        if not self.unseen:
            self.visible.append(data)
            if self.rows:
                self.rows[-1] += f"{data} "

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.visible).split())
