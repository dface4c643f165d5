"""Proposals by the thousand: the same as one by one, and mutations that the space itself could have drawn."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bft_nas.core.errors import UserError
from bft_nas.network import BLOCKS, cost
from bft_nas.space.batch import FEWEST
from bft_nas.space.drawing import Drawn, draw, mutate
from bft_nas.space.space import SearchSpace, bundled_spaces
from tests.conftest import SPACE as TINY
from tests.space.chances import least_chance

SPACES = {name: SearchSpace.load(name) for name in bundled_spaces()}
NARROW = """
family: narrow
resolution: [32, 64]
width: {min: 1, max: 1}
stem: {channels: 16, stride: 1, pool: true}
stages:
  - {block: shuffle, channels: 32, depth: [1, 3], fusion: [dense, butterfly], radix: [2, 3]}
  - {block: inverted, channels: 24, stride: 1, expansion: [1, 1.5, 2.5], squeeze_excite: [true, false],
     expand_fusion: butterfly, expand_radix: [2, 8]}
head: {channels: 0, hidden: 40}
"""
VAST = """
family: vast
resolution: 2048
width: {min: 0.05, max: 20}
stem: {channels: 16384, stride: 1}
stages:
  - {block: inverted, channels: 16384, stride: 1, depth: [63, 64], expansion: [15, 16], fusion: [dense, butterfly]}
"""
EVERY_FUSION = """
family: every
resolution: [32, 64]
stem: {channels: 16}
stages:
  - {block: shuffle, channels: 48, depth: [1, 3], fusion: [dense, butterfly, grouped, low_rank_grouped],
     radix: [4, sqrt], groups: [2, 3, 8], narrowing: [1, 2, 4]}
  - {block: inverted, channels: 24, stride: 1, expansion: [1, 3], fusion: [grouped, low_rank_grouped], groups: [2, 4],
     narrowing: [2, 8], expand_fusion: [butterfly, grouped], expand_radix: sqrt, expand_groups: [2, 8]}
  - {block: separable, channels: 96, stride: 2, depth: 2, fusion: [butterfly, grouped], radix: sqrt, groups: 4,
     depthwise_form: [linear, residual]}
head: {channels: 120, fusion: [dense, butterfly, grouped, low_rank_grouped], radix: [sqrt, 2], groups: [2, 4]}
"""
LEARNED_ACTIVATIONS = """
family: learned
resolution: [32, 63]
stem: {channels: 16, activation: acon_c, factorised: true}
stages:
  - {block: separable, channels: 48, activation: acon_c, depth: [1, 3], depthwise_form: [activated, linear]}
  - {block: separable, channels: 48, activation: silu, kernel: [3, 7]}
  - {block: ghost, channels: 48, activation: acon_c, expansion: [1, 3], cheap_kernel: [1, 5],
     cheap_form: [concatenated, added], fusion: [grouped, low_rank_grouped], groups: 16,
     expand_fusion: [grouped, butterfly]}
