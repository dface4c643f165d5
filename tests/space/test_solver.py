"""Widths within a number of MACs: what is left over is less than the next step of any width takes, or little."""

from __future__ import annotations

import random
from bisect import bisect_right

import pytest

from bft_nas.network.widths import width_grid
from bft_nas.space.solver import ENOUGH, WidthSolver
from bft_nas.space.space import SearchSpace


@pytest.mark.parametrize(
    ("name", "budget"),
    [("tiny", 2), ("tiny", 20), ("tiny", 50), ("mobile", 10), ("modern", 50), ("shufflenet_v2", 150)],
)
def test_enough_is_used_or_no_width_can_grow(name: str, budget: int) -> None:
    space = SearchSpace.load(name).within(budget * 10**6)
    grid, rng = width_grid(), random.Random(0)
    for _ in range(150):
        suggested = space.suggested(lambda name, values: rng.choice(values), [budget * 10**6])
        solver = WidthSolver(suggested.structure, space.classes)
        solved = solver.solve(suggested.allowance)
        family = suggested.structure.family
        if solved is None or solver.macs(solver.widths(family.width_max)) <= suggested.allowance:
            continue
        macs, widths = solved
        assert macs == solver.macs(widths) <= suggested.allowance
        if macs < ENOUGH * suggested.allowance:
            for i, width in enumerate(widths):
                wider = [*widths[:i], grid[bisect_right(grid, width)], *widths[i + 1 :]]
                assert not width or not macs < solver.macs(wider) <= suggested.allowance
