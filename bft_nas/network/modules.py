"""The modules that networks are built from. Plain PyTorch: an export writes the source of what it uses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bft_nas.butterfly.transform import ButterflyTransform


def pointwise(in_channels: int, out_channels: int, fusion: str) -> nn.Module:
    """A channel fusion without bias: the 1x1 convolution or the transform that ``fusion`` names."""
    if fusion.startswith("butterfly"):
        return ButterflyTransform(in_channels, out_channels, radix=int(fusion.removeprefix("butterfly-")))
    return nn.Conv2d(in_channels, out_channels, 1, groups=groups_of(fusion), bias=False)


def groups_of(fusion: str) -> int:
    """Into how many groups a fusion cuts the channels."""
    return int(fusion.removeprefix("grouped-")) if fusion.startswith("grouped") else 1


def depthwise(channels: int, kernel: int, stride: int) -> nn.Conv2d:
    """A convolution of each channel by itself, padded to keep the size at stride 1."""
    return nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False)


def activate(name: str) -> nn.Module:
    """The activation of that name."""
    return nn.Hardswish(inplace=True) if name == "hard_swish" else nn.ReLU(inplace=True)


def begin_linear(layer: nn.Linear) -> None:
    """How the weights of a linear layer begin."""
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)


class Stem(nn.Module):
    """The first convolution; ``pool`` adds the 3x3 max pooling of ShuffleNetV2."""

    def __init__(
        self, in_channels: int, channels: int, kernel: int, stride: int, activation: str, pool: bool
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.activation = activate(activation)
        self.pool = nn.MaxPool2d(3, 2, 1) if pool else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.norm(self.conv(x)))
        return self.pool(x)  # type: ignore[no-any-return]


class Separable(nn.Module):
    """Depthwise convolution and channel fusion (MobileNetV1, arXiv:1704.04861)."""

    def __init__(
        self, in_channels: int, channels: int, kernel: int, stride: int, activation: str, fusion: str
    ) -> None:
        super().__init__()
        self.depthwise = depthwise(in_channels, kernel, stride)
        self.depthwise_norm = nn.BatchNorm2d(in_channels)
        self.pointwise = pointwise(in_channels, channels, fusion)
        self.pointwise_norm = nn.BatchNorm2d(channels)
        self.activation = activate(activation)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.depthwise_norm(self.depthwise(x)))
        return self.activation(self.pointwise_norm(self.pointwise(x)))  # type: ignore[no-any-return]


class Shuffle(nn.Module):
    """The unit of ShuffleNetV2 (arXiv:1807.11164): half of the channels pass by, then both halves interleave.

    With a stride, all channels enter both branches.
    """

    def __init__(
        self, in_channels: int, channels: int, kernel: int, stride: int, activation: str, fusion: str
    ) -> None:
        super().__init__()
        half = channels // 2
        self.down = stride > 1
        if self.down:
            self.shortcut_depthwise = depthwise(in_channels, kernel, stride)
            self.shortcut_depthwise_norm = nn.BatchNorm2d(in_channels)
            self.shortcut_pointwise = pointwise(in_channels, half, fusion)
            self.shortcut_pointwise_norm = nn.BatchNorm2d(half)
        self.expand = pointwise(in_channels if self.down else half, half, fusion)
        self.expand_norm = nn.BatchNorm2d(half)
        self.depthwise = depthwise(half, kernel, stride)
        self.depthwise_norm = nn.BatchNorm2d(half)
        self.project = pointwise(half, half, fusion)
        self.project_norm = nn.BatchNorm2d(half)
        self.activation = activate(activation)

    def forward(self, x: Tensor) -> Tensor:
        if self.down:
            left = self.shortcut_depthwise_norm(self.shortcut_depthwise(x))
            left = self.activation(self.shortcut_pointwise_norm(self.shortcut_pointwise(left)))
            right = x
        else:
            left, right = x.chunk(2, dim=1)
        right = self.activation(self.expand_norm(self.expand(right)))
        right = self.depthwise_norm(self.depthwise(right))
        right = self.activation(self.project_norm(self.project(right)))
        return torch.stack((left, right), dim=2).flatten(1, 2)


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


class Inverted(nn.Module):
    """Expand, depthwise, squeeze-excite, project; a skip where the shapes agree (MobileNetV2 and V3, FBNet)."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: int,
        stride: int,
        activation: str,
        fusion: str,
        expanded: int,
        expand_fusion: str,
        squeeze: int,
    ) -> None:
        super().__init__()
        self.skip = stride == 1 and in_channels == channels
        self.expands = expanded != in_channels
        if self.expands:
            self.expand = pointwise(in_channels, expanded, expand_fusion)
            self.expand_norm = nn.BatchNorm2d(expanded)
        self.depthwise = depthwise(expanded, kernel, stride)
        self.depthwise_norm = nn.BatchNorm2d(expanded)
        self.se = SqueezeExcite(expanded, squeeze) if squeeze else nn.Identity()
        self.project = pointwise(expanded, channels, fusion)
        self.project_norm = nn.BatchNorm2d(channels)
        self.activation = activate(activation)
        # Groups would never meet: their channels interleave before they are fused again (FBNet).
        groups = groups_of(fusion)
        self.interleave = nn.ChannelShuffle(groups) if groups > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(self.expand_norm(self.expand(x))) if self.expands else x
        y = self.activation(self.depthwise_norm(self.depthwise(self.interleave(y))))
        y = self.project_norm(self.project(self.se(y)))
        return x + y if self.skip else y  # type: ignore[no-any-return]


