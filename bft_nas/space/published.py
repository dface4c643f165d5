"""The known network of a family as a search's suggestions: where it begins, rather than anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bft_nas.network.fusion import DENSE
from bft_nas.space.choosing import Suggest
from bft_nas.space.file import HEAD_CHOICES, FamilyFile
from bft_nas.space.space import SearchSpace

UNSCALED = 1.0
"""The width of a stage or the head, over what it has in the family's file."""


def published_families(space: SearchSpace) -> tuple[FamilyFile, ...]:
    """Those of which a known network is said."""
    return tuple(family for family in space.families if family.published)


def suggest_published(family: FamilyFile, budget: int) -> Suggest:
    """Suggests a family's known network, dense, for all of a budget, at the smaller of its middle resolutions.

    Where a choice does not hold what the network has, or nothing is said of it, its first value is suggested.

    >>> space = SearchSpace.load("mobile")
    >>> known = space.propose(suggest_published(published_families(space)[0], 50_000_000), 50_000_000)
    >>> known.architecture.family, known.architecture.resolution, known.architecture.fusion_pattern
    ('mobilenet_v1', 160, 'd d d d d')
    """
    wanted = {"family": family.name, "budget": budget}
    parts = [(f"stages.{place}", stage.kind.choices) for place, stage in enumerate(family.stages)]
    for (part, choices), known in zip([*parts, ("head", HEAD_CHOICES)], family.published, strict=False):
        dense = {choice.key: DENSE.kind for choice in choices if choice.fusion}
        for key, value in {"width": UNSCALED, **dense, **known}.items():
            wanted[f"{family.name}.{part}.{key}"] = value

    def suggest(name: str, values: Sequence[Any]) -> Any:
        if name == "resolution":
            return sorted(values)[(len(values) - 1) // 2]
        if name == "budget_share":
            return max(values)
        return wanted[name] if wanted.get(name) in values else values[0]

    return suggest
