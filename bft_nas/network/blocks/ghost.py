"""The bottleneck of GhostNet (arXiv:1911.11907): half of the channels of each pointwise layer are cheap copies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Self

from bft_nas.network.blocks._block import ADDED, Block
from bft_nas.network.blocks._choices import (
    KERNEL,
    KERNELS,
    SQUEEZE_EXCITE,
    Choice,
    Chosen,
    chosen_fusion,
    fusion_choices,
)
from bft_nas.network.blocks._counts import Count, Mixed, depthwise, pointwise, squeeze_excite
from bft_nas.network.blocks._two_fusions import EXPANSION, TwoFusionsBlock
from bft_nas.network.blocks._widths import expanded_channels, many_expanded_channels, squeeze_channels
from bft_nas.network.checks import Activation, check_count, check_fusion, check_kernel
from bft_nas.network.layer import Array, Layer, halved, squeezing


@dataclass(frozen=True, slots=True)
class GhostBlock(TwoFusionsBlock):
    """Expand, depthwise where there is a stride, squeeze-excite by choice, project.

    Each pointwise layer makes half of its channels, and a small depthwise layer the other half of these. Where the
    shape changes, a depthwise and a dense pointwise layer change that of the skip.
    """

    kind = "ghost"
    parts: ClassVar = {
        "shortcut_depthwise": "shortcut depthwise",
        "shortcut_pointwise": "shortcut pointwise",
        "expand": "expand",
        "expand_cheap": "expand, cheap half",
        "depthwise": "depthwise",
        "se.reduce": "squeeze-excite reduce",
        "se.expand": "squeeze-excite expand",
        "project": "project",
        "project_cheap": "project, cheap half",
    }
    choices = (
        KERNELS,
        *fusion_choices(),
        EXPANSION,
        SQUEEZE_EXCITE,
        *fusion_choices("expand_"),
        Choice("cheap_kernel", KERNEL, 3, lightens=True),
    )

    squeeze: int = 0
    """Channels in the middle of the squeeze-excite; 0 leaves it out."""
    cheap_kernel: int = field(default=3, metadata=ADDED)
    """Height and width of the depthwise layers that make the copies."""

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
            chosen_fusion(chosen, expanded, channels // 2),
            expanded,
            chosen_fusion(chosen, in_channels, expanded // 2, prefix="expand_"),
            squeeze_channels(expanded) if chosen["squeeze_excite"] else 0,
            chosen["cheap_kernel"],
            stage=stage,
        )

    def check(self, where: str, in_channels: int) -> None:
        Block.check(self, where, in_channels)
        check_count(f"{where}.expanded", self.expanded, 1)
        check_count(f"{where}.squeeze", self.squeeze, 0)
        check_kernel(f"{where}.cheap_kernel", self.cheap_kernel)
        for name, count in (("channels", self.channels), ("expanded", self.expanded)):
            if count % 2:
                raise ValueError(f"{where}.{name}: a ghost block needs an even number, got {count}")
        check_fusion(f"{where}.expand_fusion", self.expand_fusion, in_channels, self.expanded // 2)
        check_fusion(f"{where}.fusion", self.fusion, self.expanded, self.channels // 2)

    def layers(self, in_channels: int, size: int) -> Iterator[Layer]:
        wide, out, end, cheap = self.expanded, self.channels, halved(size, self.stride), self.cheap_kernel
        skip = in_channels * size**2
        if self.stride > 1 or in_channels != out:
            yield Layer(
                *("shortcut_depthwise", in_channels, in_channels, end, self.kernel, in_channels),
                affine=2, in_size=size, held=skip,
            )  # fmt: skip
            yield Layer("shortcut_pointwise", in_channels, out, end, affine=2, in_size=end, held=skip)
            skip = out * end**2
        half = wide // 2
        yield Layer(
            *("expand", in_channels, half, size),
            fusion=self.expand_fusion, affine=self.activated, in_size=size, held=skip,
        )  # fmt: skip
        yield Layer(
            *("expand_cheap", half, half, size, cheap, half),
            affine=self.activated, in_size=size, held=skip,
        )  # fmt: skip
        if self.stride > 1:
            yield Layer("depthwise", wide, wide, end, self.kernel, wide, affine=2, in_size=size, held=skip)
        yield from squeezing(wide, self.squeeze, wide * end**2 + skip)
        half = out // 2
        yield Layer("project", wide, half, end, fusion=self.fusion, affine=2, in_size=end, held=skip)
        yield Layer("project_cheap", half, half, end, cheap, half, affine=2, in_size=end, held=skip)

    @classmethod
    def counts(
        cls, chosen: Mapping[str, Array], in_channels: Array, channels: Array, stride: int, size: Array
    ) -> Count:
        import numpy as np

        end, kernel, cheap = halved(size, stride), chosen["kernel"], chosen["cheap_kernel"]
        wide, learns = many_expanded_channels(in_channels, chosen["expansion"]), chosen["learned"]
        dense = Mixed.dense(channels)
        shortcut = depthwise(in_channels, kernel, end) + pointwise(in_channels, channels, dense, end)
        expanding = Mixed.of(chosen, in_channels, wide // 2, prefix="expand_")
        return (
            shortcut.times((in_channels != channels) | (stride > 1))
            + pointwise(in_channels, wide // 2, expanding, size, learns)
            + depthwise(wide // 2, cheap, size, learns)
            + depthwise(wide, kernel, end).times(np.full_like(channels, stride > 1))
            + squeeze_excite(wide).times(chosen["squeeze_excite"])
            + pointwise(wide, channels // 2, Mixed.of(chosen, wide, channels // 2), end)
            + depthwise(channels // 2, cheap, end)
        )
