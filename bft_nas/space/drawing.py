"""Proposals by the thousand: drawn or mutated, their widths solved and counted, their architectures left for later.

For whoever weighs many candidates before one is proposed.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bft_nas.network.fusion import DENSE, FUSIONS
from bft_nas.space.batch import Solved, solve_all
from bft_nas.space.choosing import Suggest
from bft_nas.space.solver import Structure
from bft_nas.space.space import Proposal, SearchSpace, Suggested

CHANGES = (1, 2)
"""How many choices a mutation changes."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A proposal without its architecture."""

    choices: Mapping[str, Any]
    """What it has, by name of the choice, as in `Proposal.parameters`."""
    structure: Structure
    solved: Solved
    budget: int
    allowance: int
    space: SearchSpace = field(repr=False)
    budgets: tuple[int, ...] = field(repr=False)

    @property
    def widths(self) -> tuple[int, ...]:
        """Of stem, stages, head and hidden layer; 0 where there is no such layer."""
        return self.solved.widths

    @property
    def macs(self) -> int:
        """At most its allowance."""
        return self.solved.macs

    @property
    def params(self) -> int:
        """Learned values."""
        return self.solved.params

    @property
    def family(self) -> str:
        """Of networks."""
        return self.structure.family.name

    @property
    def resolution(self) -> int:
        """Height and width of the images at deployment."""
        return self.structure.resolution

    @property
    def depth(self) -> int:
        """The number of blocks."""
        return sum(stage.depth for stage in self.structure.stages)

    def proposal(self) -> Proposal:
        """The proposal, with its architecture."""
        return self.space.propose_for(lambda name, values: self.choices[name], self.budgets)


def draw(
    space: SearchSpace, rng: random.Random, budgets: Sequence[int], count: int, *, dense: bool = False
) -> list[Drawn]:
    """Uniformly random proposals: for one budget those that `SearchSpace.sample` gives.

    Args:
        space: whose every family can stay within the smallest budget; see `SearchSpace.within`.
        rng: what is drawn from.
        budgets: in MACs; with several, the choice among them is drawn too.
        count: how many.
        dense: every channel fusion is that may be.

    Raises:
        UserError: a family that cannot.

    >>> space = SearchSpace.load("mobilenet_v1")
    >>> best = max(draw(space, random.Random(0), (50_000_000,), 1000), key=lambda drawn: drawn.params)
    >>> best.proposal().architecture.resolution == best.resolution
    True
    """

    uniform = rng.random

    def suggest(name: str, values: Sequence[Any]) -> Any:
        return values[int(uniform() * len(values))]

    chosen = _dense(suggest) if dense else suggest
    return _solved(space, [space.suggested(chosen, budgets) for _ in range(count)], budgets)


def mutate(
    space: SearchSpace,
    rng: random.Random,
    budgets: Sequence[int],
    parents: Sequence[Mapping[str, Any]],
    *,
    dense: bool = False,
) -> list[Drawn]:
    """Of each parent's choices a mutation: one or two of them have another value.

    Choices that then come up no longer are gone, those that come up newly are drawn. A parent that has nothing to
    choose is drawn anew.

    Args:
        space: see `draw`.
        rng: what is drawn from.
        budgets: see `draw`.
        parents: `Drawn.choices` or `Proposal.parameters` of proposals of the space.
        dense: see `draw`.

    Raises:
        UserError: see `draw`.
    """
    return _solved(space, [_mutated(space, rng, budgets, parent, dense) for parent in parents], budgets)


def _mutated(
    space: SearchSpace, rng: random.Random, budgets: Sequence[int], parent: Mapping[str, Any], dense: bool
) -> Suggested:
    names = [name for name, value in parent.items() if not (dense and value in FUSIONS)]
    changed = set(rng.sample(names, min(rng.choice(CHANGES), len(names))))

    def suggest(name: str, values: Sequence[Any]) -> Any:
        before = parent.get(name)
        if name in changed:
            return rng.choice([value for value in values if value != before])
        return before if name in parent and before in values else rng.choice(values)

    return space.suggested(_dense(suggest) if dense else suggest, budgets)


def _dense(suggest: Suggest) -> Suggest:
    """Suggests the same, but a dense fusion wherever one is offered."""
    return lambda name, values: DENSE.kind if DENSE.kind in values else suggest(name, values)


def _solved(space: SearchSpace, suggested: Sequence[Suggested], budgets: Sequence[int]) -> list[Drawn]:
    """Each with the widths of the first of its attempts that is feasible, all that are left in one attempt at once."""
    largest = space.reach.largest
    attempts = [space.attempts(each, budgets) for each in suggested]
    found: dict[int, Drawn] = {}
    while left := [place for place in range(len(suggested)) if place not in found]:
        asked = []
        for place in left:
            attempt = next(attempts[place], None)
            if attempt is None:
                raise space.infeasible(suggested[place])
            asked.append(attempt)
        solved = solve_all([(one.structure, allowance) for one, allowance in asked], space.classes, largest)
        for place, (one, allowance), each in zip(left, asked, solved, strict=True):
            if each is not None:
                found[place] = Drawn(
                    one.choices, one.structure, each, one.budget, allowance, space, tuple(budgets)
                )
    return [found[place] for place in range(len(suggested))]
