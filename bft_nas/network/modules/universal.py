"""The module of a universal block."""

from __future__ import annotations

from torch import Tensor, nn

from bft_nas.network.fusion import Fusion
from bft_nas.network.modules.layers import SqueezeExcite, activate, depthwise, interleave, pointwise

# The last one before the skip, where there is a `skip`.
RESIDUAL_NORM = "project_norm"


class Universal(nn.Module):
    """Depthwise, expand, depthwise, squeeze-excite, project (MobileNetV4, arXiv:2404.10518).

    Depthwise layers and squeeze-excite are there by choice.
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
        start_kernel: int,
        squeeze: int = 0,
    ) -> None:
        super().__init__()
        self.skip = stride == 1 and in_channels == channels
        self.starts, self.deepens = start_kernel > 0, kernel > 0
        if self.starts:
            self.start = depthwise(in_channels, start_kernel, 1 if self.deepens else stride)
            self.start_norm = nn.BatchNorm2d(in_channels)
        self.expand = pointwise(in_channels, expanded, expand_fusion)
        self.expand_norm = nn.BatchNorm2d(expanded)
        self.expand_activation = activate(activation, expanded)
        # Groups would never meet: their channels interleave before they are fused again.
        self.interleave = interleave(fusion, expand_fusion)
        if self.deepens:
            self.depthwise = depthwise(expanded, kernel, stride)
            self.depthwise_norm = nn.BatchNorm2d(expanded)
            self.depthwise_activation = activate(activation, expanded)
        self.se = SqueezeExcite(expanded, squeeze) if squeeze else nn.Identity()
        self.project = pointwise(expanded, channels, fusion)
        self.project_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.start_norm(self.start(x)) if self.starts else x
        y = self.interleave(self.expand_activation(self.expand_norm(self.expand(y))))
        if self.deepens:
            y = self.depthwise_activation(self.depthwise_norm(self.depthwise(y)))
        y = self.project_norm(self.project(self.se(y)))
        return x + y if self.skip else y  # type: ignore[no-any-return]
