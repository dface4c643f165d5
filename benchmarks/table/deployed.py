"""What short trainings tell of trainings at the deployment resolution: a row for each network, and how they agree.

    python benchmarks/table/deployed.py

``full`` is 2 epochs of 40,000 images at the resolution that a network is made for, measured on the images of the long
trainings, which are at a quarter of it. Kendall's tau of each other kind to it, over the networks that have both: over
all pairs, those of one family and those of two; and of what the same trainings at the deployment resolution show after
their first steps. *end* is what a training of the proof has, six epochs of 45,000 images with augmentation, on its
validation images; and how the kinds agree with that.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from fidelity import agreement
from networks import Network, budget_of, read_proof
from rows import TRUTH, Curve, Table

FULL, END = "full", "end"
ENDED, SEARCHED = "augmented-15M", "cifar10-15M"
"""Tasks of the proof: whose trainings are an *end*, and whose searches found what was trained."""
KINDS = (
    "full crop",
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


def ends(networks: Mapping[int, Network]) -> dict[int, float]:
    """Validation accuracy at the end of the proof's trainings, the mean over seeds, of winners and references."""
    numbers = {(network.name, network.budget): number for number, network in networks.items()}
    found: dict[int, list[float]] = {}
    for row in read_proof():
        if "last" in row and row["task"] == ENDED:
            searched = row["searched"]
            name = row["contestant"] if searched is None else f"{SEARCHED}-{row['contestant']}-{searched}"
            number = numbers.get((name, budget_of(row["task"])))
            if number is not None:
                found.setdefault(number, []).append(row["last"]["accuracy"])
    return {number: float(np.mean(each)) for number, each in found.items()}


def print_taus(
    truth: Mapping[int, float], kinds: Mapping[str, Mapping[int, float]], families: Mapping[int, str]
) -> None:
    """A row for each kind that has two networks of the truth or more."""
    print("\n| kind | networks | all pairs | of one family | of two |")
    print("|---|---|---|---|---|")
    for kind, known in kinds.items():
        if len(known.keys() & truth.keys()) > 1:
            print(f"| {kind} | {taus(truth, known, families)} |")


def main() -> None:
    """Print the rows, and the taus below them."""
    table = Table("cifar10")
    found: dict[str, dict[int, float]] = {TRUTH: dict(table.truth)}
    for (network, kind, seed), curve in table.curves.items():
        if seed == 0 and kind != TRUTH:
            found.setdefault(kind, {})[network] = curve.accuracies[-1]
    found[END] = ends(table.networks)
    full = found[FULL]
    # Two searches may have found one network.
    first_of = {
        table.networks[n].architecture.hash: n for n in sorted(full.keys() | found[END].keys(), reverse=True)
    }
    numbers = sorted(first_of.values(), key=lambda n: (-found[END].get(n, 0), -full.get(n, 0)))
    families = {number: family_of(table.networks[number]) for number in numbers}
    columns = (END, FULL, *KINDS)
    print(f"| network | MACs | pixels | {' | '.join(columns)} |")
    print("|---" * (3 + len(columns)) + "|")
    for number in numbers:
        net = table.networks[number]
        name = net.name or f"{net.architecture.family} `{net.architecture.fusion_pattern}`"
        cells = [f"{found[kind][number]:.1%}" if number in found.get(kind, {}) else "" for kind in columns]
        print(
            f"| {number}: {name} | {net.macs / 1e6:.1f}M | {net.architecture.resolution} | {' | '.join(cells)} |"
        )
    kinds = {kind: found[kind] for kind in KINDS if kind in found}
    first = {number: table.curves[number, FULL, 0].accuracies[0] for number in full}
    kinds[f"{FULL}, accuracy after the first of its epochs"] = first
    for step in STEPS:
        losses = {number: loss_at(table.curves[number, FULL, 0], step) for number in full}
        kinds[f"{FULL}, training loss at step {step}"] = losses
    print_taus(full, kinds, families)
    print_taus(found[END], {FULL: full, **kinds}, families)


if __name__ == "__main__":
    main()
