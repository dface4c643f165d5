"""The tables of known networks, as rows of blocks. Needs no torch.

They are those of the networks' papers and authors' code; widths are rounded as there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bft_nas.network.architecture import Head, Stem
from bft_nas.network.blocks import Block
from bft_nas.network.blocks.ghost import GhostBlock
from bft_nas.network.blocks.inverted import InvertedBlock
from bft_nas.network.blocks.residual import ResidualBlock
from bft_nas.network.blocks.separable import SeparableBlock
from bft_nas.network.blocks.shuffle import ShuffleBlock
from bft_nas.network.checks import Activation
from bft_nas.network.fusion import DENSE, Fusion, grouped_fusion
from bft_nas.network.widths import divisible, on_grid

Parts = tuple[Stem, Sequence[Block], Head]
Build = Callable[[float, Fusion], Parts]
"""From a width multiplier and a fusion to the parts of a network."""


def _mobilenet_v1(width: float, fusion: Fusion) -> Parts:
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
    rounded = divisible if fusion == DENSE else on_grid
    blocks = [
        SeparableBlock(rounded(channels * width), stride=stride, fusion=fusion) for channels, stride in table
    ]
    return Stem(rounded(32 * width)), blocks, Head()


@dataclass(frozen=True)
class _Row:
    """Repeated inverted residuals; a stride is the first one's, and a squeeze is a part of the block's input."""

    expansion: int
    """Of the block's input; 0 is a separable block, and 1 has no expanding layer."""
    channels: int
    repeats: int
    stride: int
    kernel: int
    squeeze: float
    groups: int
    """Of the pointwise layers."""


def _rows(table: str) -> tuple[_Row, ...]:
    """Rows between bars, such as ``e6 k5 c24 n2 s2``: expansion, kernel, channels, repeats, stride; ``q`` is the
    squeeze, ``g`` the groups. Kernels are 3, everything else 1 or none if not said."""
    rows = []
    for row in table.split("|"):
        said = dict(re.findall(r"([a-z])([\d.]+)", row))
        whole = {key: int(said.get(key, least)) for key, least in (("n", 1), ("s", 1), ("k", 3), ("g", 1))}
        squeeze = float(said.get("q", 0))
        rows.append(
            _Row(int(said["e"]), int(said["c"]), whole["n"], whole["s"], whole["k"], squeeze, whole["g"])
        )
    return tuple(rows)


def _inverted(table: str, width: float, channels: int) -> Iterator[Block]:
    for row in _rows(table):
        for i in range(row.repeats):
            out, stride = divisible(row.channels * width), row.stride if i == 0 else 1
            if row.expansion == 0:
                yield SeparableBlock(out, row.kernel, stride)
            else:
                fusion = grouped_fusion(row.groups) if row.groups > 1 else DENSE
                yield InvertedBlock(
                    out,
                    row.kernel,
                    stride,
                    fusion=fusion,
                    expanded=row.expansion * channels,
                    expand_fusion=fusion if row.expansion > 1 else DENSE,
                    squeeze=max(1, int(row.squeeze * channels)) if row.squeeze else 0,
                )
            channels = out


def _of_inverted(stem: int, table: str, last: int, *, last_scales: str) -> Build:
    """MobileNetV2, MNasNet and FBNet: ``last_scales`` says when the last layer's width does."""

    def build(width: float, fusion: Fusion) -> Parts:
        first = Stem(divisible(stem * width))
        factor = {"never": 1.0, "wider": max(1.0, width), "always": width}[last_scales]
        return first, list(_inverted(table, width, first.channels)), Head(divisible(last * factor))

    return build


