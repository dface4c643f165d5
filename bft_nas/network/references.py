"""The networks that a front is compared with, as architectures. Needs no torch.

What was published of their counts is in ``literature/reference_counts.csv``, which tests hold them against.
"""

from __future__ import annotations

import csv
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path

from bft_nas.core.errors import UserError, near, one_line, setting
from bft_nas.core.units import format_macs, format_pixels, in_millions
from bft_nas.network.architecture import Architecture
from bft_nas.network.blocks import Block
from bft_nas.network.cost import cost
from bft_nas.network.fusion import DENSE, butterfly_fusion
from bft_nas.network.known import NETWORKS

PAPER_RADIX = 4
"""Of the butterfly networks of Alizadeh-Vahid et al. (CVPR 2020)."""
COUNTS = Path(__file__).parent / "literature" / "reference_counts.csv"
WIDTHS = tuple(2 ** (step / 128) for step in range(-6 * 128, 4 * 128))
"""Multipliers that `widest` tries, 1/64 to 16; finer ones round to the same channels nearly always."""
BEYOND = 64
"""How many multipliers `widest` tries beyond the first that is too wide: a butterfly's cost dips where a stage is
added."""
SPARE = 0.02
"""Of a budget: what a reference may leave of it."""
FURTHER = 256
"""How many multipliers beyond are looked at for the later layers."""

_WITH_BUTTERFLIES = ("mobilenet_v1", "shufflenet_v2", "mobilenet_v3_small")
REFERENCES = (*NETWORKS, *(f"{name}_bft" for name in _WITH_BUTTERFLIES))
"""Names that `reference` knows; ``_bft``: with butterfly transforms of radix 4 as in the paper."""


def reference(
    name: str, *, width: float = 1.0, resolution: int = 224, classes: int = 1000, in_channels: int = 3
) -> Architecture:
    """A comparison network by name, which is its family too, with a width multiplier.

    Raises ValueError when the multiplier is not above 0, and its kind UserError when there is no network of that name.

    >>> round(cost(reference("mobilenet_v3_small", width=0.75)).macs / 1e6, 1)
    43.4
    """
    if name not in REFERENCES:
        expected = " or ".join(near(name, REFERENCES)) or ", ".join(REFERENCES)
        raise UserError(f"there is no reference '{one_line(name)[:40]}'; expected {expected}")
    if not 0 < width < float("inf"):
        raise ValueError(f"width: expected a multiplier above 0, got {width!r}")
    fusion = butterfly_fusion(PAPER_RADIX) if name.endswith("_bft") else DENSE
    stem, blocks, head = NETWORKS[name.removesuffix("_bft")](width, fusion)
    return Architecture(name, resolution, stem, _staged(blocks), head, classes, in_channels)


def _staged(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Blocks labelled by how often the image was halved before."""
    halvings = accumulate(block.stride == 2 for block in blocks)
    return tuple(replace(block, stage=int(stage)) for block, stage in zip(blocks, halvings, strict=True))


def widest(
    name: str, budget: int, *, resolution: int = 224, classes: int = 1000
) -> tuple[float, Architecture] | None:
    """The largest width multiplier whose network has at most ``budget`` MACs, and that network.

    Widths are rounded to eights, and where many layers step up at once a part of the budget is left. If that is more
    than `SPARE`, the network's later layers are those of a larger multiplier.

    None when the narrowest network has more. Raises ValueError when there is no network of that name.

    >>> width, net = widest("mobilenet_v2", 50_000_000, resolution=160) or (0, None)
    >>> round(width, 2), cost(net).macs <= 50_000_000
    (0.49, True)
    """

    def network(width: float) -> Architecture:
        return reference(name, width=width, resolution=resolution, classes=classes)

    def macs(width: float) -> int:
        return cost(network(width)).macs

    first_beyond = bisect_right(WIDTHS, budget, key=macs)
    fitting = [width for width in WIDTHS[first_beyond : first_beyond + BEYOND] if macs(width) <= budget]
    if first_beyond == 0 and not fitting:
        return None
    width = fitting[-1] if fitting else WIDTHS[first_beyond - 1]
    found = network(width)
    if cost(found).macs >= (1 - SPARE) * budget:
        return width, found
    beyond = WIDTHS.index(width) + 1
    return width, _filled(found, map(network, WIDTHS[beyond : beyond + FURTHER]), budget)


def scaled(budget: int, *, resolution: int) -> dict[str, tuple[float, Architecture] | None]:
    """What `widest` has of each reference.

    Raises:
        UserError: nothing of any, as the budget in MACs is below all of them.
    """
    found = {name: widest(name, budget, resolution=resolution) for name in REFERENCES}
    if not any(found.values()):
        least = min(
            cost(reference(name, width=width, resolution=resolution)).macs
            for name in REFERENCES
            for width in WIDTHS[:BEYOND]
        )
        meant = in_millions(budget, lambda macs: macs >= least)
        raise UserError(
            f"{setting('flops')} {format_macs(budget)}: no reference has a network within it at "
            f"{format_pixels(resolution)}; expected {format_macs(least, up=True)} or more{meant}"
        )
    return found


def _filled(network: Architecture, wider: Iterable[Architecture], budget: int) -> Architecture:
    """A network with later layers of wider ones: the first that leaves no more than `SPARE`, or what leaves least."""
    best, most = network, cost(network).macs
    previous = network
    for other in wider:
        if other == previous:
            continue
        previous = other
        for cut in _cuts(network):
            # The earlier the cut, the more is wider.
            mixed = replace(network, blocks=network.blocks[:cut] + other.blocks[cut:], head=other.head)
            macs = cost(mixed).macs
            if macs > budget:
                continue
            if macs > most:
                best, most = mixed, macs
            if most >= (1 - SPARE) * budget:
                return best
            break
    return best


def _cuts(network: Architecture) -> list[int]:
    """Where blocks have no skip connection over them, and before the head."""
    pairs = pairwise(network.blocks)
    return [i for i, (a, b) in enumerate(pairs, start=1) if a.channels != b.channels or b.stride == 2] + [
        len(network.blocks)
    ]


@dataclass(frozen=True)
class PublishedCount:
    """What was published of a reference's size."""

    name: str
    width: float
    resolution: int
    macs: int
    params: float | None
    """In millions, as printed."""
    source: str


@cache
def published_counts() -> tuple[PublishedCount, ...]:
    """Counts of the references as their papers and authors' code give them."""
    with COUNTS.open(encoding="utf-8", newline="") as file:
        return tuple(
            PublishedCount(
                row["name"],
                float(row["width"]),
                int(row["resolution"]),
                round(float(row["macs_millions"]) * 1e6),
                float(row["params_millions"]) if row["params_millions"] else None,
                row["source"],
            )
            for row in csv.DictReader(file)
        )
