"""The module of a shuffle block."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bft_nas.network.fusion import Fusion
from bft_nas.network.modules.layers import SqueezeExcite, activate, depthwise, interleave, pointwise


class Shuffle(nn.Module):
    """The unit of ShuffleNetV2 (arXiv:1807.11164): half of the channels pass by, then both halves interleave.

    With a stride, all channels enter both branches.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: int,
        stride: int,
        activation: str,
        fusion: Fusion,
        squeeze: int,
    ) -> None:
        super().__init__()
        half = channels // 2
        self.down = stride > 1
        if self.down:
            self.shortcut_depthwise = depthwise(in_channels, kernel, stride)
            self.shortcut_depthwise_norm = nn.BatchNorm2d(in_channels)
            self.shortcut_pointwise = pointwise(in_channels, half, fusion)
            self.shortcut_pointwise_norm = nn.BatchNorm2d(half)
            self.shortcut_pointwise_activation = activate(activation, half)
        self.expand = pointwise(in_channels if self.down else half, half, fusion)
        self.expand_norm = nn.BatchNorm2d(half)
        self.expand_activation = activate(activation, half)
        self.depthwise = depthwise(half, kernel, stride)
        self.depthwise_norm = nn.BatchNorm2d(half)
        self.se = SqueezeExcite(half, squeeze) if squeeze else nn.Identity()
        self.project = pointwise(half, half, fusion)
        self.project_norm = nn.BatchNorm2d(half)
        self.project_activation = activate(activation, half)
        # Groups would never meet: their channels interleave before they are fused again.
        self.interleave = interleave(fusion)

    def forward(self, x: Tensor) -> Tensor:
        if self.down:
            left = self.shortcut_depthwise_norm(self.shortcut_depthwise(x))
            left = self.shortcut_pointwise_activation(
                self.shortcut_pointwise_norm(self.shortcut_pointwise(left))
            )
            right = x
        else:
            left, right = x.chunk(2, dim=1)
        right = self.expand_activation(self.expand_norm(self.expand(right)))
        right = self.depthwise_norm(self.depthwise(self.interleave(right)))
        right = self.project_activation(self.project_norm(self.project(self.se(right))))
        return self.join(left, right)

    def join(self, left: Tensor, right: Tensor) -> Tensor:
        """Both halves, interleaved; by itself, so that a training can do it in the layout of its images."""
        return torch.stack((left, right), dim=2).flatten(1, 2)
