"""For a budget near the least of a space, what is named leaves more to choose from."""

from __future__ import annotations

import pytest

from bft_nas.space.roomier import NEAR, roomier
from bft_nas.space.space import SearchSpace


@pytest.mark.parametrize(
    ("name", "sides", "fusion", "expected"),
    [
        # Another space is named before smaller images.
        ("tiny", (64,), None, "space mobile"),
        ("mobile", (128, 160), None, "space mobile resolution 64"),
        ("mobile", (128, 160), "dense", "space mobile resolution 64"),
        # No space halves images as often as they have pixels.
        ("mobile", (32,), None, ""),
    ],
)
def test_what_is_named_has_room_and_nothing_is_where_there_is_room(
    name: str, sides: tuple[int, ...], fusion: str | None, expected: str
) -> None:
    space = SearchSpace.load(name, resolutions=sides, classes=10)
    space = space if fusion is None else space.restricted(fusion=fusion)
    near = 2 * space.reach.smallest
    assert roomier(space, name, fusion, near) == expected
    assert roomier(space, name, fusion, NEAR * space.reach.smallest) == ""
    if expected:
        _, other, *pixels = expected.split()
        within = (int(pixels[1]),) if pixels else sides
        there = SearchSpace.load(other, resolutions=within, classes=10)
        there = there if fusion is None else there.restricted(fusion=fusion)
        assert there.reach.smallest * NEAR <= near
