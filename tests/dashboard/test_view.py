"""What a page shows, as its controls and its address hold it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bft_nas.dashboard._view import (
    FILTERS,
    FUSIONS,
    MOST_MARKED,
    STATES,
    View,
    budget_stops,
    filtered,
    nearest_stop,
    parse_view,
    view_query,
)

STOPS = budget_stops([20_000_000, 50_000_000])
VIEWS = st.builds(
    View,
    run=st.just("mobile-50M"),
    macs=st.sampled_from([None, *STOPS[:-1]]),
    fusion=st.sampled_from(["", *FUSIONS]),
    families=st.sampled_from([(), ("mobilenet_v1",), ("mobilenet_v1", "shufflenet_v2")]),
    states=st.sampled_from([(), ("complete",), tuple(STATES)]),
    published=st.booleans(),
    candidate=st.none() | st.integers(0, 99),
    marked=st.lists(st.integers(0, 999_999_999), max_size=MOST_MARKED, unique=True).map(tuple),
    y=st.none() | st.tuples(st.floats(0, 50), st.floats(50, 100, exclude_min=True)),
)


@given(view=VIEWS, before=VIEWS)
def test_a_view_with_what_the_filters_hold_keeps_the_rest(view: View, before: View) -> None:
    # As Dash has the values of dropdowns that were cleared.
    held = (
        nearest_stop(view.macs, STOPS),
        view.fusion or None,
        list(view.families) or None,
        list(view.states),
    )
    found = filtered(before, STOPS, *held)
    assert found == replace(before, **{name: getattr(view, name) for name in FILTERS})
    assert found.filters == view.filters


@given(VIEWS)
def test_an_address_gives_back_its_view(view: View) -> None:
    assert parse_view(view_query(view)) == (view, ())


def test_an_address_has_room_for_all_that_is_marked() -> None:
    view = View(run="a" * 80, marked=tuple(range(10**9 - MOST_MARKED, 10**9)))
    assert parse_view(view_query(view)) == (view, ())


def test_a_deep_zoom_stays_a_zoom() -> None:
    view = View(y=(69.320112, 69.320118))
    assert parse_view(view_query(view)) == (view, ())


def test_macs_between_two_stops_of_the_slider_stay_until_it_is_moved() -> None:
    view = View(macs=34_500_000)
    stop = nearest_stop(view.macs, STOPS)
    assert filtered(view, STOPS, stop, None, None, None) == view
    assert filtered(view, STOPS, stop - 1, None, None, None).macs == STOPS[stop - 1]
