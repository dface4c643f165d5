"""What leaves more to choose from within a budget near the least of a space."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import suppress

from bft_nas.core.errors import UserError, setting
from bft_nas.space.space import SearchSpace

NEAR = 3
"""Within so many times the least of a space its networks are all narrow, and much alike."""
USUAL = "mobile"
"""The space that is searched unless another one is named, which has the smallest networks."""


def roomier(space: SearchSpace, named: str, fusion: str | None, budget: int) -> str:
    """The settings to try instead of a space for a budget near its least; empty where it is not, or none has less.

    Args:
        space: that is to be searched.
        named: its name, or its file.
        fusion: all that it is restricted to.
        budget: in MACs.
    """
    if budget >= NEAR * space.reach.smallest:
        return ""
    for name, sides in _others(space, named):
        # Small images cannot be halved as often as some spaces do.
        with suppress(UserError):
            other = SearchSpace.load(name, resolutions=sides, classes=space.classes)
            other = other if fusion is None else other.restricted(fusion=fusion)
            if budget >= NEAR * other.reach.smallest:
                pixels = f" {setting('resolution')} {sides[0]}" if sides != space.resolutions else ""
                return f"{setting('space')} {shlex.quote(name)}{pixels}"
    return ""


def _others(space: SearchSpace, named: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    if named != USUAL:
        yield USUAL, space.resolutions
    for name in (named, USUAL):
        yield name, (min(space.resolutions) // 2,)
