"""What a runtime executes of a network: its layers, all of them and no others, and what lies between them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings

from bft_nas.butterfly.plan import ButterflyPlan
from bft_nas.latency.operations import BLOCK_RUNS, Operation, operations
from bft_nas.network import BLOCKS, REFERENCES, Architecture, Head, Stem, cost, reference
from bft_nas.space.space import SearchSpace, bundled_spaces
from tests.network.rows import Rows, stages


def macs_of(operation: Operation) -> int:
    """By the rule of `bft_nas.network.cost`, written anew."""
    inputs, outputs, pixels = operation.in_channels, operation.out_channels, operation.side**2
    if operation.kind in ("conv", "linear"):
        return operation.kernel**2 * inputs // operation.groups * outputs * pixels
    if operation.kind == "butterfly":
        return ButterflyPlan(inputs, outputs, operation.radix).macs * pixels
    if operation.kind == "column":
        return operation.kernel * inputs * outputs * pixels * operation.stride
    if operation.kind == "row":
        return operation.kernel * outputs * pixels
    return 2 * inputs * operation.squeeze


def networks_of(space: SearchSpace) -> list[Architecture]:
    rng = random.Random(0)
    return [space.sample(rng, 30_000_000).architecture for _ in range(4)]


@pytest.mark.parametrize("name", bundled_spaces())
def test_operations_have_the_macs_of_their_network(name: str) -> None:
    for network in networks_of(SearchSpace.load(name).within(30_000_000)):
        assert sum(map(macs_of, operations(network))) == cost(network).macs


def test_so_do_those_of_the_references() -> None:
    for name in REFERENCES:
        network = reference(name, resolution=64)
        assert sum(map(macs_of, operations(network))) == cost(network).macs


@settings(max_examples=40)
@given(stages())
def test_so_do_those_of_any_rows(rows: Rows) -> None:
    network = Architecture("any", 32, Stem(rows.in_channels), rows.blocks, Head(), classes=10)
    assert sum(map(macs_of, operations(network))) == cost(network).macs


def test_every_kind_of_block_has_a_description() -> None:
    assert set(BLOCK_RUNS) == set(BLOCKS)


def test_what_is_no_layer_has_its_place() -> None:
    network = reference("mobilenet_v3_small", resolution=64)
    kinds = [operation.kind for operation in operations(network)]
    skips = sum(block.stride == 1 and channels == block.channels for block, channels, _ in network.walk())
    assert kinds.count("add") == skips
    assert kinds.count("mean") == 1
    assert kinds.count("squeeze_excite") == sum(getattr(block, "squeeze", 0) > 0 for block in network.blocks)
