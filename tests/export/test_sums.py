"""RepGhost's sums as one layer."""

import copy

import torch

from bft_nas.export.sums import fold_sums
from bft_nas.network import Architecture, Head, Stem
from bft_nas.network.blocks.ghost import GhostBlock
from bft_nas.network.modules.layers import NormedSum
from tests.export.examples import trained


@torch.no_grad()
def test_a_network_of_folded_sums_does_the_same_with_a_layer_for_each() -> None:
    blocks = (GhostBlock(24, 5, 2, expanded=32, squeeze=8, cheap_kernel=5, cheap_form="added"),) + (
        GhostBlock(24, expanded=40, cheap_form="added"),
    ) * 2
    network = trained(Architecture("any", 32, Stem(16), blocks, Head(), classes=5)).double()
    folded = copy.deepcopy(network)
    fold_sums(folded)
    assert sum(isinstance(module, NormedSum) for module in network.modules()) == 6
    assert not any(isinstance(module, NormedSum) for module in folded.modules())
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(folded(images), network(images), rtol=1e-6, atol=1e-6)
