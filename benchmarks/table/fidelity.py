"""How well a short training tells what a long one would: Kendall's tau of each kind of the table, against its seconds.

    python benchmarks/table/fidelity.py

Tau counts pairs of networks: over all, among those whose MACs are within 10 % of one another, and of these apart those
of one family and of two. Intervals are 95 %, by resampling networks. The gap error is how far a network's lead over the
references is off on average after the short training, in points, both leads taken over the mean of the references.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import numpy as np
from rows import TRUTH, Curve, Table

Score = Callable[[Curve], float]

SCORES: Mapping[str, Score] = {
    "accuracy": lambda curve: curve.accuracies[-1],
    "loss": lambda curve: -curve.losses[-1],
    "train loss": lambda curve: -curve.train_loss[-1],
    "train losses, second half": lambda curve: (
        -statistics.fmean(curve.train_loss[len(curve.train_loss) // 2 :])
    ),
    "train losses, all": lambda curve: -statistics.fmean(curve.train_loss),
    "first rung": lambda curve: curve.accuracies[0],
}
"""What a curve may be judged by; more is better."""
EQUAL_MACS = 0.1
RESAMPLED = 400


def agreement(pairs: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of each pair 1 where both rank it alike, -1 where they do not, and 0 for a tie; Kendall's tau is the mean."""
    first, second = pairs.T
    agreed: np.ndarray = np.sign(one[first] - one[second]) * np.sign(other[first] - other[second])
    return agreed


def pairs_of(macs: Sequence[int], families: Sequence[str]) -> dict[str, np.ndarray]:
    """Pairs of positions, by what they have in common."""
    every = list(combinations(range(len(macs)), 2))
    equal = [(i, j) for i, j in every if abs(macs[i] - macs[j]) <= EQUAL_MACS * max(macs[i], macs[j])]
    return {
        "all": np.array(every),
        "equal MACs": np.array(equal),
        "of one family": np.array([(i, j) for i, j in equal if families[i] == families[j]]),
        "of two": np.array([(i, j) for i, j in equal if families[i] != families[j]]),
    }


def interval(pairs: np.ndarray, agreed: np.ndarray, networks: int) -> tuple[float, float]:
    """95 % of tau when networks are drawn anew, with replacement; pairs of a network with itself count as none."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(RESAMPLED):
        weight = np.bincount(rng.integers(networks, size=networks), minlength=networks)
        counts = weight[pairs[:, 0]] * weight[pairs[:, 1]]
        found.append(float((agreed * counts).sum() / max(1, counts.sum())))
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def main() -> None:
    """Print a line for each kind and score."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--scores", nargs="+", default=["accuracy", "loss"], choices=SCORES)
    parser.add_argument("--common", action="store_true", help="only networks that every kind has trained")
    options = parser.parse_args()
    table = Table(options.data)
    kinds = table.kinds()
    have = {kind: {n for n, k, s in table.curves if k == kind and s == 0} for kind in [*kinds, TRUTH]}
    print("| kind | score | networks | seconds | all | equal MACs | of one family | of two | gap error |")
    print("|---|---|---|---|---|---|---|---|---|")
    for kind in kinds:
        numbers = sorted(set.intersection(*have.values()) if options.common else have[kind] & have[TRUTH])
        if len(numbers) < 5:
            continue
        networks = [table.networks[n] for n in numbers]
        truth = np.array([table.truth[n] for n in numbers])
        curves = [table.curves[n, kind, 0] for n in numbers]
        groups = pairs_of([n.macs for n in networks], [n.architecture.family for n in networks])
        references = np.array([bool(n.name) for n in networks])
        for name in options.scores:
            score = np.array([SCORES[name](curve) for curve in curves])
            cells = []
            for key, pairs in groups.items():
                agreed = agreement(pairs, score, truth) if len(pairs) else np.array([math.nan])
                tau = float(agreed.mean())
                cells.append(f"{tau:.2f}")
                if key == "equal MACs":
                    low, high = interval(pairs, agreed, len(numbers))
                    cells[-1] += f" ({low:.2f} to {high:.2f})"
            short, long = (each - each[references].mean() for each in (score, truth))
            gap = f"{100 * np.abs(short - long)[~references].mean():.1f}" if name == "accuracy" else ""
            seconds = statistics.median(curve.seconds for curve in curves)
            print(f"| {kind} | {name} | {len(numbers)} | {seconds:.0f} | {' | '.join(cells)} | {gap} |")


if __name__ == "__main__":
    main()
