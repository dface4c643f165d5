"""Depthwise, pointwise: the block of MobileNetV1 (arXiv:1704.04861)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from bft_nas.network.blocks._block import UNUSED, Block
from bft_nas.network.blocks._choices import KERNELS, Chosen, chosen_fusion, fusion_choices
from bft_nas.network.blocks._counts import Count, depthwise, pointwise
from bft_nas.network.checks import Activation, check_fusion
from bft_nas.network.fusion import DENSE, Fusion, short_fusion
from bft_nas.network.layer import Array, Layer, halved


@dataclass(frozen=True, slots=True)
class SeparableBlock(Block):
    """A depthwise convolution, and one that mixes the channels."""

    kind = "separable"
    parts: ClassVar = {"depthwise": "depthwise", "pointwise": "pointwise"}
    choices = (KERNELS, *fusion_choices())
    unused = UNUSED

    fusion: Fusion = DENSE
    """What mixes channels in the pointwise layer."""

    @classmethod
    def chosen(
        cls, chosen: Chosen, in_channels: int, channels: int, stride: int, activation: Activation, stage: int
    ) -> Self:
        return cls(channels, chosen["kernel"], stride, activation, chosen_fusion(chosen), stage=stage)

    def check(self, where: str, in_channels: int) -> None:
        Block.check(self, where, in_channels)
        check_fusion(f"{where}.fusion", self.fusion, in_channels, self.channels)

    def layers(self, in_channels: int, size: int) -> Iterator[Layer]:
        end = halved(size, self.stride)
        yield Layer(
            "depthwise", in_channels, in_channels, end, self.kernel, in_channels, affine=2, in_size=size
        )
        yield Layer("pointwise", in_channels, self.channels, end, fusion=self.fusion, affine=2, in_size=end)

    @classmethod
    def counts(
        cls, chosen: Mapping[str, Array], in_channels: Array, channels: Array, stride: int, size: Array
    ) -> Count:
        end = halved(size, stride)
        return depthwise(in_channels, chosen["kernel"], end) + pointwise(
            in_channels, channels, chosen["radix"], end
        )

    def pattern(self, in_channels: int) -> str:
        return short_fusion(self.fusion)
