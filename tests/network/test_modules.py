"""What the modules of networks compute, against the same written out."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from bft_nas.network import grouped_fusion
from bft_nas.network.modules.layers import SqueezeExcite
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
def test_a_residual_blocks_squeeze_excite_scales_what_is_added_to_the_skip() -> None:
    block = Residual(16, 16, 3, 1, "relu", grouped_fusion(2), 8)
    x = torch.randn(4, 16, 9, 9)
    assert isinstance(block.se, SqueezeExcite)
    branch = block.second_norm(block.second(F.relu(block.first_norm(block.first(x)))))
    gate = F.hardsigmoid(block.se.expand(F.relu(block.se.reduce(branch.mean((2, 3), keepdim=True)))))
    torch.testing.assert_close(block(x), F.relu(x + gate * branch))
