"""A whole network."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from bft_nas.network.modules.ends import Head
from bft_nas.network.modules.layers import init_linear


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
            init_linear(layer)
            self.classifier = layer
