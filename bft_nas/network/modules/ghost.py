"""The module of a ghost block."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bft_nas.network.fusion import Fusion
from bft_nas.network.modules.layers import (
    NormedSum,
    SqueezeExcite,
    activate,
    depthwise,
    interleave,
    pointwise,
)

# The last ones before the skip end a half of the channels each, and none of them all: there is no RESIDUAL_NORM.


class Ghost(nn.Module):
    """Expand, depthwise with a stride, squeeze-excite, project; half of the channels are cheap (arXiv:1911.11907).

    In the added form what is cheap is added to what it is made of, each with a norm (RepGhost, arXiv:2211.06088).
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: int,
        stride: int,
        activation: str,
        fusion: Fusion,
        expanded: int,
        expand_fusion: Fusion,
        squeeze: int,
        cheap_kernel: int = 3,
        cheap_form: str = "concatenated",
    ) -> None:
        super().__init__()
        self.added = cheap_form == "added"
        self.same = stride == 1 and in_channels == channels
        self.strides = stride > 1
        if not self.same:
            self.shortcut_depthwise = depthwise(in_channels, kernel, stride)
            self.shortcut_depthwise_norm = nn.BatchNorm2d(in_channels)
            self.shortcut_pointwise = nn.Conv2d(in_channels, channels, 1, bias=False)
            self.shortcut_pointwise_norm = nn.BatchNorm2d(channels)
        wide, out = (expanded, channels) if self.added else (expanded // 2, channels // 2)
        self.expand = pointwise(in_channels, wide, expand_fusion)
        self.expand_norm = nn.BatchNorm2d(wide)
        self.expand_activation = activate(activation, wide)
        self.expand_cheap: nn.Module = (
            NormedSum(wide, cheap_kernel) if self.added else depthwise(wide, cheap_kernel, 1)
        )
        if self.added:
            self.sum_activation = activate(activation, wide)
        else:
            self.expand_cheap_norm = nn.BatchNorm2d(wide)
            self.expand_cheap_activation = activate(activation, wide)
        # Groups would never meet: their channels interleave before they are fused again.
        self.interleave = interleave(fusion, expand_fusion)
        if self.strides:
            self.depthwise = depthwise(expanded, kernel, stride)
            self.depthwise_norm = nn.BatchNorm2d(expanded)
        self.se = SqueezeExcite(expanded, squeeze) if squeeze else nn.Identity()
        self.project = pointwise(expanded, out, fusion)
        self.project_norm = nn.BatchNorm2d(out)
        self.project_cheap: nn.Module = (
            NormedSum(out, cheap_kernel) if self.added else depthwise(out, cheap_kernel, 1)
        )
        if not self.added:
            self.project_cheap_norm = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        y = self.expand_activation(self.expand_norm(self.expand(x)))
        cheap = self.expand_cheap(y)
        if self.added:
            y = self.sum_activation(cheap)
        else:
            y = torch.cat((y, self.expand_cheap_activation(self.expand_cheap_norm(cheap))), 1)
        y = self.interleave(y)
        if self.strides:
            y = self.depthwise_norm(self.depthwise(y))
        y = self.project_norm(self.project(self.se(y)))
        cheap = self.project_cheap(y)
        y = cheap if self.added else torch.cat((y, self.project_cheap_norm(cheap)), 1)
        if not self.same:
            x = self.shortcut_depthwise_norm(self.shortcut_depthwise(x))
            x = self.shortcut_pointwise_norm(self.shortcut_pointwise(x))
        return x + y
