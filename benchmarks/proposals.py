"""How many proposals a second one core makes: choices drawn, width solved, cost counted.

Prints, for each shipped space and budget, the median of interleaved rounds, how much of their share the proposals
use, and how many exceed the budget.

    python benchmarks/proposals.py
"""

from __future__ import annotations

import argparse
import random
import statistics
import time

from bft_nas.network import cost
from bft_nas.space.space import SearchSpace, shipped_spaces

BUDGETS = (10_000_000, 50_000_000, 150_000_000)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--proposals", type=int, default=400, help="in a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    spaces = [SearchSpace.load(name) for name in shipped_spaces()]
    cells = [(space, budget) for space in spaces for budget in BUDGETS]
    rates: dict[int, list[float]] = {i: [] for i in range(len(cells))}
    made: dict[int, list[float]] = {i: [] for i in range(len(cells))}
    over = dict.fromkeys(range(len(cells)), 0)
    for round_number in range(options.rounds):
        for i, (space, budget) in enumerate(cells):
            rng = random.Random(round_number)
            started = time.perf_counter()
            proposals = [space.sample(rng, budget) for _ in range(options.proposals)]
            costs = [cost(proposal.architecture) for proposal in proposals]
            over[i] += sum(counted.macs > budget for counted in costs)
            rates[i].append(options.proposals / (time.perf_counter() - started))
            made[i] += [proposal.macs / proposal.allowance for proposal in proposals]
    print(
        f"{'space':<14} {'budget':>7} {'proposals/s':>12} {'over budget':>12} {'over 90 % of share used':>24}"
    )
    for i, (space, budget) in enumerate(cells):
        used = sum(part > 0.9 for part in made[i]) / len(made[i])
        print(
            f"{space.name:<14} {budget // 10**6:>6}M {statistics.median(rates[i]):>12.0f} {over[i]:>12} {used:>23.1%}"
        )
    print(f"slowest {min(statistics.median(each) for each in rates.values()):.0f} proposals/s")


if __name__ == "__main__":
    main()
