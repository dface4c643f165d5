"""What a network begins with."""

import torch

from bft_nas.network import build
from bft_nas.network.modules.inverted import Inverted
from bft_nas.network.references import widest
from bft_nas.training.initialise import initialise
from bft_nas.training.recipe import Recipe


def test_what_is_added_to_a_skip_begins_as_zero() -> None:
    found = widest("mobilenet_v2", 10_000_000, resolution=96, classes=10)
    assert found is not None
    model = build(found[1]).eval()
    blocks = [block for block in model.modules() if isinstance(block, Inverted)]
    with_skip = [block for block in blocks if block.skip]
    others = [block for block in blocks if not block.skip]
    assert len(with_skip) > 5 < len(others)
    x = torch.randn(1, with_skip[0].project_norm.num_features, 12, 12)
    initialise(model, Recipe(zero_residuals=False))
    assert not torch.equal(with_skip[0](x), x)
    initialise(model, Recipe(zero_residuals=True))
    assert torch.equal(with_skip[0](x), x)
    assert all(block.project_norm.weight.eq(0).all() for block in with_skip)
    assert all(block.project_norm.weight.eq(1).all() for block in others)
