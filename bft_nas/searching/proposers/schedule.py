"""Which proposals of the surrogate are uniform, and whose turn the others are."""

from typing import NamedTuple

from bft_nas.space.published import published_families
from bft_nas.space.space import SearchSpace

FIRST = 10
"""Proposals before the model is asked: the known network of each family, then uniform ones, the families by turns."""
ROUND = 5
"""Of so many proposals the last one is uniform, for the model to learn what it has not seen, and as the record of what
random search would have found; the others are the model's best."""


def learned_before(position: int) -> int:
    """How many of the proposals before one are chosen by what was learned.

    >>> [learned_before(position) for position in range(FIRST, FIRST + 7)]
    [0, 1, 2, 3, 4, 4, 5]
    """
    return sum(not is_uniform(each) for each in range(FIRST, position))


class Turn(NamedTuple):
    """What a proposal is of: places of a budget and of a family, and whether it has no butterflies."""

    budget: int
    family: int
    dense: bool


def turn_of(position: int, budgets: int, families: int) -> Turn:
    """Whose turn a proposal of the model's is: each kind of each family within each budget, as often as any other.

    Uniform proposals are not counted: they come in a rhythm of their own, which would fall on the same turns.

    >>> turn_of(13, 2, 2)
    Turn(budget=1, family=1, dense=False)
    """
    rounds, budget = divmod(learned_before(position), budgets)
    rounds, family = divmod(rounds, families)
    return Turn(budget, family, rounds % 2 == 1)


def is_uniform(position: int, known: int = 0) -> bool:
    """Whether the proposal of a position, counted from 0, is a uniform one, behind so many known networks.

    >>> [position for position in range(20) if not is_uniform(position, 2)]
    [0, 1, 10, 11, 12, 13, 15, 16, 17, 18]
    """
    return known <= position < FIRST or (position >= FIRST and (position - FIRST) % ROUND == ROUND - 1)


def known_networks(space: SearchSpace) -> int:
    """How many proposals are known networks: one of each family that says one, and not all of the first ones.

    >>> known_networks(SearchSpace.load("mobile"))
    4
    """
    return min(len(published_families(space)), FIRST // 2)
