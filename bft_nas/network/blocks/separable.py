"""Depthwise, pointwise: the block of MobileNetV1 (arXiv:1704.04861)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from bft_nas.network.blocks._block import UNUSED, Block
from bft_nas.network.blocks._counts import Count, Mixed, depthwise, pointwise
from bft_nas.network.blocks._one_fusion import OneFusionBlock
from bft_nas.network.checks import check_fusion
from bft_nas.network.layer import Array, Layer, halved


@dataclass(frozen=True, slots=True)
class SeparableBlock(OneFusionBlock):
    """A depthwise convolution, and one that mixes the channels."""

    kind = "separable"
    parts: ClassVar = {"depthwise": "depthwise", "pointwise": "pointwise"}
    unused = UNUSED

    def check(self, where: str, in_channels: int) -> None:
        Block.check(self, where, in_channels)
        check_fusion(f"{where}.fusion", self.fusion, in_channels, self.channels)

    @classmethod
    def fused(cls, in_channels: Any, channels: Any, stride: int) -> tuple[Any, ...]:
        return in_channels, channels

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
        mixed = Mixed.of(chosen, in_channels, channels)
        return depthwise(in_channels, chosen["kernel"], end) + pointwise(in_channels, channels, mixed, end)
