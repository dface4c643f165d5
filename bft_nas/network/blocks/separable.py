"""Depthwise, pointwise: the block of MobileNetV1 (arXiv:1704.04861)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self, get_args

from bft_nas.network.blocks._block import ADDED, UNUSED
from bft_nas.network.blocks._choices import Choice, Chosen, member
from bft_nas.network.blocks._counts import Count, Mixed, depthwise, pointwise, squeeze_excite
from bft_nas.network.blocks._one_fusion import OneFusionBlock
from bft_nas.network.checks import Activation, check_member
from bft_nas.network.layer import Array, Layer, halved, squeezing

DepthwiseForm = Literal["activated", "linear", "residual"]
DEPTHWISE_FORMS: tuple[str, ...] = get_args(DepthwiseForm)
"""What follows the depthwise layer's norm: the activation, nothing, or the activation and a sum with the layer's input
(ConvMixer, arXiv:2201.09792)."""


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
    choices = (*OneFusionBlock.choices, Choice("depthwise_form", member(*DEPTHWISE_FORMS), "activated"))
    unused = UNUSED

    depthwise_form: DepthwiseForm = field(default="activated", metadata=ADDED)
    """One of `DEPTHWISE_FORMS`."""

    @classmethod
    def chosen(
        cls, chosen: Chosen, in_channels: int, channels: int, stride: int, activation: Activation, stage: int
    ) -> Self:
        row = super(SeparableBlock, cls).chosen(chosen, in_channels, channels, stride, activation, stage)
        form: DepthwiseForm = chosen["depthwise_form"]
        if form == "residual" and stride > 1:
            # There is no input of that size to add.
            form = "activated"
        return row if form == row.depthwise_form else replace(row, depthwise_form=form)

    def check(self, where: str, in_channels: int) -> None:
        OneFusionBlock.check(self, where, in_channels)
        check_member(f"{where}.depthwise_form", self.depthwise_form, DEPTHWISE_FORMS)
        if self.depthwise_form == "residual" and self.stride > 1:
            raise ValueError(f"{where}.depthwise_form: residual needs a stride of 1, got {self.stride}")

    @classmethod
    def fused(cls, in_channels: Any, channels: Any, stride: int) -> tuple[Any, ...]:
        return in_channels, channels

    @classmethod
    def excited(cls, in_channels: Any, channels: Any) -> Any:
        return in_channels

    def layers(self, in_channels: int, size: int) -> Iterator[Layer]:
        end = halved(size, self.stride)
        yield Layer(
            *("depthwise", in_channels, in_channels, end, self.kernel, in_channels),
            affine=2 if self.depthwise_form == "linear" else self.activated, in_size=size,
        )  # fmt: skip
        yield from squeezing(in_channels, self.squeeze, in_channels * end**2)
        yield Layer(
            "pointwise",
            in_channels,
            self.channels,
            end,
            fusion=self.fusion,
            affine=self.activated,
            in_size=end,
        )

    @classmethod
    def counts(
        cls, chosen: Mapping[str, Array], in_channels: Array, channels: Array, stride: int, size: Array
    ) -> Count:
        end = halved(size, stride)
        mixed, learns = Mixed.of(chosen, in_channels, channels), chosen["learned"]
        return (
            depthwise(in_channels, chosen["kernel"], end, learns * (chosen["depthwise_form"] != "linear"))
            + squeeze_excite(in_channels).times(chosen["squeeze_excite"])
            + pointwise(in_channels, channels, mixed, end, learns)
        )