class Head(nn.Module):
    """A last channel fusion, average pooling and a hidden linear layer; a count of 0 leaves its layer out."""

    def __init__(self, in_channels: int, channels: int, fusion: str, hidden: int, activation: str) -> None:
        super().__init__()
        self.channels = channels or in_channels
        self.features = hidden or self.channels
        self.conv: nn.Module = nn.Identity()
        if channels:
            self.conv = pointwise(in_channels, channels, fusion)
        self.norm = nn.BatchNorm2d(channels) if channels else nn.Identity()
        self.activation = activate(activation) if channels else nn.Identity()
        self.hidden = nn.Linear(self.channels, hidden) if hidden else nn.Identity()
        self.hidden_activation = activate(activation) if hidden else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.fuse(x))

    def fuse(self, x: Tensor) -> Tensor:
        """What comes before pooling."""
        return self.activation(self.norm(self.conv(x)))  # type: ignore[no-any-return]

    def pool(self, x: Tensor) -> Tensor:
        """Pooling and what comes after it."""
        return self.hidden_activation(self.hidden(x.mean((2, 3))))  # type: ignore[no-any-return]


class Network(nn.Module):
    """Images (N, in_channels, height, width) to logits (N, classes), with the attributes of a timm model.

    ``num_features`` channels leave `forward_features`, ``head_hidden_size`` features enter the classifier.
    """

    def __init__(
        self,
        stem: nn.Module,
        blocks: list[nn.Module],
        head: Head,
        classes: int,
        default_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.Sequential(*blocks)
        self.head = head
        self.num_features = head.channels
        self.head_hidden_size = head.features
        self.num_classes = classes
        self.classifier: nn.Module = nn.Linear(head.features, classes)
        self.default_cfg = default_cfg or {}

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """Images to (N, num_features, height, width), not pooled."""
        return self.head.fuse(self.blocks(self.stem(x)))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """What `forward_features` returns to logits, or to (N, head_hidden_size) with ``pre_logits``."""
        x = self.head.pool(x)
        return x if pre_logits else self.classifier(x)

    def get_classifier(self) -> nn.Module:
        """The last layer: linear, or identity after ``reset_classifier(0)``."""
        return self.classifier

    def reset_classifier(self, num_classes: int) -> None:
        """Put a new, untrained classifier in place of the last layer; none at all for 0 classes."""
        weight = next(self.parameters())
        self.num_classes = num_classes
        self.classifier = nn.Identity()
        if num_classes:
            layer = nn.Linear(self.head_hidden_size, num_classes).to(weight.device, weight.dtype)
            begin_linear(layer)
            self.classifier = layer
