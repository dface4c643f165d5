"""A full convolution that expands, and a projection: FusedMBConv (arXiv:2003.02838, arXiv:2104.00298), and the rows of
convolutions that MobileNetV4 begins with (arXiv:2404.10518)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Self

from bft_nas.network.blocks._block import ADDED, Block
from bft_nas.network.blocks._choices import (
    KERNELS,
    SQUEEZE_EXCITE,
    YES_OR_NO,
    Choice,
    Chosen,
    chosen_fusion,
    fusion_choices,
)
from bft_nas.network.blocks._counts import Count, Mixed, convolution, pointwise, squeeze_excite
from bft_nas.network.blocks._two_fusions import EXPANSION
from bft_nas.network.blocks._widths import expanded_channels, many_expanded_channels, squeeze_channels
from bft_nas.network.checks import Activation, check_count, check_flag, check_fusion
from bft_nas.network.fusion import DENSE, Fusion, short_fusion
from bft_nas.network.layer import Array, Layer, halved, squeezing


@dataclass(frozen=True, slots=True)
class FusedBlock(Block):
    """An inverted residual whose expansion and depthwise layer are one convolution that mixes all channels."""

    kind = "fused"
    parts: ClassVar = {
        "expand": "expanding convolution",
        "se.reduce": "squeeze-excite reduce",
        "se.expand": "squeeze-excite expand",
        "project": "project",
    }
    choices = (KERNELS, *fusion_choices(), EXPANSION, Choice("linear", YES_OR_NO, True), SQUEEZE_EXCITE)

    fusion: Fusion = DENSE
    """What mixes channels in the projection."""
    expanded: int = 0
    """Channels between convolution and projection."""
    linear: bool = True
    """Whether the projection is not activated; MobileNetV4-Conv-Small activates it, and has no skip over it."""
    squeeze: int = field(default=0, metadata=ADDED)
    """Channels in the middle of the squeeze-excite; 0 leaves it out."""

    @classmethod
    def chosen(
        cls, chosen: Chosen, in_channels: int, channels: int, stride: int, activation: Activation, stage: int
    ) -> Self:
        expanded = expanded_channels(in_channels, chosen["expansion"])
        fusion = chosen_fusion(chosen, expanded, channels)
        return cls(
            channels,
            chosen["kernel"],
            stride,
            activation,
            fusion,
            expanded,
            chosen["linear"],
            squeeze_channels(expanded) if chosen["squeeze_excite"] else 0,
            stage=stage,
        )

    def check(self, where: str, in_channels: int) -> None:
        Block.check(self, where, in_channels)
        check_count(f"{where}.expanded", self.expanded, 1)
        check_flag(f"{where}.linear", self.linear)
        check_count(f"{where}.squeeze", self.squeeze, 0)
        check_fusion(f"{where}.fusion", self.fusion, self.expanded, self.channels)

    def layers(self, in_channels: int, size: int) -> Iterator[Layer]:
        wide, out, end = self.expanded, self.channels, halved(size, self.stride)
        skips = self.linear and self.stride == 1 and in_channels == out
        held = in_channels * size**2 if skips else 0
        yield Layer("expand", in_channels, wide, end, self.kernel, affine=self.activated, in_size=size)
        yield from squeezing(wide, self.squeeze, wide * end**2 + held)
        yield Layer(
            *("project", wide, out, end),
            fusion=self.fusion, affine=2 if self.linear else self.activated, in_size=end, held=held,
        )  # fmt: skip

    @classmethod
    def counts(
        cls, chosen: Mapping[str, Array], in_channels: Array, channels: Array, stride: int, size: Array
    ) -> Count:
        end, learns = halved(size, stride), chosen["learned"]
        wide = many_expanded_channels(in_channels, chosen["expansion"])
        mixed = Mixed.of(chosen, wide, channels)
        return (
            convolution(in_channels, wide, chosen["kernel"], end, learns)
            + squeeze_excite(wide).times(chosen["squeeze_excite"])
            + pointwise(wide, channels, mixed, end, learns * (chosen["linear"] == 0))
        )

    def pattern(self, in_channels: int) -> str:
        return short_fusion(self.fusion)
