"""How often a confirmation says that its winner is better than the best reference, where all networks are equal.

    python benchmarks/races.py

Made-up accuracies: what a seed does to all, and chance, as they were measured within 15M MACs. No network is trained.
"""

from __future__ import annotations

import argparse
from itertools import product

import numpy as np

from bft_nas.record.confirmed import compare
from bft_nas.searching.racing import Racer, next_round

SEEDS = (1, 2, 3)
BUDGET = frozenset({10})
OF_A_SEED = 0.02
"""Standard deviation of what a seed does to all networks."""
CHANCE = 0.012
"""That of what is left, at the end and at the rung."""


def lead_among_equals(candidates: int, references: int, rng: np.random.Generator) -> tuple[bool, bool]:
    """Whether the winner of one race is said to be better than the best reference, or to be worse."""
    racers = [
        *(Racer(f"candidate {k}", BUDGET, kind="one") for k in range(candidates)),
        *(Racer(f"reference {k}", BUDGET, reference=True) for k in range(references)),
    ]
    luck = rng.normal(0.66, OF_A_SEED, len(SEEDS))
    ends = {
        racer.key: dict(zip(SEEDS, luck + rng.normal(0, CHANCE, len(SEEDS)), strict=True)) for racer in racers
    }
    known: dict[str, dict[int, float | None]] = {}
    rungs: dict[str, float | None] = {}
    while due := next_round(racers, known, SEEDS, rungs):
        for each in due:
            end = float(ends[each.racer.key][each.seed])
            if each.to_rung:
                rungs[each.racer.key] = end - 0.1 + rng.normal(0, CHANCE)
            else:
                known.setdefault(each.racer.key, {})[each.seed] = end
    found = compare({key: {s: a for s, a in each.items() if a is not None} for key, each in known.items()})
    best = {
        kind: max((key for key in found.means if key.startswith(kind)), key=found.means.__getitem__)
        for kind in ("candidate", "reference")
    }
    lead = found.difference(best["candidate"], best["reference"])
    return lead.told_apart and lead.mean > 0, lead.told_apart and lead.mean < 0


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--races", type=int, default=1000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    print("candidates  references  'better'  'worse'   (of races among equals; 2.5 % each would be fair)")
    for candidates, references in product((4, 8, 12), (1, 4)):
        said = [lead_among_equals(candidates, references, rng) for _ in range(options.races)]
        better, worse = np.mean(said, axis=0)
        print(f"{candidates:10}  {references:10}  {better:7.1%}  {worse:7.1%}")


if __name__ == "__main__":
    main()
