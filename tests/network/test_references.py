"""The comparison networks, against the counts that were published for them."""

from __future__ import annotations

from pathlib import Path

import pytest
import thop
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from bft_nas.network import build, cost
from bft_nas.network.modules.inverted import Inverted
from bft_nas.network.references import REFERENCES, WIDTHS, PublishedCount, published_counts, reference, widest


def label(count: PublishedCount) -> str:
    return f"{count.name}-{count.width:g}@{count.resolution}"


@pytest.mark.parametrize("published", published_counts(), ids=label)
def test_a_reference_has_its_published_count(published: PublishedCount) -> None:
    """To 1.5 %; to 6 % where the paper rounds to whole millions and does not say what it counts of a butterfly."""
    counted = cost(reference(published.name, width=published.width, resolution=published.resolution))
    butterflies = published.name.endswith("_bft")
    assert counted.macs == pytest.approx(published.macs, rel=0.06 if butterflies else 0.015)
    if published.params is not None:
        decimals = len(str(published.params).partition(".")[2])
        as_printed = 0.5 * 10**-decimals
        assert counted.params / 1e6 == pytest.approx(published.params, rel=0.015, abs=as_printed)


def test_every_reference_is_held_against_something_published() -> None:
    counts = published_counts()
    assert {count.name for count in counts} == set(REFERENCES)
    assert sum(not count.name.endswith("_bft") for count in counts) >= 20
    assert sum(count.name in {"mobilenet_v1_bft", "shufflenet_v2_bft"} for count in counts) == 10
    assert all(count.source for count in counts)


def test_the_page_of_references_has_these_counts() -> None:
    page = (Path(__file__).parents[2] / "docs" / "references.md").read_text(encoding="utf-8")
    for published in published_counts():
        counted = cost(reference(published.name, width=published.width, resolution=published.resolution))
        params = f"{published.params:g}M" if published.params is not None else ""
        row = (
            f"| {published.name} | {published.width:g} | {published.resolution} | {counted.macs / 1e6:.1f}M "
            f"| {published.macs / 1e6:g}M | {counted.params / 1e6:.2f}M | {params} |"
        )
        assert row in page


@pytest.mark.parametrize("name", REFERENCES)
def test_a_built_reference_runs_both_ways_and_has_the_counted_macs(name: str) -> None:
    architecture = reference(name, width=0.5, resolution=64, classes=10)
    model = build(architecture)
    model(torch.randn(2, 3, 64, 64)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    counted = cost(architecture)
    if counted.butterfly_share == 0:
        # thop adds its own buffers to the modules, so the other counter goes first.
        with FlopCounterMode(display=False) as counter:
            model.eval()(torch.zeros(1, 3, 64, 64))
        assert counter.get_total_flops() // 2 == counted.macs
        uncounted = (
            *(torch.nn.BatchNorm2d, torch.nn.ReLU, torch.nn.Hardswish, torch.nn.SiLU, torch.nn.Hardsigmoid),
            torch.nn.MaxPool2d,
        )
        nothing = dict.fromkeys(uncounted, lambda module, inputs, output: None)
        macs, params = thop.profile(model, (torch.zeros(1, 3, 64, 64),), custom_ops=nothing, verbose=False)
        assert (macs, params) == (counted.macs, counted.params)


@pytest.mark.parametrize(
    "name", ["mobilenet_v1_bft", "shufflenet_v2_bft", "mobilenet_v3_large", "mnasnet_a1"]
)
def test_a_built_reference_exports_to_standard_operators(name: str) -> None:
    model = build(reference(name, width=0.25, resolution=64, classes=10)).eval()
    images = torch.randn(2, 3, 64, 64)
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(model, (images,), dynamic_shapes=({0: batch},), strict=False)
    assert not any("bft_nas" in str(node.target) for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(images[:1]), model(images[:1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", REFERENCES)
@settings(max_examples=6)
@given(
    budget=st.integers(1_000_000, 300_000_000),
    resolution=st.sampled_from([64, 128, 160, 224]),
    classes=st.sampled_from([10, 1000]),
)
def test_the_widest_within_a_budget_is_within_it_and_the_next_is_not(
    name: str, budget: int, resolution: int, classes: int
) -> None:
    found = widest(name, budget, resolution=resolution, classes=classes)
    if found is None:
        narrowest = reference(name, width=1 / 64, resolution=resolution, classes=classes)
        assert cost(narrowest).macs > budget
        return
    width, architecture = found
    even = reference(name, width=width, resolution=resolution, classes=classes)
    assert cost(even).macs <= cost(architecture).macs <= budget
    # Only later layers may be wider than the multiplier makes them.
    assert architecture.stem == even.stem
    assert [(b.kind, b.kernel, b.stride, b.to_dict()["fusion"]) for b in architecture.blocks] == [
        (b.kind, b.kernel, b.stride, b.to_dict()["fusion"]) for b in even.blocks
    ]
    assert all(a.channels >= b.channels for a, b in zip(architecture.blocks, even.blocks, strict=True))
    if width < WIDTHS[-1]:
        wider = WIDTHS[WIDTHS.index(width) + 1]
        next_wider = reference(name, width=wider, resolution=resolution, classes=classes)
        assert cost(next_wider).macs > budget


@pytest.mark.parametrize(("budget", "resolution"), [(50, 224), (50, 192), (50, 160), (20, 128), (100, 224)])
# ResNet-8 is made for images of 32x32: no width of it is that cheap on these.
@pytest.mark.parametrize("name", sorted({*REFERENCES} - {"resnet_8"}))
def test_a_reference_uses_its_budget(name: str, budget: int, resolution: int) -> None:
    found = widest(name, budget * 10**6, resolution=resolution)
    assert found is not None
    # The butterflies of 1024 channels that its last stage has step by more than that.
    least = 0.975 if name == "shufflenet_v2_bft" else 0.98
    assert cost(found[1]).macs >= least * budget * 10**6


@pytest.mark.parametrize("name", REFERENCES)
def test_any_width_and_resolution_is_a_network(name: str) -> None:
    counts = [cost(reference(name, width=w, resolution=96, classes=10)).macs for w in (0.25, 0.6, 1.0, 1.7)]
    assert counts == sorted(counts)


def test_an_unknown_name_or_width_is_told_what_was_expected() -> None:
    with pytest.raises(ValueError, match=r"no reference 'mobilenet_v4'; expected mobilenet_v4_conv_small$"):
        reference("mobilenet_v4")
    with pytest.raises(ValueError, match="width: expected a multiplier above 0, got -1"):
        reference("mobilenet_v1", width=-1)


def test_channels_in_groups_meet_before_they_are_fused_again() -> None:
    """FBNet-A's blocks of two groups would otherwise be two networks side by side."""
    torch.manual_seed(0)
    model = build(reference("fbnet_a", width=0.5, resolution=32, classes=2)).eval()
    grouped = next(
        block for block in model.blocks if isinstance(block, Inverted) and block.project.groups == 2
    )
    assert isinstance(grouped, Inverted)
    grouped.skip = False
    x = torch.randn(1, grouped.depthwise.in_channels, 4, 4, requires_grad=True)
    first_group = grouped(x).chunk(2, dim=1)[0]
    (gradient,) = torch.autograd.grad(first_group.sum(), x)
    reached = gradient.abs().sum((0, 2, 3)) > 0
    assert reached.sum() == len(reached) / 2
    assert reached.view(2, -1).any(1).all(), "the output's first group saw one group of the input only"
