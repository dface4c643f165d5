"""The fused block: a residual where its projection is linear, two plain convolutions where it is activated."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bft_nas.network.blocks.fused import FusedBlock
from bft_nas.network.modules.fused import Fused
from bft_nas.training.initialise import initialise
from bft_nas.training.recipe import Recipe

ROWS = {
    "linear": FusedBlock(16, expanded=32),
    "activated": FusedBlock(16, expanded=32, linear=False),
    "wider": FusedBlock(24, expanded=32),
    "strided": FusedBlock(16, stride=2, expanded=32),
}
X = torch.randn(2, 16, 8, 8)


def module_of(block: FusedBlock) -> Fused:
    return Fused(**block.arguments(16)).eval()


@pytest.mark.parametrize("name", ROWS)
def test_what_is_added_to_a_skip_begins_as_zero_and_nothing_else_does(name: str) -> None:
    module = module_of(ROWS[name])
    initialise(module, Recipe(zero_residuals=True))
    assert module.skip == (name == "linear")
    assert torch.equal(module(X), X) == module.skip
    assert module.project_norm.weight.eq(0).all() == module.skip


@pytest.mark.parametrize("name", ROWS)
def test_memory_is_held_for_the_skip_that_there_is(name: str) -> None:
    expand, project = ROWS[name].layers(16, 8)
    assert expand.held == 0
    assert project.held == (16 * 8 * 8 if module_of(ROWS[name]).skip else 0)


def test_an_activated_one_is_a_row_of_two_activated_convolutions() -> None:
    """As timm's MobileNetV4-Conv-Small has them, layer by layer."""
    module = module_of(ROWS["activated"])
    layers = nn.Sequential(
        *(module.expand, module.expand_norm, nn.ReLU(), module.project, module.project_norm, nn.ReLU())
    )
    torch.testing.assert_close(module(X), layers(X))
    assert module_of(ROWS["linear"])(X).lt(0).any()
