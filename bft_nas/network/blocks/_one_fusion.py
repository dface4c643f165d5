"""What kinds of blocks with one channel fusion for all their pointwise layers have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from bft_nas.network.blocks._block import Block
from bft_nas.network.blocks._choices import (
    KERNELS,
    SQUEEZE_EXCITE,
    Chosen,
    chosen_fusion,
    fusion_choices,
)
from bft_nas.network.blocks._widths import squeeze_channels
from bft_nas.network.checks import Activation, check_count, check_fusion
from bft_nas.network.fusion import DENSE, Fusion, short_fusion


@dataclass(frozen=True, slots=True)
class OneFusionBlock(Block):
    """A block whose pointwise layers all mix channels in the same way; `fused` says of which widths they are."""

    choices = (KERNELS, *fusion_choices(), SQUEEZE_EXCITE)

    fusion: Fusion = DENSE
    """What mixes channels in its pointwise layers."""
    squeeze: int = 0
    """Channels in the middle of the squeeze-excite behind its depthwise layer; 0 leaves it out."""

    @classmethod
    def chosen(
        cls, chosen: Chosen, in_channels: int, channels: int, stride: int, activation: Activation, stage: int
    ) -> Self:
        return cls(
            channels,
            chosen["kernel"],
            stride,
            activation,
            chosen_fusion(chosen, *cls.fused(in_channels, channels, stride)),
            squeeze_channels(cls.excited(in_channels, channels)) if chosen["squeeze_excite"] else 0,
            stage=stage,
        )

    @classmethod
    def fused(cls, in_channels: Any, channels: Any, stride: int) -> tuple[Any, ...]:
        """The widths of the layers that mix channels, of one row or of many."""
        raise NotImplementedError

    @classmethod
    def excited(cls, in_channels: Any, channels: Any) -> Any:
        """The width that a squeeze-excite scales, of one row or of many."""
        raise NotImplementedError

    def check(self, where: str, in_channels: int) -> None:
        Block.check(self, where, in_channels)
        check_count(f"{where}.squeeze", self.squeeze, 0)
        check_fusion(f"{where}.fusion", self.fusion, *self.fused(in_channels, self.channels, self.stride))

    def pattern(self, in_channels: int) -> str:
        return short_fusion(self.fusion)
