"""The module of a residual block."""

from __future__ import annotations

from torch import Tensor, nn

from bft_nas.network.fusion import Fusion
from bft_nas.network.modules.layers import SqueezeExcite, activate, pointwise

# The last one before the skip, where there is a `skip`.
RESIDUAL_NORM = "second_norm"


class Residual(nn.Module):
    """Two convolutions beside a skip; a pointwise layer where the shape changes (ResNet, arXiv:1512.03385)."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: int,
        stride: int,
        activation: str,
        fusion: Fusion,
        squeeze: int = 0,
    ) -> None:
        super().__init__()
        self.skip = stride == 1 and in_channels == channels
        self.stride = stride
        if not self.skip:
            self.shortcut = pointwise(in_channels, channels, fusion)
            self.shortcut_norm = nn.BatchNorm2d(channels)
        self.first = nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.first_activation = activate(activation, channels)
        self.second = nn.Conv2d(channels, channels, kernel, 1, kernel // 2, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)
        self.se = SqueezeExcite(channels, squeeze) if squeeze else nn.Identity()
        self.sum_activation = activate(activation, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first_activation(self.first_norm(self.first(x)))
        y = self.se(self.second_norm(self.second(y)))
        if not self.skip:
            x = self.shortcut_norm(self.shortcut(x[:, :, :: self.stride, :: self.stride]))
        return self.sum_activation(x + y)  # type: ignore[no-any-return]
