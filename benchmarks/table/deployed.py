"""What short trainings tell of trainings at the deployment resolution: a row for each network, and how they agree.

    python benchmarks/table/deployed.py

``full`` is 2 epochs of 40,000 images at the resolution that a network is made for, measured on the images of the long
trainings, which are at a quarter of it. Kendall's tau of each other kind to it, over the networks that have both: over
all pairs, those of one family and those of two; and of what the same trainings at the deployment resolution show after
their first steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from fidelity import agreement
from networks import Network
from rows import TRUTH, Curve, Table

FULL = "full"
KINDS = (
    "d6 brief",
    "d6 fresh confirm",
    "d3 fresh",
    "d2 once",
    "d2 fresh",
    "d1 b32",
    "d1 once",
    "d1 fresh",
    TRUTH,
)
STEPS = (200, 300, 400, 500, 600)
WINDOW = 100
"""Steps of whose training loss the mean is taken."""


def family_of(net: Network) -> str:
    """Without size and fusions: ``mobilenet_v3`` of ``mobilenet_v3_small_bft``."""
    return "_".join(net.architecture.family.split("_")[:2])


def taus(one: Mapping[int, float], other: Mapping[int, float], families: Mapping[int, str]) -> str:
    """Of all pairs, of those of one family, and of those of two."""
    both = sorted(one.keys() & other.keys())
    pairs = np.array(list(combinations(range(len(both)), 2)))
    agreed = agreement(pairs, *(np.array([each[number] for number in both]) for each in (one, other)))
    akin = np.array([families[both[i]] == families[both[j]] for i, j in pairs])
    groups = (agreed, agreed[akin], agreed[~akin])
    cells = [f"{each.mean():+.2f} ({len(each)})" if len(each) else "" for each in groups]
    return f"{len(both)} | {' | '.join(cells)}"


def loss_at(curve: Curve, step: int) -> float:
    """Minus the mean training loss over the `WINDOW` before a step."""
    losses = [
        loss for at, loss in zip(curve.steps, curve.train_loss, strict=True) if step - WINDOW < at <= step
    ]
    return -float(np.mean(losses))


def main() -> None:
    """Print the rows, and the taus below them."""
    table = Table("cifar10")
    found: dict[str, dict[int, float]] = {TRUTH: dict(table.truth)}
    for (network, kind, seed), curve in table.curves.items():
        if seed == 0 and kind != TRUTH:
            found.setdefault(kind, {})[network] = curve.accuracies[-1]
    full = found[FULL]
    numbers = sorted(full, key=lambda network: -full[network])
    families = {number: family_of(table.networks[number]) for number in numbers}
    print(f"| network | MACs | pixels | {FULL} | {' | '.join(KINDS)} |")
    print("|---" * (4 + len(KINDS)) + "|")
    for number in numbers:
        net = table.networks[number]
        name = net.name or f"{net.architecture.family} `{net.architecture.fusion_pattern}`"
        cells = [
            f"{found[kind][number]:.1%}" if number in found.get(kind, {}) else "" for kind in (FULL, *KINDS)
        ]
        print(
            f"| {number}: {name} | {net.macs / 1e6:.1f}M | {net.architecture.resolution} | {' | '.join(cells)} |"
        )
    print("\n| kind | networks | all pairs | of one family | of two |")
    print("|---|---|---|---|---|")
    for kind in KINDS:
        if known := found.get(kind):
            print(f"| {kind} | {taus(full, {n: known[n] for n in numbers if n in known}, families)} |")
    for step in STEPS:
        losses = {number: loss_at(table.curves[number, FULL, 0], step) for number in numbers}
        print(f"| {FULL}, training loss at step {step} | {taus(full, losses, families)} |")


if __name__ == "__main__":
    main()
