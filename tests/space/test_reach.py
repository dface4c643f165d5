"""The fewest and the most MACs of a space, whatever the order of its lists."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bft_nas.space.solver import WidthSolver
from tests.space.test_space import parse


@given(data=st.data())
@settings(max_examples=30)
def test_the_reach_is_that_of_all_choices_in_whatever_order_they_stand(data: st.DataObject) -> None:
    def drawn(key: str, *values: object) -> str:
        some = data.draw(st.lists(st.sampled_from(values), min_size=1, unique=True))
        return f"{key}: [{', '.join(map(str, some))}]"

    kinds, radices = ("dense", "butterfly", "grouped"), (2, 8, 64, "sqrt")
    space = parse(f"""
family: drawn
resolution: 32
width: {{min: 0.5, max: 4}}
stem: {{channels: 16}}
stages:
  - {{block: separable, stride: 2, {drawn("channels", 64, 40)}, {drawn("fusion", *kinds)}, {drawn("radix", *radices)},
     {drawn("groups", 2, 8)}}}
  - {{block: inverted, channels: 96, stride: 2, {drawn("expansion", 1, 3)}, fusion: butterfly, radix: 4,
     {drawn("expand_fusion", *kinds)}, {drawn("expand_radix", *radices)}}}
head: {{channels: 96, {drawn("fusion", *kinds)}, {drawn("radix", *radices)}}}
""")
    (family,) = space.families
    rng = random.Random(0)
    for _ in range(60):
        structure = space.suggested(lambda name, values: rng.choice(values), [1]).structure
        solver = WidthSolver(structure, space.classes)
        assert space.reach.smallest <= solver.macs(solver.widths(family.width_min))
        assert solver.macs(solver.widths(family.width_max)) <= space.reach.largest


@pytest.mark.parametrize("radices", ["2, 64", "64, 2"])
def test_a_radix_that_stands_first_does_not_hide_a_lighter_fusion(radices: str) -> None:
    space = parse(
        "{family: two, resolution: 32, width: {min: 1, max: 1}, stem: {channels: 64}, stages: ["
        f"{{block: separable, channels: 64, stride: 1, fusion: [dense, butterfly], radix: [{radices}]}}]}}"
    )
    structure = space.suggested(lambda name, values: 2 if 2 in values else "butterfly", [1]).structure
    assert space.reach.smallest == WidthSolver(structure, space.classes).macs([64, 64, 0, 0])
