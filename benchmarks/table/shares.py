"""What part of a budget candidates should have: searches of 20 trainings, replayed with more and fewer below it.

    python benchmarks/table/shares.py

Each search draws its candidates, confirms the best four by their short trainings, and names the best of those; what a
confirmation tells is the long training with an error of 0.35 points. Means over 4,000 searches of one table.
"""

from __future__ import annotations

import numpy as np
from networks import FIRST_SEARCHED
from rows import Table

KIND, BUDGET, TRAININGS, CONFIRMED, SEARCHES = "d6 brief", 15e6, 20, 4, 4000
NEAR, FAR = 0.9, 0.8
"""Parts of the budget above and below which networks are near to it and far from it."""
CONFIRMATION_ERROR = 0.0035
UNIFORM = 13
"""Candidates far from the budget of 20 that have 50, 60, 70, 80, 90 or 100 % of it, all as likely."""


def main() -> None:
    """Print a row for each number of candidates far from the budget."""
    table = Table("cifar10")
    trained = [n for n in table.truth if table.networks[n].budget == BUDGET and not table.networks[n].name]
    numbers = [n for n in trained if n < FIRST_SEARCHED and (n, KIND, 0) in table.curves]
    truth = np.array([table.truth[n] for n in numbers])
    short = np.array([table.curves[n, KIND, 0].accuracies[-1] for n in numbers])
    share = np.array([table.networks[n].macs / BUDGET for n in numbers])
    near, far = np.flatnonzero(share >= NEAR), np.flatnonzero(share <= FAR)
    rng = np.random.default_rng(0)
    print(
        f"{len(near)} networks near the budget, long {truth[near].mean():.1%}; {len(far)} far, {truth[far].mean():.1%}"
    )
    print("| far from the budget | named winner, long | best there |\n|---|---|---|")
    for count in (UNIFORM, 10, 5, 0):
        named, best = [], []
        for _ in range(SEARCHES):
            drawn = np.concatenate(
                [rng.choice(far, count, replace=False), rng.choice(near, TRAININGS - count, replace=False)]
            )
            listed = drawn[np.argsort(-short[drawn])[:CONFIRMED]]
            told = truth[listed] + rng.normal(0, CONFIRMATION_ERROR, CONFIRMED)
            named.append(truth[listed[told.argmax()]])
            best.append(truth[drawn].max())
        error = np.std(named) / SEARCHES**0.5
        print(f"| {count} of {TRAININGS} | {np.mean(named):.2%} ± {error:.2%} | {np.mean(best):.2%} |")


if __name__ == "__main__":
    main()
