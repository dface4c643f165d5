"""What the modules of networks compute, against the same written out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from bft_nas.network import DENSE, grouped_fusion
from bft_nas.network.modules.ends import Stem
from bft_nas.network.modules.ghost import Ghost
from bft_nas.network.modules.layers import NormedSum, SqueezeExcite, activate
from bft_nas.network.modules.residual import Residual
from bft_nas.network.modules.separable import Separable


@pytest.mark.parametrize("form", ["activated", "linear", "residual"])
@torch.no_grad()
def test_the_forms_of_a_separable_blocks_depthwise_layer(form: str) -> None:
    block = Separable(16, 24, 3, 1, "relu", grouped_fusion(2), 8, form)
    x = torch.randn(4, 16, 9, 9)
    mixed = x.view(4, 2, 8, 9, 9).transpose(1, 2).flatten(1, 2)
    deep = block.depthwise_norm(block.depthwise(mixed))
    deep = {"activated": F.relu(deep), "linear": deep, "residual": mixed + F.relu(deep)}[form]
    wanted = F.relu(block.pointwise_norm(block.pointwise(block.se(deep))))
    torch.testing.assert_close(block(x), wanted)


@torch.no_grad()
def test_a_factorised_stem_makes_each_channel_of_a_column_and_a_row() -> None:
    stem = Stem(3, 12, 3, 2, "relu", pool=False, middle=4)
    x = torch.randn(2, 3, 15, 15)
    columns = stem.down_norm(F.conv2d(x, stem.down.weight, stride=(2, 1), padding=(1, 0)))
    assert columns.shape == (2, 4, 8, 15)
    made = F.relu(stem.norm(stem.conv(columns)))
    assert made.shape == (2, 12, 8, 8)
    # Three channels of each column, and then one of each in turn.
    torch.testing.assert_close(stem(x), made[:, [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]])


@pytest.mark.parametrize("shape", [(4, 16, 9, 9), (4, 16)])
@torch.no_grad()
def test_acon_c_is_the_formula_of_its_paper(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    activation = activate("acon_c", 16, pixels=len(shape) == 4)
    found = activation(x)
    learned = dict(activation.named_parameters())
    assert learned["p1"].std() > 0.3 < learned["p2"].std()
    for channel in range(16):
        p1, p2, beta = (learned[name][channel] for name in ("p1", "p2", "beta"))
        each = x[:, channel]
        wanted = (p1 - p2) * each * torch.sigmoid(beta * (p1 - p2) * each) + p2 * each
        torch.testing.assert_close(found[:, channel], wanted)


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("relu", F.relu),
        ("silu", lambda x: x * torch.sigmoid(x)),
        ("hard_swish", lambda x: x * F.relu6(x + 3) / 6),
    ],
)
@torch.no_grad()
def test_an_activation_without_values_of_its_own_is_its_formula(
    name: str, formula: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    x = torch.linspace(-5, 5, 101)
    torch.testing.assert_close(activate(name, 16)(x.clone()), formula(x))


@torch.no_grad()
def test_the_added_form_of_a_ghost_block_is_repghosts() -> None:
    block = Ghost(16, 16, 3, 1, "relu", DENSE, 24, DENSE, 0, 3, "added")
    assert block.project.weight.shape == (16, 24, 1, 1)
    x = torch.randn(4, 16, 9, 9)

    def summed(module: object, y: torch.Tensor) -> torch.Tensor:
        assert isinstance(module, NormedSum)
        deep: torch.Tensor = module.layer_norm(module.layer(y))
        return deep + F.batch_norm(y, None, None, training=True)

    y = summed(block.expand_cheap, F.relu(block.expand_norm(block.expand(x))))
    y = summed(block.project_cheap, block.project_norm(block.project(F.relu(y))))
    torch.testing.assert_close(block(x), x + y)


@torch.no_grad()
def test_a_residual_blocks_squeeze_excite_scales_what_is_added_to_the_skip() -> None:
    block = Residual(16, 16, 3, 1, "relu", grouped_fusion(2), 8)
    x = torch.randn(4, 16, 9, 9)
    assert isinstance(block.se, SqueezeExcite)
    branch = block.second_norm(block.second(F.relu(block.first_norm(block.first(x)))))
    gate = F.hardsigmoid(block.se.expand(F.relu(block.se.reduce(branch.mean((2, 3), keepdim=True)))))
    torch.testing.assert_close(block(x), F.relu(x + gate * branch))
