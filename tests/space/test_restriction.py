"""A space restricted to one kind of fusion: the same search without butterflies, or with nothing else."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import pytest

from bft_nas.api.searching import search
from bft_nas.core.errors import UserError
from bft_nas.network import DENSE, Architecture
from bft_nas.record.facts import asked_facts
from bft_nas.space.drawing import draw
from bft_nas.space.space import SearchSpace, bundled_spaces

MIXED = """
family: mixed
resolution: 64
stem: {channels: 16}
stages:
  - {block: separable, channels: 32}
  - {block: inverted, channels: 32, expansion: [2, 4], expand_fusion: [dense, butterfly], fusion: butterfly}
head: {channels: 64, fusion: [dense, butterfly], radix: [2, 4]}
"""
DENSE_ALONE = """
family: plain
resolution: 64
stem: {channels: 16}
stages: [{block: shuffle, channels: 32, depth: [1, 2]}]
head: {channels: 0, fusion: [dense, butterfly]}
"""
BUTTERFLY_ALONE = """
family: butterflies
resolution: 64
stem: {channels: 16}
stages: [{block: shuffle, channels: 32, depth: [1, 2], fusion: butterfly}]
"""


def parse(text: str) -> SearchSpace:
    return SearchSpace.parse(text, where="test.yaml", name="test")


def networks(space: SearchSpace, count: int = 30) -> list[Architecture]:
    rng, budget = random.Random(0), 30_000_000
    return [drawn.proposal().architecture for drawn in draw(space, rng, (budget,), count)]


def patterns(space: SearchSpace) -> set[str]:
    return {network.fusion_pattern for network in networks(space)}


@pytest.mark.parametrize("name", bundled_spaces())
def test_dense_leaves_no_butterfly_in_any_block_or_head(name: str) -> None:
    for network in networks(SearchSpace.load(name).restricted(fusion="dense")):
        assert not any("butterfly" in str(row) for row in network.to_dict()["blocks"])
        assert network.head.fusion == DENSE


@pytest.mark.parametrize("name", bundled_spaces())
def test_butterfly_leaves_no_dense_fusion_where_there_may_be_another(name: str) -> None:
    for network in networks(SearchSpace.load(name).restricted(fusion="butterfly")):
        # Its first block, of eight channels or sixteen, is dense in any case.
        pattern = network.fusion_pattern.removeprefix("d " if network.family == "mnasnet" else "")
        assert "d" not in pattern


@pytest.mark.parametrize("fusion", ["dense", "butterfly"])
def test_what_is_not_of_fusions_stays_to_choose(fusion: str) -> None:
    space = SearchSpace.load("mobilenet_v3")
    rng = random.Random(0)

    def asked(space: SearchSpace) -> set[str]:
        drawn = draw(space, rng, (20_000_000,), 60)
        return {
            name for each in drawn for name in each.choices if "fusion" not in name and "radix" not in name
        }

    assert asked(space.restricted(fusion=fusion)) == asked(space)


def test_a_stage_that_offers_dense_alone_keeps_it() -> None:
    assert patterns(parse(MIXED).restricted(fusion="butterfly")) == {"d b4/b4 b2", "d b4/b4 b4"}


def test_a_stage_that_offers_butterflies_alone_is_dense_in_the_control() -> None:
    assert patterns(parse(MIXED).restricted(fusion="dense")) == {"d d/d d"}


@pytest.mark.parametrize(("text", "fusion"), [(DENSE_ALONE, "butterfly"), (BUTTERFLY_ALONE, "dense")])
def test_a_space_without_such_a_fusion_is_refused_in_one_line(text: str, fusion: str) -> None:
    with pytest.raises(UserError, match=f"fusion {fusion}: space 'test' has none; expected ") as caught:
        parse(text).restricted(fusion=fusion)
    assert len(str(caught.value).splitlines()) == 1


def test_a_search_says_so_and_keeps_it(tiny_space: Path, tmp_path: Path) -> None:
    begin = partial(
        search, runs=tmp_path, references=False, confirm=False, timing=False, workers=1, progress=False
    )
    run = begin("2M", space=tiny_space, fusion="dense", name="control", images=64, epochs=1, trials=2)
    assert dict(asked_facts(run))["space"].endswith("tiny.yaml, dense fusions only")
    resumed = begin(resume="control", trials=4)
    assert resumed.settings.fusion == "dense"
    assert list(resumed.results()["fusions"]) == ["d d"] * 4
    with pytest.raises(UserError, match="fusion: a resumed run keeps its own"):
        begin(resume="control", fusion="butterfly")
