"""The module of a separable block."""

from __future__ import annotations

from torch import Tensor, nn

from bft_nas.network.fusion import Fusion
from bft_nas.network.modules.layers import SqueezeExcite, activate, depthwise, interleave, pointwise


class Separable(nn.Module):
    """Depthwise convolution and channel fusion (MobileNetV1, arXiv:1704.04861).

    The depthwise layer may have no activation, or a skip of its own, as ConvMixer's (arXiv:2201.09792).
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
        depthwise_form: str = "activated",
    ) -> None:
        super().__init__()
        self.depthwise = depthwise(in_channels, kernel, stride)
        self.depthwise_norm = nn.BatchNorm2d(in_channels)
        if depthwise_form != "linear":
            self.depthwise_activation = activate(activation, in_channels)
        self.se = SqueezeExcite(in_channels, squeeze) if squeeze else nn.Identity()
        self.pointwise = pointwise(in_channels, channels, fusion)
        self.pointwise_norm = nn.BatchNorm2d(channels)
        self.pointwise_activation = activate(activation, channels)
        # Groups would never meet: their channels interleave before they are fused again.
        self.interleave = interleave(fusion)
        self.form = depthwise_form

    def forward(self, x: Tensor) -> Tensor:
        x = self.interleave(x)
        y = self.depthwise_norm(self.depthwise(x))
        if self.form != "linear":
            y = self.depthwise_activation(y)
        if self.form == "residual":
            y = x + y
        x = self.pointwise_norm(self.pointwise(self.se(y)))
        return self.pointwise_activation(x)  # type: ignore[no-any-return]
