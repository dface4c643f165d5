"""What stands before the blocks, and behind them."""

from __future__ import annotations

from torch import Tensor, nn

from bft_nas.network.fusion import Fusion
from bft_nas.network.modules.layers import activate, pointwise


class Stem(nn.Module):
    """The first convolution; ``pool`` adds the 3x3 max pooling of ShuffleNetV2.

    A factorised one is a column of the kernel that makes ``middle`` channels, and rows of it for each of these
    (MicroNet, arXiv:2108.05894).
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: int,
        stride: int,
        activation: str,
        pool: bool,
        middle: int = 0,
    ) -> None:
        super().__init__()
        self.factorised = middle > 0
        if self.factorised:
            pad = kernel // 2
            self.down = nn.Conv2d(in_channels, middle, (kernel, 1), (stride, 1), (pad, 0), bias=False)
            self.down_norm = nn.BatchNorm2d(middle)
            self.conv = nn.Conv2d(
                middle, channels, (1, kernel), (1, stride), (0, pad), groups=middle, bias=False
            )
            self.interleave = nn.ChannelShuffle(middle)
        else:
            self.conv = nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.activation = activate(activation, channels)
        self.pool = nn.MaxPool2d(3, 2, 1) if pool else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        if self.factorised:
            x = self.down_norm(self.down(x))
        x = self.activation(self.norm(self.conv(x)))
        if self.factorised:
            x = self.interleave(x)
        return self.pool(x)  # type: ignore[no-any-return]


class Head(nn.Module):
    """A last channel fusion, average pooling and a hidden linear layer; a count of 0 leaves its layer out."""

    def __init__(self, in_channels: int, channels: int, fusion: Fusion, hidden: int, activation: str) -> None:
        super().__init__()
        self.channels = channels or in_channels
        self.features = hidden or self.channels
        self.conv: nn.Module = nn.Identity()
        if channels:
            self.conv = pointwise(in_channels, channels, fusion)
        self.norm = nn.BatchNorm2d(channels) if channels else nn.Identity()
        self.activation = activate(activation, channels) if channels else nn.Identity()
        self.hidden = nn.Linear(self.channels, hidden) if hidden else nn.Identity()
        self.hidden_activation = activate(activation, hidden, pixels=False) if hidden else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.fuse(x))

    def fuse(self, x: Tensor) -> Tensor:
        """What comes before pooling."""
        return self.activation(self.norm(self.conv(x)))  # type: ignore[no-any-return]

    def pool(self, x: Tensor) -> Tensor:
        """Pooling and what comes after it."""
        return self.hidden_activation(self.hidden(x.mean((2, 3))))  # type: ignore[no-any-return]
