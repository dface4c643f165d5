"""The tables of known networks, as rows of blocks. Needs no torch.

They are those of the networks' papers and authors' code; widths are rounded as there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bft_nas.network.architecture import Head, Stem
from bft_nas.network.blocks import Block
from bft_nas.network.blocks.fused import FusedBlock
from bft_nas.network.blocks.ghost import CheapForm, GhostBlock
from bft_nas.network.blocks.inverted import InvertedBlock
from bft_nas.network.blocks.residual import ResidualBlock
from bft_nas.network.blocks.separable import SeparableBlock
from bft_nas.network.blocks.shuffle import ShuffleBlock
from bft_nas.network.blocks.universal import UniversalBlock
from bft_nas.network.checks import Activation
from bft_nas.network.fusion import DENSE, Fusion
from bft_nas.network.known_inverted import INVERTED_NETWORKS, Build, Parts
from bft_nas.network.widths import divisible, on_grid


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


def _ghostnet(cheap_form: CheapForm) -> Build:
    """GhostNet, or RepGhostNet (arXiv:2211.06088), whose blocks have half of the channels in their middle."""

    def build(width: float, fusion: Fusion) -> Parts:
        blocks = []
        for kernel, expanded, channels, squeezes, stride in _GHOSTNET:
            half = 120 if expanded == 184 else expanded // 2
            wide = divisible((half if cheap_form == "added" else expanded) * width, 4)
            squeeze = divisible(wide / 4, 4) if squeezes else 0
            out = divisible(channels * width, 4)
            blocks.append(
                GhostBlock(out, kernel, stride, expanded=wide, squeeze=squeeze, cheap_form=cheap_form)
            )
        return Stem(divisible(16 * width, 4)), blocks, Head(divisible(960 * width, 4), hidden=1280)

    return build


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


def _resnet_8(width: float, fusion: Fusion) -> Parts:
    """That of MLPerf Tiny (arXiv:2106.07597), for images of 32x32."""
    widths = [divisible(channels * width) for channels in (16, 32, 64)]
    blocks = [ResidualBlock(channels, stride=1 if place == 0 else 2) for place, channels in enumerate(widths)]
    return Stem(widths[0], stride=1), blocks, Head()


# Kernels of the first and second depthwise layer, stride, expansion, output channels (arXiv:2404.10518, as
# MNV4ConvSmall_BLOCK_SPECS in tensorflow/models).
_V4_CONV_SMALL = (
    (5, 5, 2, 3, 96),
    *((0, 3, 1, 2, 96),) * 4,
    (3, 0, 1, 4, 96),
    (3, 3, 2, 6, 128),
    (5, 5, 1, 4, 128),
    (0, 5, 1, 4, 128),
    (0, 5, 1, 3, 128),
    *((0, 3, 1, 4, 128),) * 2,
)


def _mobilenet_v4_conv_small(width: float, fusion: Fusion) -> Parts:
    # Narrower than in the paper it is timm's, whose stem stays as wide; the hidden layer stays in any.
    first, second, channels = (divisible(count * width) for count in (32, 96, 64))
    blocks: list[Block] = [
        FusedBlock(first, stride=2, expanded=first, linear=False),
        FusedBlock(channels, stride=2, expanded=second, linear=False),
    ]
    for start, kernel, stride, expansion, out in _V4_CONV_SMALL:
        expanded = divisible(channels * expansion)
        channels = divisible(out * width)
        blocks.append(UniversalBlock(channels, kernel, stride, expanded=expanded, start_kernel=start))
    return Stem(divisible(32 * max(1.0, width))), blocks, Head(divisible(960 * width), hidden=1280)


NETWORKS: Mapping[str, Build] = {
    "mobilenet_v1": _mobilenet_v1,
    **INVERTED_NETWORKS,
    "mobilenet_v3_small": _mobilenet_v3(_V3_SMALL, 1024),
    "mobilenet_v3_large": _mobilenet_v3(_V3_LARGE, 1280),
    "mobilenet_v4_conv_small": _mobilenet_v4_conv_small,
    "shufflenet_v2": _shufflenet_v2,
    "fd_mobilenet": _fd_mobilenet,
    "ghostnet": _ghostnet("concatenated"),
    "repghostnet": _ghostnet("added"),
    "lcnet": _lcnet,
    "resnet_8": _resnet_8,
}
