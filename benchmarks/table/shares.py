"""What part of a budget candidates should have: searches of 20 trainings, replayed with more and fewer below it.

    python benchmarks/table/shares.py

Each search draws its candidates, confirms the best four by their short trainings, and names the best of those; what a
confirmation tells is the long training with an error of 0.35 points. Means over 4,000 searches of one table.

Then what a doubling of MACs is worth beyond the short training (`bft_nas.searching.promise`), and what searches name
that go by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from networks import FIRST_SEARCHED
from rows import Table

from bft_nas.record.confirmed import kendall_tau
from bft_nas.searching.promise import PER_DOUBLING

Numbers = npt.NDArray[Any]

KIND, BUDGET, TRAININGS, CONFIRMED, SEARCHES = "d6 brief", 15e6, 20, 4, 4000
NEAR, FAR = 0.9, 0.8
"""Parts of the budget above and below which networks are near to it and far from it."""
CONFIRMATION_ERROR = 0.0035
UNIFORM = 13
"""Candidates far from the budget of 20 that have 50, 60, 70, 80, 90 or 100 % of it, all as likely."""


def named(rng: np.random.Generator, drawn: Numbers, promised: Numbers, truth: Numbers) -> float:
    """The truth of the network that a search names which drew these."""
    listed = drawn[np.argsort(-promised[drawn])[:CONFIRMED]]
    told = truth[listed] + rng.normal(0, CONFIRMATION_ERROR, CONFIRMED)
    return float(truth[listed[told.argmax()]])


def print_doublings(truth: Numbers, short: Numbers, share: Numbers, families: Sequence[str]) -> None:
    """What a doubling of MACs is worth at the same short accuracy, and searches that allow for it."""
    doublings = np.log2(share)
    own = np.array([[family == each for each in sorted(set(families))] for family in families], dtype=float)
    design = np.column_stack([short, doublings, own])
    worth, *_ = np.linalg.lstsq(design, truth, rcond=None)
    rest = truth - design @ worth
    variance = float(rest @ rest) / (len(truth) - design.shape[1])
    errors = np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * variance)
    print(
        f"\n{len(truth)} networks: long = {worth[0]:.2f} ± {errors[0]:.2f} of the short accuracy + "
        f"{100 * worth[1]:.1f} ± {100 * errors[1]:.1f} points a doubling + its family's; so "
        f"{worth[1] / worth[0] / short.std():.1f} standard deviations of the short ones a doubling\n"
    )
    print("| deviations a doubling | tau | named winner, long |\n|---|---|---|")
    for deviations in (0.0, 0.5, 1.0, PER_DOUBLING, 2.0, 3.0, 4.0):
        promised = short + deviations * short.std() * doublings
        rng = np.random.default_rng(0)
        found = [
            named(rng, rng.choice(len(truth), TRAININGS, replace=False), promised, truth)
            for _ in range(SEARCHES)
        ]
        tau = kendall_tau(promised.tolist(), truth.tolist())
        print(f"| {deviations} | {tau:.3f} | {np.mean(found):.2%} ± {np.std(found) / SEARCHES**0.5:.2%} |")


def main() -> None:
    """Print a row for each number of candidates far from the budget, and one for each worth of a doubling."""
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
        won, best = [], []
        for _ in range(SEARCHES):
            drawn = np.concatenate(
                [rng.choice(far, count, replace=False), rng.choice(near, TRAININGS - count, replace=False)]
            )
            won.append(named(rng, drawn, short, truth))
            best.append(truth[drawn].max())
        error = np.std(won) / SEARCHES**0.5
        print(f"| {count} of {TRAININGS} | {np.mean(won):.2%} ± {error:.2%} | {np.mean(best):.2%} |")
    numbers = [n for n in trained if (n, KIND, 0) in table.curves]
    print_doublings(
        np.array([table.truth[n] for n in numbers]),
        np.array([table.curves[n, KIND, 0].accuracies[-1] for n in numbers]),
        np.array([table.networks[n].macs / BUDGET for n in numbers]),
        [table.networks[n].architecture.family for n in numbers],
    )


if __name__ == "__main__":
    main()
