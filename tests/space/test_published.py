"""The known network of a family, with which a search begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from bft_nas.core.errors import UserError
from bft_nas.network import Architecture, reference
from bft_nas.space.published import published_families, suggest_published
from bft_nas.space.space import SearchSpace

BUDGET = 15_000_000
OF_FAMILY = {
    "mobilenet_v1": "mobilenet_v1",
    "shufflenet_v2": "shufflenet_v2",
    "mobilenet_v3": "mobilenet_v3_small",
    "mnasnet": "mnasnet_small",
}


def blocks_of(network: Architecture) -> list[tuple[str, int, int, bool]]:
    return [
        (type(block).__name__, block.kernel, block.stride, bool(getattr(block, "squeeze", 0)))
        for block in network.blocks
    ]


def begun(space: SearchSpace, budget: int = BUDGET) -> dict[str, Architecture]:
    return {
        family.name: space.propose(suggest_published(family, budget), budget).architecture
        for family in published_families(space)
    }


def test_of_each_family_of_the_default_space_it_is_the_known_one_block_by_block() -> None:
    found = begun(SearchSpace.load("mobile"))
    assert found.keys() == OF_FAMILY.keys()
    for family, network in found.items():
        known = blocks_of(reference(OF_FAMILY[family]))
        # A stage of the space has one expansion; MNasNet-Small's last block would be a seventh one.
        assert blocks_of(network) == known[: len(network.blocks)]
        assert len(known) - len(network.blocks) == (family == "mnasnet")


@pytest.mark.parametrize(
    ("space", "family", "known"), [("modern", "lcnet", "lcnet"), ("tiny", "resnet", "resnet_8")]
)
def test_where_stages_hold_all_of_a_network_the_search_begins_with_it(
    space: str, family: str, known: str
) -> None:
    network, published = begun(SearchSpace.load(space))[family], blocks_of(reference(known))
    strides = [stride for _, _, stride, _ in published]
    assert [stride for _, _, stride, _ in blocks_of(network)] == strides
    # PP-LCNet's kernels change within a stage, after the block that halves.
    differ = [at for at, each in enumerate(published) if blocks_of(network)[at] != each]
    assert all(strides[at] == 2 for at in differ)
    assert len(differ) <= 1


@pytest.mark.parametrize("budget", [BUDGET, 50_000_000, 150_000_000])
@pytest.mark.parametrize(("space", "families"), [("mobile", 4), ("modern", 4)])
def test_it_is_dense_and_as_wide_as_the_budget_allows(space: str, families: int, budget: int) -> None:
    found = SearchSpace.load(space)
    assert len(published_families(found)) == families
    for family in published_families(found):
        proposal = found.propose(suggest_published(family, budget), budget)
        assert 0.9 * budget < proposal.macs <= budget
        assert set(proposal.architecture.fusion_pattern) <= set("d/- ")
        assert proposal.architecture.resolution == 160


def test_in_a_space_of_butterflies_alone_it_has_these() -> None:
    found = begun(SearchSpace.load("mobile").restricted(fusion="butterfly"))
    assert all("b" in network.fusion_pattern for network in found.values())


def test_it_is_told_of_the_bundled_space_and_of_a_space_that_names_it_alike() -> None:
    alone = begun(SearchSpace.load("mobilenet_v3"))["mobilenet_v3"]
    assert begun(SearchSpace.load("mobile"))["mobilenet_v3"] == alone
    mobile = SearchSpace.load("mobile")
    again = SearchSpace.parse(mobile.text, where="run.yaml", name="mobile", resolutions=mobile.resolutions)
    assert begun(again) == begun(mobile)


FAMILY = """
family: mine
resolution: 64
stem: {channels: 8}
stages:
  - {block: separable, channels: 16, stride: 2, depth: [1, 2], kernel: [3, 5]}
  - {block: inverted, channels: 32, stride: 2, expansion: 4, squeeze_excite: [false, true]}
"""


@pytest.mark.parametrize(
    ("published", "told"),
    [
        ("[{depth: 2}]", "published: expected a row for each of 2 stages, got [{'depth': 2}]"),
        ("3", "published: expected a row for each of 2 stages, got 3"),
        ("[{depth: 3}, {}]", "published[0]: depth: expected 1 or 2, as its stage offers, got 3"),
        ("[{depth: true}, {}]", "published[0]: depth: expected 1 or 2, as its stage offers, got True"),
        ("[{}, {squeeze_excite: 1}]", "expected False or True, as its stage offers, got 1"),
        ("[{kernel: [3, 5]}, {}]", "published[0]: kernel: no choice here; expected 3 or 5"),
        ("[{stride: 2}, {}]", "published[0]: unknown key 'stride'; expected depth"),
        ("[{}, 7]", "published[1]: expected keys and values, got 7"),
    ],
)
def test_what_a_stage_does_not_offer_is_refused_by_name(published: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"{FAMILY}published: {published}\n", encoding="utf-8")
    with pytest.raises(UserError) as refused:
        SearchSpace.load(path)
    assert told in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_a_head_has_a_row_of_its_own() -> None:
    head = "head: {channels: 64, width: [1.0, 2.0]}\n"
    with pytest.raises(UserError, match="a row for each of 2 stages and one for the head, got"):
        SearchSpace.parse(f"{FAMILY}{head}published: [{{}}, {{}}]\n", where="mine.yaml", name="mine")
    found: list[Architecture] = []
    for width in (1.0, 2.0):
        text = f"{FAMILY}{head}published: [{{}}, {{}}, {{width: {width}}}]\n"
        found += begun(SearchSpace.parse(text, where="mine.yaml", name="mine"), 1_000_000).values()
    assert found[0].head.channels < found[1].head.channels


def test_nothing_need_be_said() -> None:
    space = SearchSpace.parse(FAMILY, where="mine.yaml", name="mine")
    assert published_families(space) == ()