_MOBILENET_V2 = "e1 c16 | e6 c24 n2 s2 | e6 c32 n3 s2 | e6 c64 n4 s2 | e6 c96 n3 | e6 c160 n3 s2 | e6 c320"
_MNASNET_A1 = (
    "e0 c16 | e6 c24 n2 s2 | e3 k5 c40 n3 s2 q.25 | e6 c80 n4 s2 | e6 c112 n2 q.25 | e6 k5 c160 n3 s2 q.25"
    " | e6 c320"
)
_MNASNET_B1 = (
    "e0 c16 | e3 c24 n3 s2 | e3 k5 c40 n3 s2 | e6 k5 c80 n3 s2 | e6 c96 n2 | e6 k5 c192 n4 s2 | e6 c320"
)
_MNASNET_SMALL = (
    "e0 c8 | e3 c16 s2 | e6 c16 n2 s2 | e6 k5 c32 n4 s2 q.25 | e6 c32 n3 q.25"
    " | e6 k5 c88 n3 s2 q.25 | e6 c144"
)
# FBNet's skipped blocks are no rows.
_FBNET_A = (
    "e3 c24 s2 | e1 c24"
    " | e6 k5 c32 s2 | e3 c32 | e1 k5 c32 | e3 c32"
    " | e6 k5 c64 s2 | e3 k5 c64 | e1 k5 c64 g2 | e6 k5 c64"
    " | e6 c112 | e1 k5 c112 g2 | e3 k5 c112 | e1 c112 g2"
    " | e6 k5 c184 s2 | e6 k5 c184 | e3 k5 c184 | e6 k5 c184 | e6 k5 c352"
)
_FBNET_B = (
    "e1 c16 | e6 c24 s2 | e1 k5 c24 | e1 c24 n2"
    " | e6 k5 c32 s2 | e3 k5 c32 | e6 c32 | e6 k5 c32"
    " | e6 k5 c64 s2 | e6 k5 c64 | e3 k5 c64"
    " | e6 k5 c112 | e1 c112 | e1 k5 c112 | e3 k5 c112"
    " | e6 k5 c184 s2 | e1 k5 c184 | e6 k5 c184 n2 | e6 c352"
)
_FBNET_C = (
    "e1 c16 | e6 c24 s2 | e1 c24 n2"
    " | e6 k5 c32 s2 | e3 k5 c32 | e6 k5 c32 | e6 c32"
    " | e6 k5 c64 s2 | e3 k5 c64 | e6 k5 c64 n2"
    " | e6 k5 c112 n3 | e3 k5 c112 | e6 k5 c184 n4 s2 | e6 c352"
)
_FBNET_96 = "e1 c8 | e6 c16 n2 s2 | e6 k5 c16 n2 s2 | e6 k5 c24 s2 | e6 c40 | e6 k5 c72 n2 s2 | e6 k5 c128"


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


