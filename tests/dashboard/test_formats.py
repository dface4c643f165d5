"""A number looks the same in a browser as in the terminal, whatever it is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.sync_api import BrowserContext, Page

from bft_nas.dashboard.report import SCRIPTS
from bft_nas.record.columns import COLUMNS, LATER_COLUMNS, REFERENCE_COLUMNS, Format

FORMATS = {column.format.name: column.format for column in (*COLUMNS, *REFERENCE_COLUMNS, *LATER_COLUMNS)}
# Ties between two digits included: those are decimal numbers that have a last bit.
PARTS = st.floats(0, 1) | st.integers(0, 800).map(lambda hits: hits / 800)
COUNTS = st.integers(0, 10**11) | st.integers(1, 9999).map(lambda count: 125 * count)


@pytest.fixture(scope="module")
def page(window: BrowserContext) -> Iterator[Page]:
    page = window.new_page()
    page.add_script_tag(content=SCRIPTS[0].read_text(encoding="utf-8"))
    yield page
    page.close()


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(PARTS, min_size=20), counts=st.lists(COUNTS, min_size=20))
def test_every_format_is_the_same_in_the_browser(page: Page, parts: list[float], counts: list[int]) -> None:
    def values(form: Format) -> list[float] | list[int] | list[str]:
        if not form.numeric:
            return ["mobilenet_v1", "d/d b4/d", "<b>"]
        return parts if form.name in ("percent", "share", "factor", "seconds", "milliseconds") else counts

    given = [(name, value) for name, form in FORMATS.items() for value in values(form)]
    shown = page.evaluate("given => given.map(([name, value]) => shown(value, name))", given)
    assert shown == [FORMATS[name].text(value) for name, value in given]


def test_what_there_is_not_is_empty_in_the_browser_as_in_the_terminal(page: Page) -> None:
    empty = page.evaluate("names => names.map((name) => shown(null, name))", list(FORMATS))
    assert (
        empty
        == [column.text(None) for column in chain(COLUMNS, REFERENCE_COLUMNS[:2], LATER_COLUMNS)][
            : len(empty)
        ]
    )
    assert set(empty) == {""}


def test_a_filter_compares_what_is_shown_in_thousands_and_in_millions(page: Page) -> None:
    given = [
        (846_928, "params"),
        (4_011, "params"),
        (12_288, "bytes"),
        (96, "bytes"),
        (2_500_000_000, "bytes"),
    ]
    found = page.evaluate("given => given.map(([value, name]) => numberShown(value, name))", given)
    assert found == [0.847, 0.00401, 0.0123, 0.000096, 2500]
    assert page.evaluate("[numberShown(0.8764, 'percent'), numberShown(5e7, 'macs'), numberShown(-2.5, 'factor')]") == [
        87.64, 50, -2.5,
    ]  # fmt: skip
