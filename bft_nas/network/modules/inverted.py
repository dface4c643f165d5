"""The module of an inverted block."""

from __future__ import annotations

from torch import Tensor, nn

from bft_nas.network.fusion import Fusion
from bft_nas.network.modules.layers import SqueezeExcite, activate, depthwise, interleave, pointwise

# The last one before the skip, where there is a `skip`.
RESIDUAL_NORM = "project_norm"


class Inverted(nn.Module):
    """Expand, depthwise, squeeze-excite, project; a skip where the shapes agree (MobileNetV2 and V3, FBNet)."""

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
    ) -> None:
        super().__init__()
        self.skip = stride == 1 and in_channels == channels
        self.expands = expanded != in_channels
        if self.expands:
            self.expand = pointwise(in_channels, expanded, expand_fusion)
            self.expand_norm = nn.BatchNorm2d(expanded)
            self.expand_activation = activate(activation, expanded)
        self.depthwise = depthwise(expanded, kernel, stride)
        self.depthwise_norm = nn.BatchNorm2d(expanded)
        self.depthwise_activation = activate(activation, expanded)
        self.se = SqueezeExcite(expanded, squeeze) if squeeze else nn.Identity()
        self.project = pointwise(expanded, channels, fusion)
        self.project_norm = nn.BatchNorm2d(channels)
        # Groups would never meet: their channels interleave before they are fused again (FBNet).
        self.interleave = interleave(fusion, expand_fusion)

    def forward(self, x: Tensor) -> Tensor:
        y = self.expand_activation(self.expand_norm(self.expand(x))) if self.expands else x
        y = self.depthwise_activation(self.depthwise_norm(self.depthwise(self.interleave(y))))
        y = self.project_norm(self.project(self.se(y)))
        return x + y if self.skip else y  # type: ignore[no-any-return]
