"""Layers that several modules have."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bft_nas.butterfly.transform import ButterflyTransform
from bft_nas.network.fusion import Fusion
from bft_nas.network.low_rank import low_rank_plan


class LowRankGrouped(nn.Module):
    """A 1x1 convolution in ``first`` groups, an interleave, and one in ``second`` groups (arXiv:2108.05894).

    In the middle are ``first`` times ``second`` channels, of which each group of the one has one for each of the other.
    """

    def __init__(self, in_channels: int, out_channels: int, first: int, second: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(in_channels, first * second, 1, groups=first, bias=False)
        self.interleave = nn.ChannelShuffle(first)
        self.widen = nn.Conv2d(first * second, out_channels, 1, groups=second, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.widen(self.interleave(self.narrow(x)))  # type: ignore[no-any-return]


class AconC(nn.Module):
    """A smooth switch between two slopes, both learned for each channel, as is how sharp it is (arXiv:2009.04759).

    It begins as in the authors' code: slopes at random, and a sharpness of 1.
    """

    def __init__(self, channels: int, pixels: bool) -> None:
        super().__init__()
        self.pixels = pixels
        self.p1 = nn.Parameter(torch.randn(channels))
        self.p2 = nn.Parameter(torch.randn(channels))
        self.beta = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        learned = self.p1, self.p2, self.beta
        p1, p2, beta = (each[:, None, None] if self.pixels else each for each in learned)
        difference = (p1 - p2) * x
        return difference * torch.sigmoid(beta * difference) + p2 * x


class NormedSum(nn.Module):
    """A depthwise layer with its norm, added to another norm of its input: one layer in the end (arXiv:2211.06088)."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.layer = depthwise(channels, kernel, 1)
        self.layer_norm = nn.BatchNorm2d(channels)
        self.skip_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer_norm(self.layer(x)) + self.skip_norm(x)  # type: ignore[no-any-return]


class SqueezeExcite(nn.Module):
    """Scale each channel by what the whole image says of it (arXiv:1709.01507, as in MobileNetV3)."""

    def __init__(self, channels: int, squeeze: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeeze, 1)
        self.expand = nn.Conv2d(squeeze, channels, 1)
        self.activation = nn.ReLU(inplace=True)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        scale = self.activation(self.reduce(x.mean((2, 3), keepdim=True)))
        return x * self.gate(self.expand(scale))  # type: ignore[no-any-return]


def pointwise(in_channels: int, out_channels: int, fusion: Fusion) -> nn.Module:
    """A channel fusion without bias: a 1x1 convolution, the transform of its radix, or two layers in groups."""
    if fusion.radix:
        return ButterflyTransform(in_channels, out_channels, radix=fusion.radix)
    if fusion.narrowing:
        plan = low_rank_plan(in_channels, out_channels, fusion.narrowing)
        return LowRankGrouped(in_channels, out_channels, plan.first, plan.second)
    return nn.Conv2d(in_channels, out_channels, 1, groups=fusion.groups, bias=False)


def depthwise(channels: int, kernel: int, stride: int) -> nn.Conv2d:
    """A convolution of each channel by itself, padded to keep the size at stride 1."""
    return nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False)


def interleave(*fusions: Fusion) -> nn.Module:
    """What has groups meet that fuse channels before or behind it: of the first of some fusions that has any."""
    groups = next((fusion.groups for fusion in fusions if fusion.groups > 1), 1)
    return nn.ChannelShuffle(groups) if groups > 1 else nn.Identity()


def activate(name: str, channels: int, pixels: bool = True) -> nn.Module:
    """The activation of that name, for that many channels of images or, without pixels, of vectors."""
    if name == "acon_c":
        return AconC(channels, pixels)
    if name == "hard_swish":
        return nn.Hardswish(inplace=True)
    return nn.SiLU(inplace=True) if name == "silu" else nn.ReLU(inplace=True)


def init_linear(layer: nn.Linear) -> None:
    """Initialise the weights of a linear layer."""
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
