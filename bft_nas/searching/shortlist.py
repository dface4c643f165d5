"""Which candidates are confirmed: the most promising of each family, with butterflies and without any.

Behind them stand the next best of each family and kind, for the one that turns out to lead: proxies rank well within a
family, and are off between families, and between networks with butterflies and without.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bft_nas.space.choosing import differing

SHORTLIST = 8
"""Candidates of each budget at most, without the best one that has dense fusions alone."""
FILLED = 4
"""As many as there are in spaces of few families, too."""
OF_A_FAMILY = 2
"""At most, as long as other families are within `CLOSE`."""
RESERVES = 2
"""Further candidates of the family and kind that leads."""
CLOSE = 0.15
"""Below the best promise: as far as a proxy was seen to be wrong between families."""
ALIKE = 0.1
"""Part of their choices in which two networks of a family differ that are nearly the same."""
ALIKE_MACS = 0.05
"""Part of the larger one's MACs by which they differ: one that leaves less of the budget is another network."""


@dataclass(frozen=True)
class Promising:
    """What of a candidate decides whether it is confirmed."""

    number: int
    family: str
    promise: float
    """See `bft_nas.searching.promise`."""
    macs: int
    dense: bool
    """It has no butterflies."""
    choices: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """See `kind_of`."""
        return kind_of(self.family, dense=self.dense)


def kind_of(family: str, *, dense: bool) -> str:
    """Networks that stand for one another: those of a family, with butterflies or without any."""
    return f"{family}, dense" if dense else family


def shortlist(candidates: Sequence[Promising], budget: int) -> tuple[int, ...]:
    """The numbers of the candidates to be confirmed within a budget in MACs, the most promising ones first.

    At most `SHORTLIST` of them, no two nearly the same: of each family within `CLOSE` one, then one of its other kind;
    up to `FILLED` a second of a family, and whatever there is. Last comes the most promising dense one, if it is not
    among them.
    """
    ranked = _ranked(candidates, budget)
    if not ranked:
        return ()
    chosen: list[Promising] = []

    def fill(
        among: Sequence[Promising], up_to: int, group: Callable[[Promising], str], of_a_group: int
    ) -> None:
        for each in among:
            if len(chosen) >= up_to:
                return
            alike = any(nearly_the_same(each, other) for other in chosen)
            if not alike and Counter(map(group, chosen))[group(each)] < of_a_group:
                chosen.append(each)

    near = [each for each in ranked if each.promise >= ranked[0].promise - CLOSE]
    fill(near, SHORTLIST, lambda each: each.family, 1)
    fill(near, SHORTLIST, lambda each: each.kind, 1)
    fill(near, FILLED, lambda each: each.family, OF_A_FAMILY)
    fill(ranked, FILLED, lambda each: each.family, FILLED)
    dense = [each for each in ranked if each.dense][:1]
    named = sorted(chosen, key=ranked.index) + [each for each in dense if each not in chosen]
    return tuple(each.number for each in named)


def reserves(candidates: Sequence[Promising], budget: int) -> tuple[int, ...]:
    """The numbers of up to `RESERVES` further candidates of each kind of the `shortlist`, the most promising first.

    No two are nearly the same, nor is one of them as one of the shortlist.
    """
    ranked, listed = _ranked(candidates, budget), shortlist(candidates, budget)
    chosen = [each for each in ranked if each.number in listed]
    kinds = {each.kind for each in chosen}
    found: list[Promising] = []
    for each in (each for each in ranked if each.kind in kinds):
        enough = sum(other.kind == each.kind for other in found) == RESERVES
        if not enough and not any(nearly_the_same(each, other) for other in (*chosen, *found)):
            found.append(each)
    return tuple(each.number for each in found)


def _ranked(candidates: Sequence[Promising], budget: int) -> list[Promising]:
    """Those within the budget, the most promising first."""
    fitting = [each for each in candidates if each.macs <= budget]
    return sorted(fitting, key=lambda each: (-each.promise, each.macs, each.number))


def nearly_the_same(one: Promising, other: Promising) -> bool:
    """Whether two candidates differ in so few choices that confirming both tells little more than confirming one."""
    if one.family != other.family or abs(one.macs - other.macs) > ALIKE_MACS * max(one.macs, other.macs):
        return False
    names = one.choices.keys() | other.choices.keys()
    return len(differing(one.choices, other.choices)) <= ALIKE * len(names)
