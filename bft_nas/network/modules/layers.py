"""Layers that several modules have."""

from __future__ import annotations

from torch import nn

from bft_nas.butterfly.transform import ButterflyTransform
from bft_nas.network.fusion import Fusion


def pointwise(in_channels: int, out_channels: int, fusion: Fusion) -> nn.Module:
    """A channel fusion without bias: a 1x1 convolution, or the transform of its radix."""
    if fusion.radix:
        return ButterflyTransform(in_channels, out_channels, radix=fusion.radix)
    return nn.Conv2d(in_channels, out_channels, 1, groups=fusion.groups, bias=False)


def depthwise(channels: int, kernel: int, stride: int) -> nn.Conv2d:
    """A convolution of each channel by itself, padded to keep the size at stride 1."""
    return nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False)


def activate(name: str) -> nn.Module:
    """The activation of that name."""
    return nn.Hardswish(inplace=True) if name == "hard_swish" else nn.ReLU(inplace=True)


def init_linear(layer: nn.Linear) -> None:
    """Initialise the weights of a linear layer."""
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
