"""The bottleneck of GhostNet (arXiv:1911.11907): half of the channels of each pointwise layer are cheap copies.

In RepGhost's (arXiv:2211.06088) the copies are added to what they were made of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self, get_args

from bft_nas.network.blocks._block import ADDED, Block
from bft_nas.network.blocks._choices import (
    KERNEL,
    KERNELS,
    SQUEEZE_EXCITE,
    Choice,
    Chosen,
    chosen_fusion,
    fusion_choices,
    member,
)
from bft_nas.network.blocks._counts import Count, Mixed, depthwise, pointwise, squeeze_excite
from bft_nas.network.blocks._two_fusions import EXPANSION, TwoFusionsBlock
from bft_nas.network.blocks._widths import expanded_channels, many_expanded_channels, squeeze_channels
from bft_nas.network.checks import Activation, check_count, check_fusion, check_kernel, check_member
from bft_nas.network.layer import Array, Layer, halved, squeezing

CheapForm = Literal["concatenated", "added"]
CHEAP_FORMS: tuple[str, ...] = get_args(CheapForm)
"""What is done with the copies: they are the other half of the channels, or they are added to all of them."""


@dataclass(frozen=True, slots=True)
class GhostBlock(TwoFusionsBlock):
    """Expand, depthwise where there is a stride, squeeze-excite by choice, project.

    Each pointwise layer makes half of its channels, and a small depthwise layer the other half of these; or, in the
    added form, all of them, to which the small layer's are added, each with a norm of its own: for inference they are
    one layer. Where the shape changes, a depthwise and a dense pointwise layer change that of the skip.
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
        Choice("cheap_form", member(*CHEAP_FORMS), "concatenated"),
    )

    squeeze: int = 0
    """Channels in the middle of the squeeze-excite; 0 leaves it out."""
    cheap_kernel: int = field(default=3, metadata=ADDED)
    """Height and width of the depthwise layers that make the copies."""
    cheap_form: CheapForm = field(default="concatenated", metadata=ADDED)
    """One of `CHEAP_FORMS`."""

    def _made(self, channels: int) -> int:
        """How many of some channels a pointwise layer makes."""
        return channels if self.cheap_form == "added" else channels // 2

    @classmethod
    def chosen(
        cls, chosen: Chosen, in_channels: int, channels: int, stride: int, activation: Activation, stage: int
    ) -> Self:
        expanded = expanded_channels(in_channels, chosen["expansion"])
        parts = 1 if chosen["cheap_form"] == "added" else 2
        return cls(
            channels,
            chosen["kernel"],
            stride,
            activation,
            chosen_fusion(chosen, expanded, channels // parts),
            expanded,
            chosen_fusion(chosen, in_channels, expanded // parts, prefix="expand_"),
            squeeze_channels(expanded) if chosen["squeeze_excite"] else 0,
            chosen["cheap_kernel"],
            chosen["cheap_form"],
            stage=stage,
        )

    def check(self, where: str, in_channels: int) -> None:
        Block.check(self, where, in_channels)
        check_count(f"{where}.expanded", self.expanded, 1)
        check_count(f"{where}.squeeze", self.squeeze, 0)
        check_kernel(f"{where}.cheap_kernel", self.cheap_kernel)
        check_member(f"{where}.cheap_form", self.cheap_form, CHEAP_FORMS)
        for name, count in (("channels", self.channels), ("expanded", self.expanded)):
            if count % 2 and self.cheap_form != "added":
                raise ValueError(f"{where}.{name}: a ghost block needs an even number, got {count}")
        check_fusion(f"{where}.expand_fusion", self.expand_fusion, in_channels, self._made(self.expanded))
        check_fusion(f"{where}.fusion", self.fusion, self.expanded, self._made(self.channels))

    def layers(self, in_channels: int, size: int) -> Iterator[Layer]:
        wide, out, end, cheap = self.expanded, self.channels, halved(size, self.stride), self.cheap_kernel
        # Of the norm of what the copies are added to.
        summed = 2 if self.cheap_form == "added" else 0
        skip = in_channels * size**2
        changes = self.stride > 1 or in_channels != out
        if changes:
            yield Layer(
                *("shortcut_depthwise", in_channels, in_channels, end, self.kernel, in_channels),
                affine=2, in_size=size,
            )  # fmt: skip
            yield Layer("shortcut_pointwise", in_channels, out, end, affine=2, in_size=end, held=skip)
            skip = out * end**2
        made = self._made(wide)
        yield Layer(
            *("expand", in_channels, made, size),
            fusion=self.expand_fusion, affine=self.activated, in_size=size, held=skip if changes else 0,
        )  # fmt: skip
        yield Layer(
            *("expand_cheap", made, made, size, cheap, made),
            affine=self.activated + summed, in_size=size, held=skip,
        )  # fmt: skip
        if self.stride > 1:
            yield Layer("depthwise", wide, wide, end, self.kernel, wide, affine=2, in_size=size, held=skip)
        yield from squeezing(wide, self.squeeze, wide * end**2 + skip)
        made = self._made(out)
        yield Layer("project", wide, made, end, fusion=self.fusion, affine=2, in_size=end, held=skip)
        yield Layer(
            *("project_cheap", made, made, end, cheap, made),
            affine=2 + summed, in_size=end, held=skip,
        )  # fmt: skip

    @classmethod
    def counts(
        cls, chosen: Mapping[str, Array], in_channels: Array, channels: Array, stride: int, size: Array
    ) -> Count:
        import numpy as np

        end, kernel, cheap = halved(size, stride), chosen["kernel"], chosen["cheap_kernel"]
        wide, learns = many_expanded_channels(in_channels, chosen["expansion"]), chosen["learned"]
        dense = Mixed.dense(channels)
        shortcut = depthwise(in_channels, kernel, end) + pointwise(in_channels, channels, dense, end)
        added = chosen["cheap_form"] == "added"
        made, ends = (np.where(added, each, each // 2) for each in (wide, channels))
        expanding = Mixed.of(chosen, in_channels, made, prefix="expand_")
        return (
            shortcut.times((in_channels != channels) | (stride > 1))
            + pointwise(in_channels, made, expanding, size, learns)
            + depthwise(made, cheap, size, learns + 2 * added)
            + depthwise(wide, kernel, end).times(np.full_like(channels, stride > 1))
            + squeeze_excite(wide).times(chosen["squeeze_excite"])
            + pointwise(wide, ends, Mixed.of(chosen, wide, ends), end)
            + depthwise(ends, cheap, end, 2 * added)
        )
