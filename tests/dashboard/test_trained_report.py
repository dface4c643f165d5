"""The report of a network trained to the end, in a real browser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import BrowserContext, expect

from bft_nas.dashboard.trained_report import (
    calibration_figure,
    confusion_figure,
    curve_figure,
    write_trained_report,
)
from bft_nas.network import reference
from bft_nas.record import DataFacts
from bft_nas.record.trained import Evaluation, Trained
from bft_nas.training.measures import Measures, measures_of
from bft_nas.training.protocol import Protocol
from tests.dashboard.browsing import looking

CLASSES = ("cats", "<b>dogs</b>", "an </script> owl")


@pytest.fixture
def measures() -> Measures:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 90)
    logits = random.normal(size=(90, 3)) + 2 * np.eye(3)[labels]
    return measures_of(logits.astype(np.float32), labels)


@pytest.fixture
def trained(tmp_path: Path) -> Trained:
    network = reference("mobilenet_v3_small", width=0.25, classes=3)
    protocol = Protocol("photos", "0123456789ab", 3, 900, 100, 1, epochs=2)
    facts = DataFacts(CLASSES, (0.5,) * 3, (0.25,) * 3)
    return Trained.create(
        "a <name>",
        network,
        protocol,
        source="made up",
        data="photos",
        facts=facts,
        plan="thousands",
        trained=tmp_path,
    )


def row(epoch: int, averaged: float = 0.6) -> dict[str, float]:
    return {
        **{"epoch": epoch, "train_loss": 1 / epoch, "loss": 1.2 / epoch, "accuracy": 0.5 + epoch / 10},
        **{"averaged": averaged, "rate": 0.1, "seconds": 3.0},
    }


def test_all_of_it_is_drawn_and_nothing_is_asked_of_any_host(
    trained: Trained, measures: Measures, window: BrowserContext
) -> None:
    trained.write_curve([row(1), row(2)])
    trained.write_evaluation(Evaluation("test", "photos", measures))
    with looking(window, write_trained_report(trained).as_uri()) as page:
        expect(page.locator("html[data-ready]")).to_be_attached()
        for name in ("curve", "loss", "confusion", "calibration", "strip"):
            expect(page.locator(f"#{name} .main-svg").first).to_be_visible()
        expect(page.locator("h1")).to_have_text("a <name>")
        expect(page.locator("dl")).to_contain_text(
            f"{100 * measures.accuracy:.2f}% of 90 test images (95 %: "
        )
        names = page.locator("table").first.locator("tbody th").all_text_contents()
        assert tuple(names) == CLASSES
        numbers = page.locator("#confusion .heatmap-label").all_text_contents()
        assert sorted(map(int, filter(None, numbers))) == sorted(
            count for line in measures.confusion for count in line if count
        )
        words = page.locator("figure").evaluate_all("all => all.map(one => one.ariaLabel)")
        assert all(words)
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_before_the_first_epoch_it_says_so(trained: Trained, window: BrowserContext) -> None:
    with looking(window, write_trained_report(trained).as_uri()) as page:
        expect(page.locator("#curve")).to_contain_text("No epoch has been recorded yet.")
        expect(page.locator("#confusion")).to_have_count(0)


def test_a_curve_without_averages_has_one_line() -> None:
    assert [trace.name for trace in curve_figure([row(1), row(2)]).data] == ["the weights", "their average"]
    nan = float("nan")
    assert [trace.name for trace in curve_figure([row(1, nan), row(2, nan)]).data] == ["the weights"]


def test_a_matrix_has_the_images_of_each_pair(measures: Measures) -> None:
    (matrix,) = confusion_figure(measures, CLASSES).data
    assert np.array_equal(matrix.customdata, measures.confusion)
    assert np.allclose(np.sum(matrix.z, axis=1), 100)
    written = [[count or "" for count in row] for row in measures.confusion]
    assert [list(row) for row in matrix.text] == written
    assert matrix.texttemplate == "%{text}"
    (crowded,) = confusion_figure(measures, [str(number) for number in range(21)]).data
    assert crowded.texttemplate is None
    many = confusion_figure(measures, [str(number) for number in range(100)])
    assert not many.data
    assert sum(calibration_figure(measures).data[1].customdata) == 90
