from __future__ import annotations

import pandas as pd
import pytest

from bft_nas.dashboard import placement_figure
from bft_nas.dashboard._run_data import read_run
from bft_nas.dashboard._style import alternative
from bft_nas.record import Run
from bft_nas.record.placement import LEAST_OF_A_FAMILY, TOO_FEW, placements
from tests.dashboard.pages import HOSTILE, make_results


def even(results: pd.DataFrame) -> pd.DataFrame:
    """The same candidates with accuracies that are a few points apart and follow from nothing."""
    return results.assign(accuracy=0.5 + 0.002 * (results["number"] * 7 % 11))


def mixed(count: int) -> pd.DataFrame:
    """Candidates whose fusions have nothing to do with their MACs."""
    results = even(make_results(count, 0))
    patterns = ("d b4 b8", "b4 d b8", "b2 b2 d", "d d d", "d d b4")
    return results.assign(fusions=[patterns[number * 5 % 7 % 5] for number in results["number"]])


def test_every_worth_has_a_point_with_its_interval_and_filled_ones_are_told_apart(made_up: Run) -> None:
    data = read_run(made_up)
    # Enough candidates of each family that are close enough together: those that failed or were stopped are complete.
    results = even(data.results).assign(state="complete")
    # One stage of MNasNet's is dense in any network of the space, and a family may have too few.
    known = [
        each.family
        for each in placements(results, data.headed)
        if None not in (each.whole, *each.stages.values())
    ]
    assert len(known) > 1
    results = results[results["family"].isin(known)]
    found = placements(results, data.headed)
    figure = placement_figure(results, data.headed)
    rows = [each for family in found for each in (family.whole, *family.stages.values())]
    assert None not in rows
    drawn = {
        place: (mean, margin, trace.marker.symbol == "circle")
        for trace in figure.data
        for place, mean, margin in zip(trace.y, trace.x, trace.error_x.array, strict=True)
    }
    assert sorted(drawn) == list(range(len(rows)))
    for place, worth in enumerate(rows):
        assert worth is not None
        assert worth.margin is not None
        assert drawn[place] == pytest.approx((100 * worth.mean, 100 * worth.margin, worth.told_apart))
    labels = figure.layout.yaxis.ticktext
    assert [label for label in labels if label.startswith("<b>")] == [
        f"<b>{family.family}</b> ({family.with_butterflies} of {family.networks})" for family in found
    ]
    assert "head" in labels
    assert all(family.text in alternative(figure) for family in found)


def test_a_family_with_too_few_candidates_says_so_beside_the_others() -> None:
    many = mixed(4 * LEAST_OF_A_FAMILY)
    few = many[many["family"] != "mobilenet_v1"]
    figure = placement_figure(pd.concat([few, many[many["family"] == "mobilenet_v1"].head(4)]))
    (place,) = [note.y for note in figure.layout.annotations if note.y == 0]
    assert figure.layout.yaxis.ticktext[place].startswith("<b>mobilenet_v1</b>")
    assert "too few" in figure.layout.annotations[0].text
    assert f"mobilenet_v1: {TOO_FEW}, 3 of 4 candidates have" in alternative(figure)


def test_where_no_family_has_enough_the_figure_says_what_it_takes() -> None:
    for results in (pd.DataFrame(), make_results(3, 3)):
        assert f"needs {LEAST_OF_A_FAMILY} complete candidates" in alternative(placement_figure(results))


def test_a_familys_name_is_text_and_not_markup() -> None:
    figure = placement_figure(mixed(45).assign(family=HOSTILE))
    assert figure.data
    assert "<script" not in str(figure.layout.yaxis.ticktext) + str(figure.data[0].hovertext)
