"""What a space chooses for a fusion, and what its layers get."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bft_nas.network.blocks import chosen_fusion
from bft_nas.network.widths import width_grid

WIDTHS = st.sampled_from(width_grid())


@given(groups=st.integers(2, 64), widths=st.lists(WIDTHS, min_size=1, max_size=2))
def test_groups_are_as_many_as_chosen_or_the_most_below_that_divide_the_widths(
    groups: int, widths: list[int]
) -> None:
    fusion = chosen_fusion({"fusion": "grouped", "groups": groups}, *widths)
    assert (fusion.kind == "dense") == (fusion.groups == 1)
    assert not any(width % fusion.groups for width in widths)
    for more in range(fusion.groups + 1, groups + 1):
        assert any(width % more for width in widths)


@pytest.mark.parametrize(
    ("groups", "widths", "expected"), [(4, (8, 16), 4), (6, (8, 16), 4), (5, (24, 48), 4), (2, (9, 15), 1)]
)
def test_groups_need_not_divide_what_was_chosen(groups: int, widths: tuple[int, int], expected: int) -> None:
    assert chosen_fusion({"fusion": "grouped", "groups": groups}, *widths).groups == expected