def _mobilenet_v3(table: tuple[tuple[int, int, int, int, int, int], ...], hidden: int) -> Build:
    def build(width: float, fusion: Fusion) -> Parts:
        stem = Stem(divisible(16 * width), activation="hard_swish")
        channels, unscaled, blocks = stem.channels, 16, []
        for kernel, expanded, out, squeezes, hard, stride in table:
            # By how much a block expands stays the same; its input was rounded already.
            wide = divisible(channels * expanded / unscaled)
            activation: Activation = "hard_swish" if hard else "relu"
            blocks.append(
                InvertedBlock(
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
            channels, unscaled = blocks[-1].channels, out
        # The hidden layer keeps its size when the network shrinks, as in the authors' code.
        last = divisible(table[-1][1] * width)
        return stem, blocks, Head(last, fusion, divisible(hidden * max(1.0, width)), activation="hard_swish")

    return build


# Stage widths and the width of the last layer, by width multiplier (arXiv:1807.11164, table 5).
_SHUFFLE_WIDTHS = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}
_SHUFFLE_REPEATS = (4, 8, 4)


def _shufflenet_v2(width: float, fusion: Fusion) -> Parts:
    if fusion == DENSE:
        even = (*(max(2, round(stage * width / 2) * 2) for stage in (116, 232, 464)), 1024)
        *stages, last = _SHUFFLE_WIDTHS.get(width, even)
    else:
        # The paper gives 128, 256 and 1024 for a multiplier of 1.25.
        stages, last = [on_grid(stage * width / 1.25) for stage in (128, 256, 1024)], 1024
    blocks = [
        ShuffleBlock(channels, stride=2 if i == 0 else 1, fusion=fusion)
        for channels, repeats in zip(stages, _SHUFFLE_REPEATS, strict=True)
        for i in range(repeats)
    ]
    # Out of the stem's 24 channels the paper's network stays dense.
    blocks[0] = replace(blocks[0], fusion=DENSE)
    return Stem(24, pool=True), blocks, Head(last, fusion)


def _fd_mobilenet(width: float, fusion: Fusion) -> Parts:
    table = ((64, 2), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 4, (1024, 1))
    blocks = [SeparableBlock(divisible(channels * width), stride=stride) for channels, stride in table]
    return Stem(divisible(32 * width)), blocks, Head()


# Kernel, expanded and output channels, whether squeeze-excite, stride (arXiv:1911.11907, table 1).
_GHOSTNET = (
    (3, 16, 16, 0, 1),
    (3, 48, 24, 0, 2),
    (3, 72, 24, 0, 1),
    (5, 72, 40, 1, 2),
    (5, 120, 40, 1, 1),
    (3, 240, 80, 0, 2),
    (3, 200, 80, 0, 1),
    (3, 184, 80, 0, 1),
    (3, 184, 80, 0, 1),
    (3, 480, 112, 1, 1),
    (3, 672, 112, 1, 1),
    (5, 672, 160, 1, 2),
    (5, 960, 160, 0, 1),
    (5, 960, 160, 1, 1),
    (5, 960, 160, 0, 1),
    (5, 960, 160, 1, 1),
)


def _ghostnet(width: float, fusion: Fusion) -> Parts:
    blocks = [
        GhostBlock(
            divisible(channels * width, 4),
            kernel,
            stride,
            expanded=(wide := divisible(expanded * width, 4)),
            squeeze=divisible(wide / 4, 4) if squeezes else 0,
        )
        for kernel, expanded, channels, squeezes, stride in _GHOSTNET
    ]
    return Stem(divisible(16 * width, 4)), blocks, Head(divisible(960 * width, 4), hidden=1280)


# Kernel, output channels, stride, whether squeeze-excite (arXiv:2109.15099, table 1).
_LCNET = (
    (3, 32, 1, 0),
    (3, 64, 2, 0),
    (3, 64, 1, 0),
    (3, 128, 2, 0),
    (3, 128, 1, 0),
    (3, 256, 2, 0),
    *((5, 256, 1, 0),) * 5,
    (5, 512, 2, 1),
    (5, 512, 1, 1),
)


def _lcnet(width: float, fusion: Fusion) -> Parts:
    stem = Stem(divisible(16 * width), activation="hard_swish")
    channels, blocks = stem.channels, []
    for kernel, out, stride, squeezes in _LCNET:
        squeeze = channels // 4 if squeezes else 0
        blocks.append(SeparableBlock(divisible(out * width), kernel, stride, "hard_swish", squeeze=squeeze))
        channels = blocks[-1].channels
    return stem, blocks, Head(hidden=1280, activation="hard_swish")


_EFFICIENTNET = (
    "e1 c16 q.25 | e6 c24 n2 s2 q.25 | e6 k5 c40 n2 s2 q.25 | e6 c80 n3 s2 q.25 | e6 k5 c112 n3 q.25"
    " | e6 k5 c192 n4 s2 q.25 | e6 c320 q.25"
)


def _tinynet(scale: float, depth: float) -> Build:
    """EfficientNet-B0 (arXiv:1905.11946) with a width and a depth of its own (arXiv:2010.14819)."""

    def build(width: float, fusion: Fusion) -> Parts:
        table = re.sub(r"n(\d)", lambda found: f"n{round(int(found[1]) * depth)}", _EFFICIENTNET)
        blocks = _inverted(table, scale * width, 32)
        activated = [replace(block, activation="silu") for block in blocks]
        return Stem(32, activation="silu"), activated, Head(1280, activation="silu")

    return build


def _resnet_8(width: float, fusion: Fusion) -> Parts:
    """That of MLPerf Tiny (arXiv:2106.07597), for images of 32x32."""
    widths = [divisible(channels * width) for channels in (16, 32, 64)]
    blocks = [ResidualBlock(channels, stride=1 if place == 0 else 2) for place, channels in enumerate(widths)]
    return Stem(widths[0], stride=1), blocks, Head()


NETWORKS: Mapping[str, Build] = {
    "mobilenet_v1": _mobilenet_v1,
    "mobilenet_v2": _of_inverted(32, _MOBILENET_V2, 1280, last_scales="wider"),
    "mobilenet_v3_small": _mobilenet_v3(_V3_SMALL, 1024),
    "mobilenet_v3_large": _mobilenet_v3(_V3_LARGE, 1280),
    "shufflenet_v2": _shufflenet_v2,
    "mnasnet_a1": _of_inverted(32, _MNASNET_A1, 1280, last_scales="never"),
    "mnasnet_b1": _of_inverted(32, _MNASNET_B1, 1280, last_scales="never"),
    "mnasnet_small": _of_inverted(8, _MNASNET_SMALL, 1280, last_scales="never"),
    "fbnet_a": _of_inverted(16, _FBNET_A, 1504, last_scales="always"),
    "fbnet_b": _of_inverted(16, _FBNET_B, 1984, last_scales="always"),
    "fbnet_c": _of_inverted(16, _FBNET_C, 1984, last_scales="always"),
    "fbnet_96": _of_inverted(8, _FBNET_96, 1416, last_scales="always"),
    "fd_mobilenet": _fd_mobilenet,
    "ghostnet": _ghostnet,
    "lcnet": _lcnet,
    "tinynet_d": _tinynet(0.54, 0.695),
    "tinynet_e": _tinynet(0.51, 0.6),
    "resnet_8": _resnet_8,
}
