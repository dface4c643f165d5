"""Two full convolutions and a skip: the block of ResNet (arXiv:1512.03385), and of MLPerf Tiny's ResNet-8."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from bft_nas.network.blocks._block import Block
from bft_nas.network.blocks._choices import KERNELS, Chosen, chosen_fusion, fusion_choices
from bft_nas.network.blocks._counts import Count, Mixed, convolution, pointwise
from bft_nas.network.checks import Activation, check_fusion
from bft_nas.network.fusion import DENSE, Fusion, short_fusion
from bft_nas.network.layer import Array, Layer, halved


@dataclass(frozen=True, slots=True)
class ResidualBlock(Block):
    """Two convolutions that mix all channels; where they change the shape, a pointwise layer does so for the skip."""

    kind = "residual"
    parts: ClassVar = {"shortcut": "shortcut", "first": "first convolution", "second": "second convolution"}
    choices = (KERNELS, *fusion_choices())

    fusion: Fusion = DENSE
    """What mixes channels in the shortcut, where there is one."""

    @classmethod
    def chosen(
        cls, chosen: Chosen, in_channels: int, channels: int, stride: int, activation: Activation, stage: int
    ) -> Self:
        changes = stride > 1 or in_channels != channels
        fusion = chosen_fusion(chosen, in_channels, channels) if changes else DENSE
        return cls(channels, chosen["kernel"], stride, activation, fusion, stage=stage)

    def _changes(self, in_channels: int) -> bool:
        return self.stride > 1 or in_channels != self.channels

    def check(self, where: str, in_channels: int) -> None:
        Block.check(self, where, in_channels)
        shortcut = (in_channels, self.channels) if self._changes(in_channels) else ()
        check_fusion(f"{where}.fusion", self.fusion, *shortcut)

    def layers(self, in_channels: int, size: int) -> Iterator[Layer]:
        out, end = self.channels, halved(size, self.stride)
        entering, skip = in_channels * size**2, out * end**2
        if self._changes(in_channels):
            yield Layer(
                "shortcut", in_channels, out, end, fusion=self.fusion, affine=2, in_size=end, held=entering
            )
        yield Layer("first", in_channels, out, end, self.kernel, affine=2, in_size=size, held=skip)
        yield Layer("second", out, out, end, self.kernel, affine=2, in_size=end, held=skip)

    @classmethod
    def counts(
        cls, chosen: Mapping[str, Array], in_channels: Array, channels: Array, stride: int, size: Array
    ) -> Count:
        end, kernel = halved(size, stride), chosen["kernel"]
        changes = (in_channels != channels) | (stride > 1)
        return (
            pointwise(in_channels, channels, Mixed.of(chosen, in_channels, channels), end).times(changes)
            + convolution(in_channels, channels, kernel, end)
            + convolution(channels, channels, kernel, end)
        )

    def pattern(self, in_channels: int) -> str:
        return short_fusion(self.fusion) if self._changes(in_channels) else ""
