"""The tables of known networks of inverted residuals, a row of text each stage. Needs no torch.

They are those of the networks' papers and authors' code; widths are rounded as there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bft_nas.network.architecture import Head, Stem
from bft_nas.network.blocks import Block
from bft_nas.network.blocks.inverted import InvertedBlock
from bft_nas.network.blocks.separable import SeparableBlock
from bft_nas.network.fusion import DENSE, Fusion, grouped_fusion
from bft_nas.network.widths import divisible

Parts = tuple[Stem, Sequence[Block], Head]
Build = Callable[[float, Fusion], Parts]
"""From a width multiplier and a fusion to the parts of a network."""
Round = Callable[[float], int]
"""From a channel count to one that there is."""


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


def _inverted(table: str, width: float, channels: int, rounded: Round = divisible) -> Iterator[Block]:
    for row in _rows(table):
        for i in range(row.repeats):
            out, stride = rounded(row.channels * width), row.stride if i == 0 else 1
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


def _of_inverted(
    stem: int, table: str, last: int = 0, *, last_scales: str = "always", rounded: Round = divisible
) -> Build:
    """All but TinyNet: ``last_scales`` says when the last layer's width does; 0 leaves that layer out."""

    def build(width: float, fusion: Fusion) -> Parts:
        first = Stem(rounded(stem * width))
        factor = {"never": 1.0, "wider": max(1.0, width), "always": width}[last_scales]
        head = Head(rounded(last * factor) if last else 0)
        return first, list(_inverted(table, width, first.channels, rounded)), head

    return build


def _eights(channels: float) -> int:
    """The multiple of 8 that is not below a channel count, as MIT's code narrows ProxylessNAS."""
    return 8 * math.ceil(channels / 8)


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
# mit-han-lab/proxylessnas: the files proxyless_*.config of han-cai/files, without their skipped blocks.
_PROXYLESSNAS_MOBILE = (
    "e1 c16 | e3 k5 c32 s2 | e3 c32 | e3 k7 c40 s2 | e3 c40 | e3 k5 c40 n2"
    " | e6 k7 c80 s2 | e3 k5 c80 n3 | e6 k5 c96 | e3 k5 c96 n3"
    " | e6 k7 c192 n2 s2 | e3 k7 c192 n2 | e6 k7 c320"
)
_PROXYLESSNAS_CPU = (
    "e1 c24 | e6 c32 s2 | e3 c32 n3 | e6 c48 s2 | e3 c48 n2 | e3 k5 c48"
    " | e6 c88 s2 | e3 c88 | e6 k5 c104 | e3 c104 n3"
    " | e6 k5 c216 s2 | e3 k5 c216 n2 | e3 c216 | e6 k5 c360"
)
# The files mcunet/assets/configs/mcunet-*_imagenet.json of mit-han-lab/tinyml (e899b1b): 10fps, 5fps, 256kb-1mb,
# 320kb-1mb, 512kb-2mb.
_MCUNET_IN0 = (
    "e1 c16 | e4 k5 c16 s2 | e3 c16 | e4 c16 | e5 k7 c24 s2 | e4 k5 c24 | e5 k5 c24"
    " | e5 k7 c48 s2 | e4 k5 c48 | e5 c56 | e4 k5 c56 | e5 c56 | e6 c112 s2 | e4 k5 c112 | e6 c192"
)
_MCUNET_IN1 = (
    "e1 c8 | e4 c16 s2 | e3 c16 | e3 k7 c24 s2 | e5 c24"
    " | e5 c40 s2 | e4 k7 c40 | e4 k5 c48 | e3 c48 | e4 c48 | e5 k7 c96 s2 | e4 k5 c96 n2 | e6 c160"
)
_MCUNET_IN2 = (
    "e1 c8 | e3 k5 c16 s2 | e6 k7 c16 | e5 c16 | e5 k5 c16 | e5 c24 s2 | e6 k7 c24 | e6 k5 c24"
    " | e4 k7 c40 s2 | e5 k5 c40 | e5 c48 | e5 k5 c48 | e4 c48"
    " | e6 k5 c96 s2 | e4 k5 c96 | e3 k5 c96 | e4 c96 | e5 k5 c160"
)
_MCUNET_IN3 = (
    "e1 c8 | e3 k7 c16 s2 | e5 c16 | e5 k7 c16 | e4 k5 c16 | e5 k5 c24 n3 s2"
    " | e5 c40 s2 | e6 k7 c40 | e4 k5 c40 | e5 k5 c48 | e5 k7 c48 | e5 c48"
    " | e6 c96 s2 | e5 k7 c96 | e4 c96 | e5 k7 c160"
)
_MCUNET_IN4 = (
    "e1 c16 | e3 k7 c24 s2 | e5 c24 | e4 k5 c24 | e5 k7 c40 s2 | e4 c40 | e4 k7 c40"
    " | e3 k7 c80 s2 | e3 c80 | e3 k7 c80 | e4 c96 | e3 k5 c96 n2"
    " | e4 k7 c192 s2 | e3 k7 c192 | e3 k5 c192 | e4 k5 c320"
)


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


INVERTED_NETWORKS: Mapping[str, Build] = {
    "mobilenet_v2": _of_inverted(32, _MOBILENET_V2, 1280, last_scales="wider"),
    "mnasnet_a1": _of_inverted(32, _MNASNET_A1, 1280, last_scales="never"),
    "mnasnet_b1": _of_inverted(32, _MNASNET_B1, 1280, last_scales="never"),
    "mnasnet_small": _of_inverted(8, _MNASNET_SMALL, 1280, last_scales="never"),
    "fbnet_a": _of_inverted(16, _FBNET_A, 1504),
    "fbnet_b": _of_inverted(16, _FBNET_B, 1984),
    "fbnet_c": _of_inverted(16, _FBNET_C, 1984),
    "fbnet_96": _of_inverted(8, _FBNET_96, 1416),
    "tinynet_d": _tinynet(0.54, 0.695),
    "tinynet_e": _tinynet(0.51, 0.6),
    "proxylessnas_mobile": _of_inverted(32, _PROXYLESSNAS_MOBILE, 1280, rounded=_eights),
    "proxylessnas_cpu": _of_inverted(40, _PROXYLESSNAS_CPU, 1432, rounded=_eights),
    "mcunet_in0": _of_inverted(24, _MCUNET_IN0),
    "mcunet_in1": _of_inverted(16, _MCUNET_IN1),
    "mcunet_in2": _of_inverted(16, _MCUNET_IN2),
    "mcunet_in3": _of_inverted(16, _MCUNET_IN3),
    "mcunet_in4": _of_inverted(32, _MCUNET_IN4),
}
