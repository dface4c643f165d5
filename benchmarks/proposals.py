"""How many proposals a second one core makes: choices drawn, widths solved, MACs and parameters counted.

Prints, for each bundled space and budget, the medians of interleaved rounds: of proposals drawn together
(`bft_nas.space.drawing`), of mutations of them, and of proposals made one by one with their architecture; how much of
their share those drawn together use, and how many exceed the budget.

    python benchmarks/proposals.py
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from bft_nas.network import cost
from bft_nas.space.drawing import Drawn, draw, mutate
from bft_nas.space.space import SearchSpace, bundled_spaces

BUDGETS = (10_000_000, 50_000_000, 150_000_000)
ALONE = 10
"""Of so many that are drawn together, one is made by itself too."""


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--proposals", type=int, default=4000, help="drawn together in a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    count = options.proposals
    cells = [
        (SearchSpace.load(name).within(budget), budget) for name in bundled_spaces() for budget in BUDGETS
    ]
    rates: list[list[tuple[float, float, float]]] = [[] for _ in cells]
    made: list[list[Drawn]] = [[] for _ in cells]
    for space, _ in cells:
        # Known of a space once and for all.
        assert space.reach
    for round_number in range(options.rounds):
        for (space, budget), seen, drawn in zip(cells, rates, made, strict=True):
            rng = random.Random(round_number)
            together, drawn[:] = timed(partial(draw, space, rng, (budget,), count))
            parents = [each.choices for each in drawn]
            mutations, _ = timed(partial(mutate, space, rng, (budget,), parents))
            alone, _ = timed(partial(one_by_one, space, rng, budget, count // ALONE))
            seen.append((count / together, count / mutations, count // ALONE / alone))
    print(
        f"{'space':<14} {'budget':>7} {'drawn/s':>9} {'mutated/s':>10} {'one by one/s':>13} "
        f"{'over budget':>12} {'over 90 % of share used':>24}"
    )
    for (space, budget), seen, drawn in zip(cells, rates, made, strict=True):
        together, mutations, alone = map(statistics.median, zip(*seen, strict=True))
        over = sum(each.macs > budget for each in drawn)
        used = sum(each.macs > 0.9 * each.allowance for each in drawn) / len(drawn)
        print(
            f"{space.name:<14} {budget // 10**6:>6}M {together:>9.0f} {mutations:>10.0f} {alone:>13.0f} "
            f"{over:>12} {used:>23.1%}"
        )
    slowest = min(statistics.median(rate for rate, _, _ in seen) for seen in rates)
    print(f"slowest {slowest:.0f} drawn/s")


def timed(work: Callable[[], Sequence[Any]]) -> tuple[float, Sequence[Any]]:
    """Seconds of a core, and what was made in them."""
    started = time.process_time()
    made = work()
    return time.process_time() - started, made


def one_by_one(space: SearchSpace, rng: random.Random, budget: int, count: int) -> list[int]:
    """Parameters of proposals."""
    return [cost(space.sample(rng, budget).architecture).params for _ in range(count)]


if __name__ == "__main__":
    main()
