"""The description of a network: JSON there and back, hashes, and what is refused."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bft_nas.network import (
    DENSE,
    Architecture,
    Block,
    Fusion,
    Head,
    Stem,
    butterfly_fusion,
    grouped_fusion,
    low_rank_fusion,
    reference,
)
from bft_nas.network.blocks.inverted import InvertedBlock
from bft_nas.network.blocks.universal import UniversalBlock
from bft_nas.network.fusion import parse_fusion
from bft_nas.space.space import SearchSpace
from tests.conftest import FORMER
from tests.network.rows import Rows, stages

NUMBERS = st.integers(2, 64)
NET = Architecture(
    "mobilenet_v3",
    64,
    Stem(16),
    (
        InvertedBlock(16, expanded=16, squeeze=8, fusion=butterfly_fusion(8), stride=2),
        InvertedBlock(24, expanded=48, expand_fusion=butterfly_fusion(4), stage=1),
        InvertedBlock(24, expanded=48, fusion=butterfly_fusion(2), stage=1),
    ),
    Head(96, butterfly_fusion(2)),
    classes=10,
)


@pytest.mark.parametrize("space", ["mobilenet_v1", "shufflenet_v2", "mobilenet_v3", "mnasnet"])
def test_json_there_and_back(space: str) -> None:
    rng, loaded = random.Random(0), SearchSpace.load(space)
    for _ in range(50):
        net = loaded.sample(rng, 50_000_000).architecture
        again = Architecture.from_json(net.to_json())
        assert again == net
        assert hash(again) == hash(net)
        assert again.hash == net.hash


@given(rows=stages())
def test_the_rows_of_any_kind_of_block_are_read_back_with_their_hash(rows: Rows) -> None:
    net = Architecture("any", 32, Stem(rows.in_channels), rows.blocks, Head())
    again = Architecture.from_json(net.to_json())
    assert (again, again.hash) == (net, net.hash)
    assert Architecture.from_dict(json.loads(json.dumps(net.to_dict()))) == net


def test_the_hash_is_of_the_network_and_not_of_its_labels() -> None:
    relabelled = replace(NET, family="mine", blocks=tuple(replace(b, stage=7) for b in NET.blocks))
    assert relabelled.hash == NET.hash
    assert replace(NET, resolution=96).hash != NET.hash
    assert replace(NET, head=Head(96, butterfly_fusion(4))).hash != NET.hash
    factorised = replace(NET, stem=Stem(16, factorised=True))
    assert factorised.hash != NET.hash
    assert Architecture.from_json(factorised.to_json()) == factorised


def test_the_hash_stays_the_same_across_versions() -> None:
    # Records of old runs are found by it: if this changes, say so in the release notes.
    assert NET.hash == "c9e38c090dab"
    known = {
        "mobilenet_v1_bft": "7870baf46905",
        "shufflenet_v2": "e5dd602d3829",
        "fbnet_a": "e08c1216a8dc",
        "ghostnet": "9da6cd886224",
        "resnet_8": "15e59724b095",
    }
    assert {name: reference(name).hash for name in known} == known
    universal = UniversalBlock(16, expanded=64, start_kernel=5)
    assert replace(NET, blocks=(universal,)).hash == "c33b238d66ca"


@pytest.mark.parametrize(
    "path", sorted(FORMER.glob("candidates/*/architecture.json")), ids=lambda p: p.parent.name
)
def test_the_file_of_a_network_stays_the_same_across_versions(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert Architecture.from_json(text).to_json() == text


def test_the_fusion_pattern_tells_stage_by_stage() -> None:
    assert NET.fusion_pattern == "-/b8 b4/d+d/b2 b2"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resolution": 0}, "resolution: expected a whole number of 1 or more, got 0"),
        ({"blocks": []}, "blocks: expected at least one row"),
        ({"colour": 1}, "architecture: unknown key 'colour'"),
        (
            {"blocks": [{"kind": "magic", "channels": 8}]},
            r"blocks\[0\]\.kind: expected .+ or .+, got 'magic'",
        ),
        ({"blocks": [{"kind": "separable"}]}, r"blocks\[0\]: missing key 'channels'"),
        ({"blocks": [{"kind": "separable", "channels": 8, "kernel": 4}]}, "kernel: expected an odd number"),
        ({"blocks": [{"kind": "separable", "channels": 8, "fusion": "butterfly-1"}]}, "fusion is 'dense',"),
        (
            {"blocks": [{"kind": "separable", "channels": 8, "fusion": "grouped-3"}]},
            "expected a divisor of",
        ),
        (
            {"blocks": [{"kind": "separable", "channels": 8, "expanded": 8}]},
            "expanded: a separable block has none, expected 0, got 8",
        ),
        (
            {"blocks": [{"kind": "separable", "channels": 8, "depthwise_form": "loose"}]},
            "depthwise_form: expected activated or linear or residual, got 'loose'",
        ),
        (
            {"blocks": [{"kind": "separable", "channels": 8, "stride": 2, "depthwise_form": "residual"}]},
            "depthwise_form: residual needs a stride of 1, got 2",
        ),
        (
            {"blocks": [{"kind": "ghost", "channels": 8, "expanded": 16, "cheap_kernel": 4}]},
            "cheap_kernel: expected",
        ),
        ({"blocks": [{"kind": "shuffle", "channels": 9, "stride": 2}]}, "even number"),
        ({"blocks": [{"kind": "shuffle", "channels": 8}]}, "keeps its 16 channels"),
        (
            {"blocks": [{"kind": "inverted", "channels": 8, "expanded": 16, "expand_fusion": "butterfly-4"}]},
            "there is no such layer",
        ),
        (
            {"blocks": [{"kind": "fused", "channels": 8, "expanded": 8, "linear": 1}]},
            r"blocks\[0\]\.linear: expected true or false, got 1",
        ),
        ({"head": {"fusion": "butterfly-4"}}, "head.fusion: there is no such layer"),
        ({"stem": 5}, "stem: expected a mapping"),
        ({"stem": {"channels": 8, "factorised": 3}}, "stem.factorised: expected true or false, got 3"),
        ({"stem": {"channels": 8, "pool": "false"}}, "stem.pool: expected true or false, got 'false'"),
        ({"stem": {"channels": 8, "pool": 1}}, "stem.pool: expected true or false, got 1"),
        (
            {"stem": {"channels": 8, "stride": True}},
            "stem.stride: expected a whole number of 1 or more, got True",
        ),
        (
            {"blocks": [{"kind": "separable", "channels": 8, "stride": 2.0}]},
            r"blocks\[0\]\.stride: expected a whole number of 1 or more, got 2.0",
        ),
        ({"blocks": [{"kind": "separable", "channels": 8, "stride": 3}]}, "stride: expected 1 or 2, got 3"),
        (
            {"blocks": [{"kind": "separable", "channels": 8, "stage": 1.0}]},
            r"blocks\[0\]\.stage: expected a whole number of 0 or more, got 1.0",
        ),
        ({"family": 7}, "family: expected a name, got 7"),
    ],
)
def test_what_describes_no_network_is_refused_with_its_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Architecture.from_json(json.dumps(NET.to_dict() | change))


class Magic(InvertedBlock):
    """No kind of its own."""


@pytest.mark.parametrize("block", [Block(8), Magic(8, expanded=8)])
def test_a_block_of_no_known_kind_is_refused(block: Block) -> None:
    with pytest.raises(ValueError, match=r"blocks\[1\]: there is no such kind of block"):
        replace(NET, blocks=(NET.blocks[0], block))


def test_text_that_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON"):
        Architecture.from_json("{")


FUSIONS = (
    st.just(DENSE)
    | st.builds(butterfly_fusion, NUMBERS)
    | st.builds(grouped_fusion, NUMBERS)
    | st.builds(low_rank_fusion, NUMBERS)
)


@given(FUSIONS)
def test_a_fusion_is_text_in_files_and_one_object_everywhere_else(fusion: Fusion) -> None:
    assert parse_fusion(str(fusion)) is fusion
    assert fusion.number == int(str(fusion).partition("-")[2] or 0)


@pytest.mark.parametrize(
    "fusion",
    [
        *("butterfly", "butterfly-", "butterfly-x", "butterfly-1", "grouped-1", "low_rank_grouped-0"),
        *("Dense", "", "dense-4", 5, None, []),
    ],
)
def test_other_names_of_fusions_are_refused(fusion: object) -> None:
    with pytest.raises(ValueError, match="butterfly-RADIX"):
        parse_fusion(fusion)


@pytest.mark.parametrize(
    "fusion",
    [
        *(Fusion("butterfly"), Fusion("dense", 4), Fusion("grouped", groups=1), Fusion("magic"), "dense"),
        *(Fusion("low_rank_grouped"), Fusion("grouped", groups=2, narrowing=2), Fusion("dense", narrowing=1)),
    ],
)
def test_a_network_has_no_fusion_that_there_is_not(fusion: Any) -> None:
    with pytest.raises(ValueError, match=r"head\.fusion: (fusion is 'dense',|expected a Fusion)"):
        replace(NET, head=Head(96, fusion))
