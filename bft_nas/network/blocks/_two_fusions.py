"""What kinds of blocks have in common that expand their channels by one fusion and project them by another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bft_nas.network.blocks._block import Block
from bft_nas.network.blocks._choices import Choice, number
from bft_nas.network.fusion import DENSE, Fusion, short_fusion

EXPANSION = Choice("expansion", number(1, 16), lightens=True)


@dataclass(frozen=True, slots=True)
class TwoFusionsBlock(Block):
    """A block that expands its channels, and projects them."""

    dialect: ClassVar = "expansion/projection where there are two"

    fusion: Fusion = DENSE
    """What mixes channels in the projection."""
    expanded: int = 0
    """Channels between expansion and projection."""
    expand_fusion: Fusion = DENSE
    """What mixes channels in the expansion."""

    def pattern(self, in_channels: int) -> str:
        return f"{short_fusion(self.expand_fusion)}/{short_fusion(self.fusion)}"
