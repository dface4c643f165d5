"""The one MAC rule, against thop and torch's own counter; published counts are in test_references.py."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import thop
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bft_nas.butterfly import ButterflyTransform
from bft_nas.network import BLOCKS, Architecture, Block, Cost, Head, Stem, cost, reference
from bft_nas.network.blocks.fused import FusedBlock
from bft_nas.network.blocks.ghost import GhostBlock
from bft_nas.network.blocks.inverted import InvertedBlock
from bft_nas.network.blocks.residual import ResidualBlock
from bft_nas.network.blocks.separable import SeparableBlock
from bft_nas.network.blocks.shuffle import ShuffleBlock
from bft_nas.network.blocks.universal import UniversalBlock
from bft_nas.network.build import build
from bft_nas.network.modules import Network
from bft_nas.network.walk import walk
from bft_nas.space.space import Proposal, SearchSpace, bundled_spaces
from tests.network.rows import Rows, stages

SPACES = bundled_spaces()
NETWORKS = 25


def pairs(proposal: Proposal) -> set[tuple[str, Any]]:
    """What was chosen; a radix, a kernel and so on stage by stage."""
    return set(proposal.parameters.items())


@cache
def covering(space: str) -> list[Architecture]:
    """25 networks of a space that together have every value of every choice at least once."""
    loaded, rng = SearchSpace.load(space), random.Random(space)
    drawn = [loaded.sample(rng, (10, 50, 150)[i % 3] * 10**6) for i in range(400)]
    missing = {(name, value) for each in drawn for name, values in each.domains.items() for value in values}
    found = []
    while missing:
        best = max(drawn, key=lambda each: len(pairs(each) & missing))
        assert pairs(best) & missing, f"of {space} nothing drawn has {missing}"
        missing -= pairs(best)
        found.append(best.architecture)
    return found + [each.architecture for each in drawn[: max(0, NETWORKS - len(found))]]


def built_without_memory(architecture: Architecture) -> Network:
    """The network on torch's meta device: shapes without numbers."""
    with torch.device("meta"), pytest.MonkeyPatch.context() as patch:
        # Filling shapes with random numbers would take longer than all of the counting.
        for name in ("kaiming_normal_", "kaiming_uniform_", "normal_", "uniform_", "zeros_", "ones_"):
            patch.setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)
        model = build(architecture).eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, ButterflyTransform):
            module.form = "structured"
    return model


