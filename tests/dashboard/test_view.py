"""What a page shows, as its controls and its address hold it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bft_nas.dashboard._view import (
    FILTERS,
    FUSIONS,
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
