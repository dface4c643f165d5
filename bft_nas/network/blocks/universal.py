"""The universal inverted bottleneck of MobileNetV4 (arXiv:2404.10518): either depthwise layer may be left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Self

from bft_nas.network.blocks._block import ADDED
from bft_nas.network.blocks._choices import (
    KERNEL_OR_NONE,
    SQUEEZE_EXCITE,
    Choice,
    Chosen,
    chosen_fusion,
    fusion_choices,
)
from bft_nas.network.blocks._counts import Count, Mixed, depthwise, pointwise, squeeze_excite
from bft_nas.network.blocks._two_fusions import EXPANSION, TwoFusionsBlock
from bft_nas.network.blocks._widths import expanded_channels, many_expanded_channels, squeeze_channels
from bft_nas.network.checks import Activation, check_count, check_fusion, check_kernel, check_layer
from bft_nas.network.layer import Array, Layer, halved, squeezing


@dataclass(frozen=True, slots=True)
class UniversalBlock(TwoFusionsBlock):
    """Depthwise, expand, depthwise, project: with the second depthwise layer alone it is MobileNetV2's block, with the
    first one alone ConvNeXt's, with none a transformer's feed-forward layer.

    ``kernel`` is that of the second one; 0 leaves it out. The stride is the last one's that there is. A squeeze-excite
    by choice stands before the projection, as in MobileNetV3.
    """

    kind = "universal"
    parts: ClassVar = {
        "start": "first depthwise",
        "expand": "expand",
        "depthwise": "depthwise",
        "se.reduce": "squeeze-excite reduce",
        "se.expand": "squeeze-excite expand",
        "project": "project",
    }
    choices = (
        Choice("start_kernel", KERNEL_OR_NONE, 0, lightens=True),
        Choice("kernel", KERNEL_OR_NONE, 3, lightens=True),
        *fusion_choices(),
        EXPANSION,
        *fusion_choices("expand_"),
        SQUEEZE_EXCITE,
    )

    start_kernel: int = 0
    """Of the depthwise layer before the expansion; 0 leaves it out."""
    squeeze: int = field(default=0, metadata=ADDED)
    """Channels in the middle of the squeeze-excite; 0 leaves it out."""

    @classmethod
    def chosen(
        cls, chosen: Chosen, in_channels: int, channels: int, stride: int, activation: Activation, stage: int
    ) -> Self:
        expanded = expanded_channels(in_channels, chosen["expansion"])
        kernel, start = chosen["kernel"], chosen["start_kernel"]
        return cls(
            channels,
            kernel or (3 if stride > 1 and not start else 0),
            stride,
            activation,
            chosen_fusion(chosen, expanded, channels),
            expanded,
            chosen_fusion(chosen, in_channels, expanded, prefix="expand_"),
            start,
            squeeze_channels(expanded) if chosen["squeeze_excite"] else 0,
            stage=stage,
        )

    def check(self, where: str, in_channels: int) -> None:
        check_layer(where, self.channels, self.stride, self.activation)
        for name, kernel in (("kernel", self.kernel), ("start_kernel", self.start_kernel)):
            if kernel != 0:
                check_kernel(f"{where}.{name}", kernel)
        if self.stride > 1 and not (self.kernel or self.start_kernel):
            raise ValueError(f"{where}.stride: needs a depthwise layer, expected a kernel or a start_kernel")
        check_count(f"{where}.expanded", self.expanded, 1)
        check_count(f"{where}.squeeze", self.squeeze, 0)
        check_fusion(f"{where}.expand_fusion", self.expand_fusion, in_channels, self.expanded)
        check_fusion(f"{where}.fusion", self.fusion, self.expanded, self.channels)

    def layers(self, in_channels: int, size: int) -> Iterator[Layer]:
        wide, out, end = self.expanded, self.channels, halved(size, self.stride)
        middle = size if self.kernel else end
        skip = in_channels * size**2 if self.stride == 1 and in_channels == out else 0
        if self.start_kernel:
            yield Layer(
                *("start", in_channels, in_channels, middle, self.start_kernel, in_channels),
                affine=2, in_size=size,
            )  # fmt: skip
        yield Layer(
            *("expand", in_channels, wide, middle),
            fusion=self.expand_fusion, affine=self.activated, in_size=middle,
            held=skip if self.start_kernel else 0,
        )  # fmt: skip
        if self.kernel:
            yield Layer(
                *("depthwise", wide, wide, end, self.kernel, wide),
                affine=self.activated, in_size=middle, held=skip,
            )  # fmt: skip
        yield from squeezing(wide, self.squeeze, wide * end**2 + skip)
        yield Layer("project", wide, out, end, fusion=self.fusion, affine=2, in_size=end, held=skip)

    @classmethod
    def counts(
        cls, chosen: Mapping[str, Array], in_channels: Array, channels: Array, stride: int, size: Array
    ) -> Count:
        end, start, kernel = halved(size, stride), chosen["start_kernel"], chosen["kernel"]
        if stride > 1:
            kernel = kernel + 3 * ((kernel == 0) & (start == 0))
        middle = size * (kernel > 0) + end * (kernel == 0)
        wide, learns = many_expanded_channels(in_channels, chosen["expansion"]), chosen["learned"]
        expanding = Mixed.of(chosen, in_channels, wide, prefix="expand_")
        return (
            depthwise(in_channels, start, middle).times(start > 0)
            + pointwise(in_channels, wide, expanding, middle, learns)
            + depthwise(wide, kernel, end, learns).times(kernel > 0)
            + squeeze_excite(wide).times(chosen["squeeze_excite"])
            + pointwise(wide, channels, Mixed.of(chosen, wide, channels), end)
        )
