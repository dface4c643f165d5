"""What short trainings and the long ones tell of trainings at the deployment resolution: a row for each network.

    python benchmarks/table/deployed.py

``full`` is 2 epochs of 40,000 images at the resolution that a network is made for, measured on the images of the long
trainings, which are at a quarter of it. Kendall's tau of each other kind to it, over the networks that have both.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from rows import TRUTH, Table

FULL = "full"
KINDS = ("d6 brief", "d6 fresh confirm", "d3 fresh", "d2 fresh", TRUTH)


def main() -> None:
    """Print the rows, and the taus below them."""
    table = Table("cifar10")

    def accuracy(network: int, kind: str) -> float:
        if kind == TRUTH:
            return table.truth.get(network, np.nan)
        curve = table.curves.get((network, kind, 0))
        return np.nan if curve is None else curve.accuracies[-1]

    numbers = sorted(
        (network for network, kind, seed in table.curves if kind == FULL and seed == 0),
        key=lambda network: -accuracy(network, FULL),
    )
    print(f"| network | MACs | pixels | {FULL} | {' | '.join(KINDS)} |")
    print("|---" * (4 + len(KINDS)) + "|")
    for number in numbers:
        net = table.networks[number]
        name = net.name or f"{net.architecture.family} `{net.architecture.fusion_pattern}`"
        cells = [f"{accuracy(number, kind):.1%}".replace("nan%", "") for kind in (FULL, *KINDS)]
        print(
            f"| {number}: {name} | {net.macs / 1e6:.1f}M | {net.architecture.resolution} | {' | '.join(cells)} |"
        )
    for kind in KINDS:
        found = np.array([(accuracy(number, FULL), accuracy(number, kind)) for number in numbers])
        found = found[~np.isnan(found).any(axis=1)]
        agreed = [np.sign(a[0] - b[0]) * np.sign(a[1] - b[1]) for a, b in combinations(found, 2)]
        if agreed:
            print(f"{kind}: tau to {FULL} {np.mean(agreed):.2f} over {len(found)} networks")


if __name__ == "__main__":
    main()
