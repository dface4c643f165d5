"""Thousands of random command lines: none may end in a traceback or leave half of a run. ``make fuzz`` runs it.

``python -m tests.fuzz --lines 2000 --seed 0`` prints what they came to, and those that broke; it then exits with 1.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random

from tests.command_lines import Place, nothing_trained, random_line

REAL = 0.01
"""The part of the searches and exports that are done, and not only begun."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, started = Random(options.seed), time.perf_counter()
    outcomes: Counter[str] = Counter()
    broken = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        with nothing_trained(real=lambda: rng.random() < REAL):
            for number in range(options.lines):
                line = random_line(rng)
                try:
                    outcomes[place.check(line, rng.choice(("utf-8", "utf-8", "ascii", "latin-1")))] += 1
                except Exception:
                    broken += 1
                    print(f"line {number}: bft-nas {ascii(shlex.join(line))[:500]}", file=sys.stderr)
                    traceback.print_exc()
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    print(
        f"{options.lines} command lines of seed {options.seed} in {time.perf_counter() - started:.0f} s: "
        f"{counts}, {broken} broken"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
