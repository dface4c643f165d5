from __future__ import annotations

import math

import pandas as pd
import pytest

from bft_nas.dashboard import curves_figure
from bft_nas.dashboard._style import alternative
from bft_nas.dashboard.curves import MOST
from tests.dashboard.pages import FRAMES, make_curves, make_results


def test_learning_curves_show_every_epoch_and_some_strongly() -> None:
    curves = make_curves(make_results())
    figure = curves_figure(curves, highlighted=[4, 2, 4, 99])
    pack, *strong = figure.data
    assert [trace.name for trace in figure.data] == ["all candidates", "#4", "#2"]
    drawn = [y for y in pack.y if not math.isnan(y)]
    assert drawn == pytest.approx((100 * curves["accuracy"]).tolist(), rel=1e-6)
    assert list(strong[0].y) == pytest.approx((100 * curves.loc[curves["number"] == 4, "accuracy"]).tolist())
    assert pack.opacity < 0.5 < strong[0].line.width


def test_the_curves_of_two_candidates_are_not_joined() -> None:
    pack = curves_figure(make_curves(make_results(2, 0))).data[0]
    assert [math.isnan(x) for x in pack.x] == [False, False, False, True, False, False, False]


def test_of_very_many_curves_the_quantiles_are_drawn() -> None:
    curves = make_curves(make_results(MOST + 1, 0)).assign(accuracy=lambda frame: frame["number"] / 1000)
    *bands, median, strong = curves_figure(curves, highlighted=[3]).data
    assert [band.name for band in bands] == ["9 of 10 candidates", "half of them"]
    at = curves.loc[curves["epoch"] == 1, "accuracy"]
    assert (max(bands[1].y), min(bands[1].y)) == pytest.approx(
        (100 * at.quantile(0.75), 100 * at.quantile(0.25))
    )
    assert list(median.y) == pytest.approx([100 * at.median()] * 3)
    assert strong.name == "#3"


def test_curves_are_told_in_words() -> None:
    text = alternative(curves_figure(make_curves(make_results(3, 0)), highlighted=[1]))
    assert (
        text == "Validation accuracy after each epoch of 3 candidates; candidate 1 reaches 60.00% in epoch 3"
    )


@pytest.mark.parametrize("curves", [pd.DataFrame(), make_curves(FRAMES["empty"])])
def test_learning_curves_of_nothing(curves: pd.DataFrame) -> None:
    figure = curves_figure(curves)
    assert "No epoch" in figure.layout.annotations[0].text
    assert alternative(figure) == "No epoch has been recorded yet."