def without_norms_and_activations(model: nn.Module) -> None:
    """Take out what the rule does not count and what on the meta device is slowest."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d | nn.ReLU | nn.Hardswish | nn.Hardsigmoid):
                setattr(module, name, nn.Identity())


def image_of(architecture: Architecture) -> Tensor:
    size = architecture.resolution
    return torch.zeros(1, architecture.in_channels, size, size, device="meta")


def counted_by_others(model: nn.Module, image: Tensor) -> tuple[dict[str, int], dict[str, int]]:
    """Multiply-accumulates by dotted name of the module: by torch's FlopCounterMode, and by thop.

    thop is told that pooling costs nothing, and the butterfly's rule.
    """

    def butterfly(module: ButterflyTransform, inputs: tuple[Tensor], output: Tensor) -> None:
        products = sum(weight.numel() for weight in module.stages)
        small, large = sorted((module.in_channels, module.out_channels))
        each_pixel = products + -(-large // small) * small
        module.total_ops += each_pixel * output.shape[2] * output.shape[3]

    def nothing(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        return

    rules: dict[type[nn.Module], object] = {ButterflyTransform: butterfly, nn.MaxPool2d: nothing}
    # One after the other: thop reckons with tensors, and each of its operations would pass the other counter.
    with FlopCounterMode(display=False) as counter:
        model(image)
    *_, tree = thop.profile(model, (image,), custom_ops=rules, verbose=False, ret_layer_info=True)
    counts = counter.get_flop_counts()
    by_torch = {name.partition(".")[2]: sum(each.values()) // 2 for name, each in counts.items()}

    def flat(children: dict[str, tuple[float, float, Any]], prefix: str = "") -> Iterator[tuple[str, int]]:
        for name, (macs, _, below) in children.items():
            yield prefix + name, int(macs)
            yield from flat(below, f"{prefix}{name}.")

    return by_torch, dict(flat(tree))


TOP = ("stem", "blocks", "head.conv", "head.hidden", "classifier")


def check_the_count(architecture: Architecture) -> None:
    counted = cost(architecture)
    model, image = built_without_memory(architecture), image_of(architecture)
    params = sum(p.numel() for p in model.parameters())
    without_norms_and_activations(model)
    seen_by_torch, seen_by_thop = counted_by_others(model, image)
    for layer in counted.layers:
        unseen = layer.plan.residual_macs * layer.size**2 if layer.plan else 0
        assert seen_by_torch[layer.name] + unseen == layer.macs, (architecture, layer)
        assert seen_by_thop[layer.name] == layer.macs, (architecture, layer)
    # Nothing is counted beside the layers: each counter's whole is the sum of them.
    assert sum(seen_by_torch.get(name, 0) for name in TOP) == counted.macs - residuals(counted)
    assert sum(seen_by_thop.get(name, 0) for name in TOP) == counted.macs
    assert params == counted.params


@pytest.mark.parametrize("space", SPACES)
def test_networks_with_every_choice_of_a_space_are_counted_as_torch_counts_them(space: str) -> None:
    for architecture in covering(space):
        check_the_count(architecture)


@pytest.mark.parametrize("kind", BLOCKS)
@settings(max_examples=25)
@given(data=st.data())
def test_any_rows_of_a_kind_of_block_are_counted_as_torch_counts_them(kind: str, data: st.DataObject) -> None:
    rows = data.draw(stages((kind,)))
    check_the_count(Architecture("any", 24, Stem(rows.in_channels), rows.blocks, Head(), classes=5))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [8, 12, 24, 7])
def test_a_factorised_stem_is_counted_as_torch_counts_it(channels: int, stride: int) -> None:
    stem = Stem(channels, 5, stride, "acon_c", pool=True, factorised=True)
    net = Architecture("any", 23, stem, (InvertedBlock(8, expanded=channels),), Head(), classes=5)
    check_the_count(net)
    check_the_memory(net)
    # About the root of the channels is what it needs less.
    whole = replace(net, stem=replace(stem, factorised=False))
    assert cost(net).layers[0].macs + cost(net).layers[1].macs < cost(whole).layers[0].macs


def test_every_kind_of_block_is_in_a_space() -> None:
    kinds = {block.kind for space in SPACES for net in covering(space) for block in net.blocks}
    assert kinds == BLOCKS.keys()


@given(rows=stages())
def test_the_layers_of_a_row_are_among_the_parts_of_its_kind_in_their_order(rows: Rows) -> None:
    for block, in_channels, size in walk(rows.blocks, rows.in_channels, 24):
        names = [layer.name for layer in block.layers(in_channels, size)]
        assert names == [part for part in block.parts if part in names]


def residuals(counted: Cost) -> int:
    return sum(layer.plan.residual_macs * layer.size**2 for layer in counted.layers if layer.plan)


@pytest.mark.parametrize("space", SPACES)
def test_the_peak_memory_is_that_of_the_layer_with_the_largest_input_output_and_held_values(
    space: str,
) -> None:
    """Inputs and outputs are read off the running network; what a skip holds is checked where it is simple."""
    for architecture in covering(space)[:10]:
        check_the_memory(architecture)


def check_the_memory(architecture: Architecture) -> None:
    model, image = built_without_memory(architecture), image_of(architecture)
    sizes: dict[str, int] = {}

    def note(name: str, module: nn.Module) -> None:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            sizes[name] = inputs[0].numel() + output.numel()

        module.register_forward_hook(hook)

    for name, module in model.named_modules():
        note(name, module)
    model(image)
    counted = cost(architecture)
    for layer in counted.layers:
        assert layer.memory == 4 * (sizes[layer.name] + layer.held)
    assert counted.peak_memory == max(layer.memory for layer in counted.layers)


@pytest.mark.parametrize(
    ("block", "alive"),
    [
        (SeparableBlock(32), {"depthwise": 1 + 1, "pointwise": 1 + 2}),
        (SeparableBlock(16, depthwise_form="residual"), {"depthwise": 1 + 1, "pointwise": 1 + 1}),
        (InvertedBlock(16, expanded=64), {"expand": 1 + 4, "depthwise": 4 + 4 + 1, "project": 4 + 1 + 1}),
        (InvertedBlock(16, expanded=16), {"depthwise": 1 + 1, "project": 1 + 1 + 1}),
        (
            InvertedBlock(16, stride=2, expanded=64),
            {"expand": 1 + 4, "depthwise": 4 + 1, "project": 1 + 1 / 4},
        ),
        (
            InvertedBlock(16, expanded=64, squeeze=16),
            {
                "expand": 1 + 4,
                "depthwise": 4 + 4 + 1,
                "se.reduce": 4 + 1 + (4 + 1) / 64,
                "se.expand": 4 + 1 + (1 + 4) / 64,
                "project": 4 + 1 + 1,
            },
        ),
        (UniversalBlock(16, expanded=64), {"expand": 1 + 4, "depthwise": 4 + 4 + 1, "project": 4 + 1 + 1}),
        (UniversalBlock(16, kernel=0, expanded=64), {"expand": 1 + 4, "project": 4 + 1 + 1}),
        (
            UniversalBlock(16, expanded=64, start_kernel=3),
            {"start": 1 + 1, "expand": 1 + 4 + 1, "depthwise": 4 + 4 + 1, "project": 4 + 1 + 1},
        ),
        (FusedBlock(16, expanded=64), {"expand": 1 + 4, "project": 4 + 1 + 1}),
        (FusedBlock(16, expanded=64, linear=False), {"expand": 1 + 4, "project": 4 + 1}),
        (
            GhostBlock(16, expanded=64),
            {
                "expand": 1 + 2,
                "expand_cheap": 2 + 2 + 1,
                "project": 4 + 1 / 2 + 1,
                "project_cheap": 1 / 2 + 1 / 2 + 1,
            },
        ),
        (
            GhostBlock(32, stride=2, expanded=64),
            {
                "shortcut_depthwise": 1 + 1 / 4,
                "shortcut_pointwise": 1 / 4 + 1 / 2 + 1,
                "expand": 1 + 2 + 1 / 2,
                "expand_cheap": 2 + 2 + 1 / 2,
                "depthwise": 4 + 1 + 1 / 2,
                "project": 1 + 1 / 4 + 1 / 2,
                "project_cheap": 1 / 4 + 1 / 4 + 1 / 2,
            },
        ),
        (ResidualBlock(16), {"first": 1 + 1, "second": 1 + 1 + 1}),
        (ResidualBlock(32), {"shortcut": 1 + 2, "first": 1 + 2 + 2, "second": 2 + 2 + 2}),
        (
            ResidualBlock(32, stride=2),
            {"shortcut": 1 + 1 / 2, "first": 1 + 1 / 2 + 1 / 2, "second": 1 / 2 + 1 / 2 + 1 / 2},
        ),
        (
            ShuffleBlock(16),
            {
                "expand": 1 / 2 + 1 / 2 + 1 / 2,
                "depthwise": 1 / 2 + 1 / 2 + 1 / 2,
                "project": 1 / 2 + 1 / 2 + 1 / 2,
            },
        ),
        (
            ShuffleBlock(32, stride=2),
            {
                "shortcut_depthwise": 1 + 1 / 4,
                "shortcut_pointwise": 1 / 4 + 1 / 4 + 1,
                "expand": 1 + 1 + 1 / 4,
                "depthwise": 1 + 1 / 4 + 1 / 4,
                "project": 1 / 4 + 1 / 4 + 1 / 4,
            },
        ),
    ],
    ids=lambda each: each.kind if isinstance(each, Block) else "",
)
def test_while_a_layer_runs_its_input_its_output_and_what_is_read_later_are_alive_once(
    block: Block, alive: dict[str, float]
) -> None:
    """By kind, in images of the block's 16 channels and 8 x 8 pixels: input, output, and then what is held."""
    unit = 4 * 16 * 8 * 8
    assert {layer.name: layer.memory / unit for layer in block.layers(16, 8)} == alive


def test_one_network_in_two_kinds_has_one_cost() -> None:
    kinds = (InvertedBlock(16, expanded=64), UniversalBlock(16, expanded=64))
    one, other = (cost(Architecture("one", 32, Stem(16), (block,), Head())) for block in kinds)
    assert [layer[1:] for layer in one.layers] == [layer[1:] for layer in other.layers]


def test_the_butterfly_share_is_of_the_fusions_alone() -> None:
    assert cost(reference("mobilenet_v1")).butterfly_share == 0
    assert cost(reference("mobilenet_v1_bft")).butterfly_share == 1


def test_counting_needs_no_torch() -> None:
    code = (
        "import sys, bft_nas.network, bft_nas.space.space;"
        "bft_nas.space.space.SearchSpace.load('mobile').reach; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
