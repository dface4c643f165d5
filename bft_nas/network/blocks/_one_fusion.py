"""What kinds of blocks with one channel fusion for all their pointwise layers have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from bft_nas.network.blocks._block import Block
from bft_nas.network.blocks._choices import KERNELS, Chosen, chosen_fusion, fusion_choices
from bft_nas.network.checks import Activation
from bft_nas.network.fusion import DENSE, Fusion, short_fusion


@dataclass(frozen=True, slots=True)
class OneFusionBlock(Block):
    """A block whose pointwise layers all mix channels in the same way."""

    choices = (KERNELS, *fusion_choices())

    fusion: Fusion = DENSE
    """What mixes channels in its pointwise layers."""

    @classmethod
    def chosen(
        cls, chosen: Chosen, in_channels: int, channels: int, stride: int, activation: Activation, stage: int
    ) -> Self:
        fusion = chosen_fusion(chosen, *cls.fused(in_channels, channels, stride))
        return cls(channels, chosen["kernel"], stride, activation, fusion, stage=stage)

    @classmethod
    def fused(cls, in_channels: Any, channels: Any, stride: int) -> tuple[Any, ...]:
        """The widths of the layers that mix channels, of one row or of many."""
        raise NotImplementedError

    def pattern(self, in_channels: int) -> str:
        return short_fusion(self.fusion)
