"""The unit of ShuffleNetV2 (arXiv:1807.11164)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from bft_nas.network.blocks._block import UNUSED
from bft_nas.network.blocks._counts import Count, Mixed, depthwise, pointwise, squeeze_excite
from bft_nas.network.blocks._one_fusion import OneFusionBlock
from bft_nas.network.layer import Array, Layer, halved, squeezing


@dataclass(frozen=True, slots=True)
class ShuffleBlock(OneFusionBlock):
    """Half of the channels pass by a branch of three layers; with a stride, all enter two branches.

    A squeeze-excite by choice stands where ESNet has it (arXiv:2111.00902).
    """

    kind = "shuffle"
    parts: ClassVar = {
        "shortcut_depthwise": "shortcut depthwise",
        "shortcut_pointwise": "shortcut pointwise",
        "expand": "expand",
        "depthwise": "depthwise",
        "se.reduce": "squeeze-excite reduce",
        "se.expand": "squeeze-excite expand",
        "project": "project",
    }
    # A stage begins with the unit of two branches, which is the one that may change widths.
    first_stride = (lambda value: value == 2 and isinstance(value, int), "2")
    unused = UNUSED

    @classmethod
    def fused(cls, in_channels: Any, channels: Any, stride: int) -> tuple[Any, ...]:
        half = channels // 2
        return (half,) if stride == 1 else (in_channels, half)

    @classmethod
    def excited(cls, in_channels: Any, channels: Any) -> Any:
        return channels // 2

    def check(self, where: str, in_channels: int) -> None:
        OneFusionBlock.check(self, where, in_channels)
        if self.channels % 2:
            raise ValueError(f"{where}.channels: a shuffle block needs an even number, got {self.channels}")
        if self.stride == 1 and self.channels != in_channels:
            raise ValueError(
                f"{where}.channels: a shuffle block of stride 1 keeps its {in_channels} channels"
            )

    def layers(self, in_channels: int, size: int) -> Iterator[Layer]:
        half, kernel, fusion = self.channels // 2, self.kernel, self.fusion
        end = halved(size, self.stride)
        entering, held = half, half * size**2
        if self.stride > 1:
            whole = in_channels * size**2
            entering, held = in_channels, half * end**2
            yield Layer(
                "shortcut_depthwise",
                in_channels,
                in_channels,
                end,
                kernel,
                in_channels,
                affine=2,
                in_size=size,
            )
            yield Layer(
                *("shortcut_pointwise", in_channels, half, end),
                fusion=fusion, affine=self.activated, in_size=end, held=whole,
            )  # fmt: skip
        yield Layer(
            "expand", entering, half, size, fusion=fusion, affine=self.activated, in_size=size, held=held
        )
        yield Layer("depthwise", half, half, end, kernel, half, affine=2, in_size=size, held=held)
        yield from squeezing(half, self.squeeze, half * end**2 + held)
        yield Layer("project", half, half, end, fusion=fusion, affine=self.activated, in_size=end, held=held)

    @classmethod
    def counts(
        cls, chosen: Mapping[str, Array], in_channels: Array, channels: Array, stride: int, size: Array
    ) -> Count:
        half, end, kernel = channels // 2, halved(size, stride), chosen["kernel"]
        mixed, learns = Mixed.of(chosen, *cls.fused(in_channels, channels, stride)), chosen["learned"]
        branch = (
            depthwise(half, kernel, end)
            + squeeze_excite(half).times(chosen["squeeze_excite"])
            + pointwise(half, half, mixed, end, learns)
        )
        if stride == 1:
            return pointwise(half, half, mixed, size, learns) + branch
        shortcut = depthwise(in_channels, kernel, end) + pointwise(in_channels, half, mixed, end, learns)
        return shortcut + pointwise(in_channels, half, mixed, size, learns) + branch
