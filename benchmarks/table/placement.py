"""What butterflies are worth, family by family: the table's networks of the default space, with and without them.

    python benchmarks/table/placement.py

Least squares over the networks of a family, with 95 % intervals (Student's t). In every column log MACs are equal, and
accuracies are in points. The first table: networks with any butterfly against those that are dense throughout, and the
slope for the share of the fusions' MACs in butterflies, from none to all; then the same slope with depth and log
resolution equal, which were drawn beside the fusions, and with log parameters equal too, which follow from them. The
second: all fusions of a part of the network instead of none, the other parts equal; and all fusions of the network
instead of none by radix. Early, middle and late are thirds of the stages; the head is late. An interval that does not
hold 0 is bold. The last row of each training takes all families together, each with a level of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from networks import Network
from rows import TRUTH, Table

from bft_nas.network import Architecture, Layer, cost
from bft_nas.record.confirmed import Difference
from bft_nas.record.placement import worths

POSITIONS = ("early", "middle", "late")
RADICES = (2, 4, 8, 16)
FIRST = (
    "training",
    "family",
    "networks",
    "without",
    "dense",
    "butterflies",
    "difference",
    "slope of the share",
)
SECOND = (
    "training",
    "family",
    *POSITIONS,
    "late, depth and resolution equal",
    *(f"radix {radix}" for radix in RADICES),
)


@dataclass(frozen=True)
class Row:
    """A network of the table, trained."""

    family: str
    accuracy: float
    macs: int
    share: float
    """Of the fusions' MACs in butterflies."""
    positions: tuple[float, ...]
    """The part of the fusions in each of `POSITIONS` that are butterflies."""
    radices: tuple[float, ...]
    """The part of all fusions that are butterflies of each of `RADICES`."""
    drawn: tuple[float, ...]
    """Depth and log resolution."""
    log_params: float


def rows_of(table: Table, kind: str, budget: int) -> list[Row]:
    """The networks of the space within a budget that were trained in a way."""
    found = []
    for number, network in table.networks.items():
        curve = table.curves.get((number, kind, 0))
        if network.name or network.budget != budget or curve is None:
            continue
        found.append(_row(network, table.truth[number] if kind == TRUTH else curve.accuracies[-1]))
    return found


def _row(network: Network, accuracy: float) -> Row:
    architecture = network.architecture
    counted = cost(architecture)
    fusions = [layer for layer in counted.layers if layer.fusion]
    places = [_position(architecture, layer) for layer in fusions]
    return Row(
        architecture.family,
        accuracy,
        counted.macs,
        counted.butterfly_share,
        tuple(
            fmean(layer.plan is not None for layer, at in zip(fusions, places, strict=True) if at == place)
            for place in range(len(POSITIONS))
        ),
        tuple(
            fmean(layer.fusion is not None and layer.fusion.radix == each for layer in fusions)
            for each in RADICES
        ),
        (float(len(architecture.blocks)), float(np.log(architecture.resolution))),
        float(np.log(counted.params)),
    )


def _position(architecture: Architecture, layer: Layer) -> int:
    first, *rest = layer.name.split(".")
    if first == "head":
        return len(POSITIONS) - 1
    stages = max(block.stage for block in architecture.blocks) + 1
    return len(POSITIONS) * architecture.blocks[int(rest[0])].stage // stages


def found_in(
    rows: Sequence[Row], parts: Sequence[Sequence[float]], *beside: Sequence[float]
) -> list[Difference | None]:
    """What some parts are worth, with what else is to be equal."""
    # Each family but one has a level of its own beside the common one.
    levels = [
        [float(row.family == family) for row in rows] for family in sorted({r.family for r in rows})[1:]
    ]
    return worths([r.accuracy for r in rows], [r.macs for r in rows], parts, [*levels, *beside])


def worth(rows: Sequence[Row], parts: Sequence[Sequence[float]], *beside: Sequence[float]) -> list[str]:
    """The same as cells."""
    return [_cell(each) for each in found_in(rows, parts, *beside)]


def _cell(found: Difference | None) -> str:
    if found is None:
        return "too few"
    text = f"{100 * found.mean:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"
    return f"**{text}**" if found.told_apart else text


def general(rows: Sequence[Row]) -> list[str]:
    """The cells of a family in the first table, after its name."""
    some = [float(row.share > 0) for row in rows]
    share = [row.share for row in rows]
    drawn = list(zip(*(row.drawn for row in rows), strict=True))
    (gap,) = found_in(rows, [some])
    apart = gap.mean if gap else 0.0
    dense = fmean(row.accuracy for row in rows) - apart * fmean(some)
    levels = [f"{100 * each:.1f}" for each in (dense, dense + apart)] if gap else ["", ""]
    return [
        str(len(rows)),
        str(some.count(0.0)),
        *levels,
        _cell(gap),
        *worth(rows, [share]),
        *worth(rows, [share], *drawn),
        *worth(rows, [share], *drawn, [row.log_params for row in rows]),
    ]


def placed(rows: Sequence[Row]) -> list[str]:
    """The cells of a family in the second table, after its name."""
    positions = list(zip(*(row.positions for row in rows), strict=True))
    drawn = zip(*(row.drawn for row in rows), strict=True)
    return [
        *worth(rows, positions),
        worth(rows, positions, *drawn)[-1],
        *worth(rows, list(zip(*(row.radices for row in rows), strict=True))),
    ]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--budget", type=int, default=15_000_000)
    parser.add_argument("--kinds", nargs="+", default=[TRUTH, "d6 brief"])
    options = parser.parse_args()
    table = Table(options.data)
    for headings, cells in (
        ((*FIRST, "depth, resolution equal", "parameters, too"), general),
        (SECOND, placed),
    ):
        print("|", " | ".join(headings), "|")
        print("|" + "---|" * len(headings))
        for kind in options.kinds:
            rows = rows_of(table, kind, options.budget)
            families = sorted({row.family for row in rows})
            for family in families:
                print("|", " | ".join([kind, family, *cells([r for r in rows if r.family == family])]), "|")
            print("|", " | ".join([kind, "all", *cells(rows)]), "|")
        print()


if __name__ == "__main__":
    main()