head: {channels: 120, hidden: 80, activation: acon_c}
"""
ONE_NETWORK = """
family: dot
resolution: 32
stem: {channels: 16}
stages: [{block: separable, channels: 32}]
"""


def parse(text: str) -> SearchSpace:
    return SearchSpace.parse(text, where="test.yaml", name="test")


def check(drawn: Drawn, space: SearchSpace) -> None:
    """What is known of it without its architecture is what the proposal and its architecture say."""
    proposal = drawn.proposal()
    network, counted = proposal.architecture, cost(proposal.architecture)
    assert drawn.choices == proposal.parameters
    limits = (proposal.budget, proposal.allowance)
    assert (drawn.budget, drawn.allowance) == limits
    assert (drawn.macs, drawn.params) == (counted.macs, counted.params)
    described = (network.family, network.resolution, len(network.blocks))
    assert (drawn.family, drawn.resolution, drawn.depth) == described
    assert drawn.choices.get("resolution", network.resolution) == network.resolution
    for stage, blocks in groupby(network.blocks, lambda block: block.stage):
        depth = len(list(blocks))
        assert drawn.choices.get(f"{network.family}.stages.{stage}.depth", depth) == depth
    stages = {block.stage: block.channels for block in network.blocks}
    head = network.head
    assert drawn.widths == (network.stem.channels, *stages.values(), head.channels, head.hidden)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(SPACES)), st.floats(6.3, 10.5), st.integers(0, 2**32))
def test_many_at_once_are_what_they_are_one_by_one(name: str, magnitude: float, seed: int) -> None:
    space = SPACES[name]
    budget = max(int(10**magnitude), space.reach.smallest)
    space = space.within(budget)
    for drawn in draw(space, random.Random(seed), (budget,), 2 * FEWEST * len(space.families)):
        check(drawn, space)


@pytest.mark.parametrize("text", [NARROW, VAST, EVERY_FUSION, LEARNED_ACTIVATIONS, ONE_NETWORK])
def test_spaces_at_the_limits(text: str) -> None:
    space = parse(text)
    reach = space.reach
    for budget in (reach.smallest, (reach.smallest + reach.largest) // 2, reach.largest, 10 * reach.largest):
        for drawn in draw(space, random.Random(budget), (budget,), 2 * FEWEST):
            check(drawn, space)


def test_a_kind_without_a_closed_form_is_counted_by_its_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    space = SPACES["mobilenet_v3"]
    quick = draw(space, random.Random(0), (20_000_000,), 2 * FEWEST)
    monkeypatch.delattr(BLOCKS["inverted"], "counts")
    assert draw(space, random.Random(0), (20_000_000,), 2 * FEWEST) == quick


def test_every_kind_of_the_bundled_spaces_has_a_closed_form() -> None:
    kinds = {stage.kind for space in SPACES.values() for family in space.families for stage in family.stages}
    assert all("counts" in vars(kind) for kind in kinds)


def test_several_budgets_are_drawn_from() -> None:
    budgets = (10_000_000, 20_000_000, 40_000_000)
    drawn = draw(SPACES["mobile"], random.Random(0), budgets, 100)
    assert {each.budget for each in drawn} == set(budgets)
    for each in drawn:
        check(each, SPACES["mobile"])
        assert each.choices["budget"] == each.budget


def test_every_value_of_a_choice_is_as_likely_as_another() -> None:
    space, budgets = parse(TINY), (2_000_000, 3_000_000)
    drawn = draw(space, random.Random(0), budgets, 500)
    choices = [dict(each.choices) for each in drawn]
    assert least_chance((each, domains(space, each, budgets)) for each in choices) > 0.001


def test_what_no_family_can_stay_within_is_one_line() -> None:
    space = SPACES["mobilenet_v3"]
    with pytest.raises(UserError, match="family mobilenet_v3: no network within"):
        draw(space, random.Random(0), (space.reach.smallest - 1,), 3)


def domains(
    space: SearchSpace, choices: dict[str, Any], budgets: Sequence[int]
) -> dict[str, tuple[Any, ...]]:
    """What could have been chosen, by name, where these choices are made; KeyError where one of them is missing."""
    return dict(space.propose_for(lambda name, values: choices[name], budgets).domains)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(sorted(SPACES)),
    st.lists(st.sampled_from([8, 15, 60]), min_size=1, unique=True),
    st.data(),
)
def test_a_mutation_is_another_proposal_of_the_space(
    name: str, millions: list[int], data: st.DataObject
) -> None:
    space, budgets = SPACES[name], tuple(million * 10**6 for million in sorted(millions))
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    parents = draw(space, rng, budgets, 20)
    mutations = mutate(space, rng, budgets, [parent.choices for parent in parents])
    for mutated in mutations:
        check(mutated, space)
        after = mutated.choices
        offered = domains(space, dict(after), budgets)
        assert list(offered) == list(after)
        assert all(after[name] in values for name, values in offered.items())


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(SPACES)), st.integers(0, 2**32))
def test_where_nothing_is_too_heavy_a_mutation_has_one_or_two_other_values(name: str, seed: int) -> None:
    space, rng = SPACES[name], random.Random(seed)
    budgets = (space.reach.largest // 2, space.reach.largest)
    parents = draw(space, rng, budgets, 20)
    mutations = mutate(space, rng, budgets, [parent.choices for parent in parents])
    for parent, mutated in zip(parents, mutations, strict=True):
        both = parent.choices.keys() & mutated.choices.keys()
        assert 1 <= sum(parent.choices[name] != mutated.choices[name] for name in both) <= 2


def test_any_choice_may_change_and_most_stay() -> None:
    space, rng = SPACES["mobilenet_v1"], random.Random(0)
    parent = draw(space, rng, (20_000_000,), 1)[0].choices
    mutations = mutate(space, rng, (20_000_000,), [parent] * 600)
    changes = [{name for name in parent if each.choices.get(name) != parent[name]} for each in mutations]
    assert set().union(*changes) == set(parent)
    # A fusion that becomes dense takes its radix with it.
    assert max(map(len, changes)) <= 4


def test_the_only_network_of_a_space_has_no_mutation_but_itself() -> None:
    space = parse(ONE_NETWORK)
    (only,) = draw(space, random.Random(0), (10**8,), 1)
    assert mutate(space, random.Random(0), (10**8,), [only.choices]) == [only]


@pytest.mark.parametrize("name", sorted(SPACES))
def test_dense_ones_have_every_fusion_dense_that_may_be(name: str) -> None:
    space, budgets = SPACES[name], (50_000_000,)
    free = draw(space, random.Random(0), budgets, 20)
    dense = draw(space, random.Random(0), budgets, 20, dense=True)
    mutated = mutate(space, random.Random(1), budgets, [each.choices for each in free], dense=True)
    assert any(set(each.proposal().architecture.fusion_pattern) - set("d/- ") for each in free)
    for each in (*dense, *mutated):
        assert set(each.proposal().architecture.fusion_pattern) <= set("d/- ")
        assert 0 < each.macs <= 50_000_000
    # Of a mutation all but a choice or two stay, besides the fusions and what they have.
    for parent, each in zip(free, mutated, strict=True):
        both = parent.choices.keys() & each.choices.keys()
        changed = [n for n in both if parent.choices[n] != each.choices[n] and each.choices[n] != "dense"]
        assert 1 <= len(changed) <= 2 or len(both) < len(parent.choices)
