"""Depthwise, pointwise: the block of MobileNetV1 (arXiv:1704.04861)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from bft_nas.network.blocks._block import UNUSED
from bft_nas.network.blocks._counts import Count, Mixed, depthwise, pointwise, squeeze_excite
from bft_nas.network.blocks._one_fusion import OneFusionBlock
from bft_nas.network.layer import Array, Layer, halved, squeezing


@dataclass(frozen=True, slots=True)
class SeparableBlock(OneFusionBlock):
    """A depthwise convolution, a squeeze-excite by choice (PP-LCNet, arXiv:2109.15099), and what mixes the channels."""

    kind = "separable"
    parts: ClassVar = {
        "depthwise": "depthwise",
        "se.reduce": "squeeze-excite reduce",
        "se.expand": "squeeze-excite expand",
        "pointwise": "pointwise",
    }
    unused = UNUSED

    @classmethod
    def fused(cls, in_channels: Any, channels: Any, stride: int) -> tuple[Any, ...]:
        return in_channels, channels

    @classmethod
    def excited(cls, in_channels: Any, channels: Any) -> Any:
        return in_channels

    def layers(self, in_channels: int, size: int) -> Iterator[Layer]:
        end = halved(size, self.stride)
        yield Layer(
            "depthwise", in_channels, in_channels, end, self.kernel, in_channels, affine=2, in_size=size
        )
        yield from squeezing(in_channels, self.squeeze, in_channels * end**2)
        yield Layer("pointwise", in_channels, self.channels, end, fusion=self.fusion, affine=2, in_size=end)

    @classmethod
    def counts(
        cls, chosen: Mapping[str, Array], in_channels: Array, channels: Array, stride: int, size: Array
    ) -> Count:
        end = halved(size, stride)
        mixed = Mixed.of(chosen, in_channels, channels)
        return (
            depthwise(in_channels, chosen["kernel"], end)
            + squeeze_excite(in_channels).times(chosen["squeeze_excite"])
            + pointwise(in_channels, channels, mixed, end)
        )
