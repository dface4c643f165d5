"""The description of a network: JSON there and back, hashes, and what is refused."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from bft_nas.network import Architecture, Block, Head, Stem, fusion_radix
from bft_nas.space.space import SearchSpace

NET = Architecture(
    "mobilenet_v3",
    64,
    Stem(16),
    (
        Block("inverted", 16, expanded=16, squeeze=8, fusion="butterfly-8", stride=2),
        Block("inverted", 24, expanded=48, expand_fusion="butterfly-4", stage=1),
        Block("inverted", 24, expanded=48, fusion="butterfly-2", stage=1),
    ),
    Head(96, "butterfly-2"),
    classes=10,
)


@pytest.mark.parametrize("space", ["mobilenet_v1", "shufflenet_v2", "mobilenet_v3"])
def test_json_there_and_back(space: str) -> None:
    rng, loaded = random.Random(0), SearchSpace.load(space)
    for _ in range(50):
        net = loaded.sample(rng, 50_000_000).architecture
        again = Architecture.from_json(net.to_json())
        assert again == net
        assert hash(again) == hash(net)
        assert again.hash == net.hash


def test_the_hash_is_of_the_network_and_not_of_its_labels() -> None:
    relabelled = replace(NET, family="mine", blocks=tuple(replace(b, stage=7) for b in NET.blocks))
    assert relabelled.hash == NET.hash
    assert replace(NET, resolution=96).hash != NET.hash
    assert replace(NET, head=Head(96, "butterfly-4")).hash != NET.hash


def test_the_hash_stays_the_same_across_versions() -> None:
    # Records of old runs are found by it: if this changes, say so in the release notes.
    assert NET.hash == "c9e38c090dab"


def test_the_fusion_pattern_tells_stage_by_stage() -> None:
    assert NET.fusion_pattern == "-/b8 b4/d+d/b2 b2"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resolution": 0}, "resolution: expected a whole number of 1 or more, got 0"),
        ({"blocks": []}, "blocks: expected at least one row"),
        ({"colour": 1}, "architecture: unknown key 'colour'"),
        ({"blocks": [{"kind": "magic", "channels": 8}]}, r"blocks\[0\]\.kind: expected separable or"),
        ({"blocks": [{"kind": "separable"}]}, r"blocks\[0\]: missing key 'channels'"),
        ({"blocks": [{"kind": "separable", "channels": 8, "kernel": 4}]}, "kernel: expected an odd number"),
        ({"blocks": [{"kind": "separable", "channels": 8, "fusion": "butterfly-1"}]}, "fusion is 'dense',"),
        (
            {"blocks": [{"kind": "separable", "channels": 8, "fusion": "grouped-3"}]},
            "expected a divisor of",
        ),
        ({"blocks": [{"kind": "separable", "channels": 8, "expanded": 8}]}, "only an inverted block"),
        ({"blocks": [{"kind": "shuffle", "channels": 9, "stride": 2}]}, "even number"),
        ({"blocks": [{"kind": "shuffle", "channels": 8}]}, "keeps its 16 channels"),
        (
            {"blocks": [{"kind": "inverted", "channels": 8, "expanded": 16, "expand_fusion": "butterfly-4"}]},
            "there is no such layer",
        ),
        ({"head": {"fusion": "butterfly-4"}}, "head.fusion: there is no such layer"),
        ({"stem": 5}, "stem: expected a mapping"),
    ],
)
def test_what_describes_no_network_is_refused_with_its_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Architecture.from_json(json.dumps(NET.to_dict() | change))


def test_text_that_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON"):
        Architecture.from_json("{")


@pytest.mark.parametrize(
    "fusion", ["butterfly", "butterfly-", "butterfly-x", "butterfly-1", "Dense", "", "dense-4"]
)
def test_other_names_of_fusions_are_refused(fusion: str) -> None:
    with pytest.raises(ValueError, match="butterfly-RADIX"):
        fusion_radix(fusion)
