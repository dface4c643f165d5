"""Choices made one after the other: which come up, and how many ways there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bft_nas.network.blocks import Choice
from bft_nas.space.file import Values

Suggest = Callable[[str, Sequence[Any]], Any]
"""Picks one of the values of the choice of that name: what a sampler does."""


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> set[str]:
    """The names of the choices in which two proposals differ; one that came up in one of them alone is one.

    >>> sorted(differing({"depth": 1, "fusion": "dense"}, {"depth": 2, "fusion": "butterfly", "radix": 4}))
    ['depth', 'fusion', 'radix']
    """
    return {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}


def chosen_values(where: str, choices: Sequence[Choice], values: Values, choose: Suggest) -> dict[str, Any]:
    """One value for each choice that comes up, in their order; the name of a choice is ``where`` and its key."""
    chosen: dict[str, Any] = {}
    for choice in choices:
        if choice.when is None or choice.when(chosen):
            chosen[choice.key] = choose(f"{where}.{choice.key}", values[choice.key])
    return chosen


def ways(choices: Sequence[Choice], values: Values, chosen: Mapping[str, Any] | None = None) -> int:
    """In how many ways the choices can be made, what does not come up not counted."""
    if not choices:
        return 1
    (choice, *rest), chosen = choices, chosen or {}
    if choice.when is not None and not choice.when(chosen):
        return ways(rest, values, chosen)
    return sum(ways(rest, values, {**chosen, choice.key: value}) for value in values[choice.key])
