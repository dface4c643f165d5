"""The module of a fused block."""

from __future__ import annotations

from torch import Tensor, nn

from bft_nas.network.fusion import Fusion
from bft_nas.network.modules.layers import SqueezeExcite, activate, pointwise

# The last one before the skip, where there is a `skip`.
RESIDUAL_NORM = "project_norm"


class Fused(nn.Module):
    """A convolution that expands, and a projection, which is linear beside a skip (FusedMBConv, arXiv:2104.00298)."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: int,
        stride: int,
        activation: str,
        fusion: Fusion,
        expanded: int,
        linear: bool,
        squeeze: int = 0,
    ) -> None:
        super().__init__()
        self.skip = linear and stride == 1 and in_channels == channels
        self.expand = nn.Conv2d(in_channels, expanded, kernel, stride, kernel // 2, bias=False)
        self.expand_norm = nn.BatchNorm2d(expanded)
        self.expand_activation = activate(activation, expanded)
        self.se = SqueezeExcite(expanded, squeeze) if squeeze else nn.Identity()
        self.project = pointwise(expanded, channels, fusion)
        self.project_norm = nn.BatchNorm2d(channels)
        self.project_activation = nn.Identity() if linear else activate(activation, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.expand_activation(self.expand_norm(self.expand(x)))
        y = self.project_activation(self.project_norm(self.project(self.se(y))))
        return x + y if self.skip else y  # type: ignore[no-any-return]
