"""Sums of two norms as one layer, for inference: RepGhost's (arXiv:2211.06088)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_conv_bn_weights

from bft_nas.network.modules.layers import NormedSum


def fold_sums(network: nn.Module) -> None:
    """Put a depthwise layer with a bias in the place of each `NormedSum` of a network, which is in eval mode."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, NormedSum):
                setattr(module, name, _folded(child))


@torch.no_grad()
def _folded(summed: NormedSum) -> nn.Conv2d:
    layer, norm = fuse_conv_bn_eval(summed.layer, summed.layer_norm), summed.skip_norm
    # The norm of the input itself is that of a layer that takes each pixel as it is.
    pixel = torch.ones(norm.num_features, 1, 1, 1)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    weight, bias = fuse_conv_bn_weights(
        pixel, None, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    middle = layer.kernel_size[0] // 2
    assert layer.bias is not None
    layer.weight[:, :, middle, middle] += weight[:, :, 0, 0]
    layer.bias += bias
    return layer
