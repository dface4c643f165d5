"""The networks that a front is compared with, as architectures. Needs no torch.

Tables are those of the networks' papers and authors' code; widths are rounded as there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bft_nas.network.architecture import DENSE, Activation, Architecture, Block, Head, Stem, butterfly_fusion

PAPER_RADIX = 4
"""Of the butterfly networks of Alizadeh-Vahid et al. (CVPR 2020)."""


def divisible(channels: float, divisor: int = 8) -> int:
    """The multiple of ``divisor`` nearest to a channel count, not below 90 % of it (MobileNetV2's code).

    >>> divisible(11), divisible(12), divisible(20)
    (16, 16, 24)
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor


@dataclass(frozen=True)
class _Row:
    """Repeated inverted residuals; a stride is the first one's, and a squeeze is a part of the block's input."""

    expansion: int
    channels: int
    repeats: int = 1
    stride: int = 1
    kernel: int = 3
    squeeze: float = 0.0


def _mobilenet_v1(width: float, fusion: str) -> tuple[Stem, list[Block], Head]:
    table = (
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        *((512, 1),) * 5,
        (1024, 2),
        (1024, 1),
    )
    blocks = [
        Block("separable", divisible(channels * width), stride=stride, fusion=fusion)
        for channels, stride in table
    ]
    return Stem(divisible(32 * width)), blocks, Head()


def _inverted(rows: tuple[_Row, ...], width: float, channels: int) -> Iterator[Block]:
    for row in rows:
        for i in range(row.repeats):
            out, stride = divisible(row.channels * width), row.stride if i == 0 else 1
            if row.expansion == 0:
                yield Block("separable", out, row.kernel, stride)
            else:
                squeeze = max(1, int(row.squeeze * channels)) if row.squeeze else 0
                expanded = row.expansion * channels
                yield Block("inverted", out, row.kernel, stride, expanded=expanded, squeeze=squeeze)
            channels = out


def _mobilenet_v2(width: float, fusion: str) -> tuple[Stem, list[Block], Head]:
    rows = (
        _Row(1, 16),
        _Row(6, 24, 2, 2),
        _Row(6, 32, 3, 2),
        _Row(6, 64, 4, 2),
        _Row(6, 96, 3),
        _Row(6, 160, 3, 2),
        _Row(6, 320),
    )
    stem = Stem(divisible(32 * width))
    return stem, list(_inverted(rows, width, stem.channels)), Head(divisible(1280 * max(1.0, width)))


# Kernel, expanded and output channels, whether squeeze-excite, whether hard-swish, stride.
_V3_SMALL = (
    (3, 16, 16, 1, 0, 2),
    (3, 72, 24, 0, 0, 2),
    (3, 88, 24, 0, 0, 1),
    (5, 96, 40, 1, 1, 2),
    (5, 240, 40, 1, 1, 1),
    (5, 240, 40, 1, 1, 1),
    (5, 120, 48, 1, 1, 1),
    (5, 144, 48, 1, 1, 1),
    (5, 288, 96, 1, 1, 2),
    (5, 576, 96, 1, 1, 1),
    (5, 576, 96, 1, 1, 1),
)
_V3_LARGE = (
    (3, 16, 16, 0, 0, 1),
    (3, 64, 24, 0, 0, 2),
    (3, 72, 24, 0, 0, 1),
    (5, 72, 40, 1, 0, 2),
    (5, 120, 40, 1, 0, 1),
    (5, 120, 40, 1, 0, 1),
    (3, 240, 80, 0, 1, 2),
    (3, 200, 80, 0, 1, 1),
    (3, 184, 80, 0, 1, 1),
    (3, 184, 80, 0, 1, 1),
    (3, 480, 112, 1, 1, 1),
    (3, 672, 112, 1, 1, 1),
    (5, 672, 160, 1, 1, 2),
    (5, 960, 160, 1, 1, 1),
    (5, 960, 160, 1, 1, 1),
)


def _mobilenet_v3(
    table: tuple[tuple[int, int, int, int, int, int], ...], hidden: int
) -> Callable[[float, str], tuple[Stem, list[Block], Head]]:
    def build(width: float, fusion: str) -> tuple[Stem, list[Block], Head]:
        stem = Stem(divisible(16 * width), activation="hard_swish")
        channels, blocks = stem.channels, []
        for kernel, expanded, out, squeezes, hard, stride in table:
            wide = divisible(expanded * width)
            activation: Activation = "hard_swish" if hard else "relu"
            blocks.append(
                Block(
                    "inverted",
                    divisible(out * width),
                    kernel,
                    stride,
                    activation,
                    fusion=fusion,
                    expanded=wide,
                    expand_fusion=fusion if wide != channels else DENSE,
                    squeeze=divisible(wide / 4) if squeezes else 0,
                )
            )
            channels = blocks[-1].channels
        # The hidden layer keeps its size when the network shrinks, as in the authors' code.
        head = Head(
            divisible(6 * channels), fusion, divisible(hidden * max(1.0, width)), activation="hard_swish"
        )
        return stem, blocks, head

    return build


# Stage widths and the width of the last layer, by width multiplier (arXiv:1807.11164, table 5).
_SHUFFLE_WIDTHS = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}


