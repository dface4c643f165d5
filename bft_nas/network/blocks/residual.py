"""Two full convolutions and a skip: the block of ResNet (arXiv:1512.03385), and of MLPerf Tiny's ResNet-8."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Self

from bft_nas.network.blocks._block import ADDED, Block
from bft_nas.network.blocks._choices import KERNELS, SQUEEZE_EXCITE, Chosen, chosen_fusion, fusion_choices
from bft_nas.network.blocks._counts import Count, Mixed, convolution, pointwise, squeeze_excite
from bft_nas.network.blocks._widths import squeeze_channels
from bft_nas.network.checks import Activation, check_count, check_fusion
from bft_nas.network.fusion import DENSE, Fusion, short_fusion
from bft_nas.network.layer import Array, Layer, halved, squeezing


@dataclass(frozen=True, slots=True)
class ResidualBlock(Block):
    """Two convolutions that mix all channels; where they change the shape, a pointwise layer does so for the skip.

    A squeeze-excite by choice scales what is added to the skip, as in SENet (arXiv:1709.01507).
    """

    kind = "residual"
    parts: ClassVar = {
        "shortcut": "shortcut",
        "first": "first convolution",
        "second": "second convolution",
        "se.reduce": "squeeze-excite reduce",
        "se.expand": "squeeze-excite expand",
    }
    choices = (KERNELS, *fusion_choices(), SQUEEZE_EXCITE)

    fusion: Fusion = DENSE
    """What mixes channels in the shortcut, where there is one."""
    squeeze: int = field(default=0, metadata=ADDED)
    """Channels in the middle of the squeeze-excite; 0 leaves it out."""

    @classmethod
    def chosen(
        cls, chosen: Chosen, in_channels: int, channels: int, stride: int, activation: Activation, stage: int
    ) -> Self:
        changes = stride > 1 or in_channels != channels
        fusion = chosen_fusion(chosen, in_channels, channels) if changes else DENSE
        squeeze = squeeze_channels(channels) if chosen["squeeze_excite"] else 0
        return cls(channels, chosen["kernel"], stride, activation, fusion, squeeze, stage=stage)

    def _changes(self, in_channels: int) -> bool:
        return self.stride > 1 or in_channels != self.channels

    def check(self, where: str, in_channels: int) -> None:
        Block.check(self, where, in_channels)
        check_count(f"{where}.squeeze", self.squeeze, 0)
        shortcut = (in_channels, self.channels) if self._changes(in_channels) else ()
        check_fusion(f"{where}.fusion", self.fusion, *shortcut)

    def layers(self, in_channels: int, size: int) -> Iterator[Layer]:
        out, end = self.channels, halved(size, self.stride)
        skip, changes = out * end**2, self._changes(in_channels)
        if changes:
            # It reads the pixels that the stride leaves; the others are of use to the first convolution.
            unread = in_channels * (size**2 - end**2)
            yield Layer(
                "shortcut", in_channels, out, end, fusion=self.fusion, affine=2, in_size=end, held=unread
            )
        yield Layer(
            *("first", in_channels, out, end, self.kernel),
            affine=self.activated, in_size=size, held=skip if changes else 0,
        )  # fmt: skip
        # The activation behind the sum is counted with it.
        yield Layer("second", out, out, end, self.kernel, affine=self.activated, in_size=end, held=skip)
        yield from squeezing(out, self.squeeze, out * end**2 + skip)

    @classmethod
    def counts(
        cls, chosen: Mapping[str, Array], in_channels: Array, channels: Array, stride: int, size: Array
    ) -> Count:
        end, kernel, learns = halved(size, stride), chosen["kernel"], chosen["learned"]
        changes = (in_channels != channels) | (stride > 1)
        return (
            pointwise(in_channels, channels, Mixed.of(chosen, in_channels, channels), end).times(changes)
            + convolution(in_channels, channels, kernel, end, learns)
            + convolution(channels, channels, kernel, end, learns)
            + squeeze_excite(channels).times(chosen["squeeze_excite"])
        )

    def pattern(self, in_channels: int) -> str:
        return short_fusion(self.fusion) if self._changes(in_channels) else ""
