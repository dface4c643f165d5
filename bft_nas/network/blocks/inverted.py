"""Expand, depthwise, squeeze-excite, project: the block of MobileNetV2 and V3 (arXiv:1905.02244)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from bft_nas.network.blocks._block import Block
from bft_nas.network.blocks._choices import (
    KERNELS,
    SQUEEZE_EXCITE,
    Chosen,
    chosen_fusion,
    fusion_choices,
)
from bft_nas.network.blocks._counts import Count, Mixed, depthwise, pointwise, squeeze_excite
from bft_nas.network.blocks._two_fusions import EXPANSION, TwoFusionsBlock
from bft_nas.network.blocks._widths import (
    expanded_channels,
    many_expanded_channels,
    squeeze_channels,
)
from bft_nas.network.checks import Activation, check_count, check_fusion
from bft_nas.network.fusion import DENSE, short_fusion
from bft_nas.network.layer import Array, Layer, halved, squeezing


@dataclass(frozen=True, slots=True)
class InvertedBlock(TwoFusionsBlock):
    """An inverted residual; it does not expand when ``expanded`` equals the input's channels."""

    kind = "inverted"
    parts: ClassVar = {
        "expand": "expand",
        "depthwise": "depthwise",
        "se.reduce": "squeeze-excite reduce",
        "se.expand": "squeeze-excite expand",
        "project": "project",
    }
    choices = (
        KERNELS,
        *fusion_choices(),
        EXPANSION,
        SQUEEZE_EXCITE,
        *fusion_choices("expand_", when=lambda chosen: chosen["expansion"] > 1),
    )

    squeeze: int = 0
    """Channels in the middle of the squeeze-excite; 0 leaves it out."""

    @classmethod
    def chosen(
        cls, chosen: Chosen, in_channels: int, channels: int, stride: int, activation: Activation, stage: int
    ) -> Self:
        expanded = expanded_channels(in_channels, chosen["expansion"])
        return cls(
            channels,
            chosen["kernel"],
            stride,
            activation,
            chosen_fusion(chosen, expanded, channels),
            expanded,
            DENSE
            if expanded == in_channels
            else chosen_fusion(chosen, in_channels, expanded, prefix="expand_"),
            squeeze_channels(expanded) if chosen["squeeze_excite"] else 0,
            stage=stage,
        )

    def check(self, where: str, in_channels: int) -> None:
        Block.check(self, where, in_channels)
        check_count(f"{where}.expanded", self.expanded, 1)
        check_count(f"{where}.squeeze", self.squeeze, 0)
        expanding = (in_channels, self.expanded) if self.expanded != in_channels else ()
        check_fusion(f"{where}.expand_fusion", self.expand_fusion, *expanding)
        check_fusion(f"{where}.fusion", self.fusion, self.expanded, self.channels)

    def layers(self, in_channels: int, size: int) -> Iterator[Layer]:
        wide, out, end = self.expanded, self.channels, halved(size, self.stride)
        skip = in_channels * size**2 if self.stride == 1 and in_channels == out else 0
        expands = wide != in_channels
        if expands:
            yield Layer(
                *("expand", in_channels, wide, size),
                fusion=self.expand_fusion, affine=self.activated, in_size=size,
            )  # fmt: skip
        yield Layer(
            *("depthwise", wide, wide, end, self.kernel, wide),
            affine=self.activated, in_size=size, held=skip if expands else 0,
        )  # fmt: skip
        yield from squeezing(wide, self.squeeze, wide * end**2 + skip)
        yield Layer("project", wide, out, end, fusion=self.fusion, affine=2, in_size=end, held=skip)

    @classmethod
    def counts(
        cls, chosen: Mapping[str, Array], in_channels: Array, channels: Array, stride: int, size: Array
    ) -> Count:
        end, learns = halved(size, stride), chosen["learned"]
        wide = many_expanded_channels(in_channels, chosen["expansion"])
        expanding = Mixed.of(chosen, in_channels, wide, prefix="expand_")
        expand = pointwise(in_channels, wide, expanding, size, learns)
        return (
            expand.times(wide != in_channels)
            + depthwise(wide, chosen["kernel"], end, learns)
            + squeeze_excite(wide).times(chosen["squeeze_excite"])
            + pointwise(wide, channels, Mixed.of(chosen, wide, channels), end)
        )

    def pattern(self, in_channels: int) -> str:
        if self.expanded == in_channels:
            return f"-/{short_fusion(self.fusion)}"
        return TwoFusionsBlock.pattern(self, in_channels)