def _shufflenet_v2(width: float, fusion: str) -> tuple[Stem, list[Block], Head]:
    widths = _SHUFFLE_WIDTHS.get(width) or (
        *(round(stage * width / 2) * 2 for stage in (116, 232, 464)),
        1024,
    )
    blocks = [
        Block("shuffle", channels, stride=2 if i == 0 else 1, fusion=fusion)
        for channels, repeats in zip(widths, (4, 8, 4), strict=False)
        for i in range(repeats)
    ]
    return Stem(24, pool=True), blocks, Head(widths[3], fusion)


def _mnasnet(rows: tuple[_Row, ...]) -> Callable[[float, str], tuple[Stem, list[Block], Head]]:
    def build(width: float, fusion: str) -> tuple[Stem, list[Block], Head]:
        first = Stem(divisible(32 * width))
        return first, list(_inverted(rows, width, first.channels)), Head(1280)

    return build


_A1 = (
    _Row(0, 16),
    _Row(6, 24, 2, 2),
    _Row(3, 40, 3, 2, 5, 0.25),
    _Row(6, 80, 4, 2),
    _Row(6, 112, 2, 1, 3, 0.25),
    _Row(6, 160, 3, 2, 5, 0.25),
    _Row(6, 320),
)
_B1 = (
    _Row(0, 16),
    _Row(3, 24, 3, 2),
    _Row(3, 40, 3, 2, 5),
    _Row(6, 80, 3, 2, 5),
    _Row(6, 96, 2),
    _Row(6, 192, 4, 2, 5),
    _Row(6, 320),
)

_NETWORKS: dict[str, tuple[str, Callable[[float, str], tuple[Stem, list[Block], Head]]]] = {
    "mobilenet_v1": ("mobilenet_v1", _mobilenet_v1),
    "mobilenet_v2": ("mobilenet_v2", _mobilenet_v2),
    "mobilenet_v3_small": ("mobilenet_v3", _mobilenet_v3(_V3_SMALL, 1024)),
    "mobilenet_v3_large": ("mobilenet_v3", _mobilenet_v3(_V3_LARGE, 1280)),
    "shufflenet_v2": ("shufflenet_v2", _shufflenet_v2),
    "mnasnet_a1": ("mnasnet", _mnasnet(_A1)),
    "mnasnet_b1": ("mnasnet", _mnasnet(_B1)),
}
_WITH_BUTTERFLIES = ("mobilenet_v1", "mobilenet_v3_small")
REFERENCES = (*_NETWORKS, *(f"{name}_bft" for name in _WITH_BUTTERFLIES))
"""Names that `reference` knows; ``_bft``: with butterfly transforms of radix 4 as in the paper."""


def reference(name: str, *, width: float = 1.0, resolution: int = 224, classes: int = 1000) -> Architecture:
    """A comparison network by name, with a width multiplier.

    Raises ValueError when there is no network of that name.

    >>> from bft_nas.network import cost
    >>> round(cost(reference("mobilenet_v3_small")).macs / 1e6, 1)
    56.5
    """
    if name not in REFERENCES:
        raise ValueError(f"there is no reference {name!r}; expected one of {', '.join(REFERENCES)}")
    fusion = butterfly_fusion(PAPER_RADIX) if name.endswith("_bft") else DENSE
    family, build = _NETWORKS[name.removesuffix("_bft")]
    stem, blocks, head = build(width, fusion)
    return Architecture(family, resolution, stem, tuple(blocks), head, classes=classes)
