"""Real searches, at the same seconds: how good their winners are when they are trained long.

    python benchmarks/table/searches.py run --label after --data cifar10=FOLDER
    python benchmarks/table/searches.py run --label before --seconds-of after --program OLD/bft-nas --data ...
    python benchmarks/table/train.py --data cifar10=FOLDER --networks 1000: --kinds "long zero" --seeds 0 1
    python benchmarks/table/searches.py print

A search has the images of the table's short trainings: those that its winner is measured on it has not seen. Each is a
row of ``searches.jsonl`` with its winner, a network of the table from number 1000 on. References are left out, so that
all seconds go into the search; ``--seconds-of`` gives a search what another one took with the same seed.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from networks import FIRST_SEARCHED, SEARCHES, read_searches
from rows import Table
from train import split

from bft_nas.core.units import parse_macs
from bft_nas.record import Run, facts_of
from bft_nas.record.confirmed import student_quantile

IMAGES = 35_000
"""That short trainings may train on."""


def write_images(source: str, path: Path) -> None:
    """The images of the table's short trainings, as arrays that every version reads."""
    dataset = split(source, IMAGES)
    np.savez(
        path,
        train_images=dataset.train.images,
        train_labels=dataset.train.labels,
        val_images=dataset.validation.images,
        val_labels=dataset.validation.labels,
    )


def search(program: list[str], flops: str, seed: int, images: Path, more: list[str]) -> dict[str, Any]:
    """Run one search; its seconds, its winner and how many candidates it trained."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        subprocess.run(
            # The table's space, which is not the one that small images are given where none is named.
            [
                *program,
                "search",
                "--flops",
                flops,
                "--space",
                "mobile",
                "--data",
                str(images),
                "--classes",
                "1000",
            ]
            + ["--seed", str(seed), "--name", "run", "--workers", "2", "--no-references", *more],
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        seconds = time.perf_counter() - started
        run = Run.open("run", runs=Path(folder) / "runs")
        winner = run.winner()
        architecture = run.architecture(int(winner["number"]))
        facts = facts_of(architecture, int(winner["budget"]))
        return {
            "seconds": round(seconds, 1),
            "candidates": len(run.results()),
            "proxy": round(float(winner["accuracy"]), 4),
            "macs": facts["macs"],
            "params": facts["params"],
            "butterfly_share": facts["butterfly_share"],
            "family": facts["family"],
            "fusions": facts["fusions"],
            "architecture": architecture.to_dict(),
        }


def run_all(options: argparse.Namespace) -> None:
    """Make the searches of a label that are not yet there."""
    program = options.program.split() if options.program else [sys.executable, "-m", "bft_nas.cli.main"]
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "cifar10.npz"
        write_images(options.data, images)
        for seed in options.seeds:
            for flops in options.budgets:
                made = {(row["label"], row["budget"], row["seed"]): row for row in read_searches()}
                budget = parse_macs(flops)
                if (options.label, budget, seed) in made:
                    continue
                more = list(options.more)
                if options.seconds_of:
                    seconds = made[options.seconds_of, budget, seed]["seconds"]
                    more += ["--trials", "10000", "--time", str(math.floor(seconds))]
                found = search(program, flops, seed, images, more)
                number = FIRST_SEARCHED + len(made)
                row = {"number": number, "label": options.label, "budget": budget, "seed": seed, **found}
                with SEARCHES.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print({name: value for name, value in row.items() if name != "architecture"}, flush=True)


def print_all(options: argparse.Namespace) -> None:
    """Print each search; of each label and budget the mean with its standard error over searches; and differences."""
    truth = Table("cifar10").truth
    found_long: dict[str, dict[tuple[int, int], float]] = {}
    print("| search | MACs | seed | seconds | candidates | winner | its MACs | proxy | long |")
    print("|---|---|---|---|---|---|---|---|---|")
    groups: dict[tuple[str, int], list[float]] = {}
    for row in read_searches():
        long = truth.get(row["number"])
        if long is not None:
            groups.setdefault((row["label"], row["budget"]), []).append(long)
            found_long.setdefault(row["label"], {})[row["budget"], row["seed"]] = long
        print(
            f"| {row['label']} | {row['budget'] / 1e6:g}M | {row['seed']} | {row['seconds']:.0f} "
            f"| {row['candidates']} | {row['family']} `{row['fusions']}` | {row['macs'] / 1e6:.1f}M "
            f"| {row['proxy']:.1%} | {'' if long is None else f'{long:.1%}'} |"
        )
    for (label, budget), found in sorted(groups.items()):
        error = statistics.stdev(found) / math.sqrt(len(found)) if len(found) > 1 else math.nan
        print(
            f"{label}, {budget / 1e6:g}M: {statistics.fmean(found):.2%}, standard error {error:.2%} ({len(found)})"
        )
    for one, other in combinations(found_long, 2):
        both = found_long[one].keys() & found_long[other].keys()
        apart = [100 * (found_long[one][pair] - found_long[other][pair]) for pair in both]
        if len(apart) > 1:
            margin = student_quantile(len(apart) - 1) * statistics.stdev(apart) / math.sqrt(len(apart))
            print(
                f"{one} over {other}, paired by budget and seed ({len(apart)}): {statistics.fmean(apart):+.1f} points "
                f"(95 %: {statistics.fmean(apart) - margin:+.1f} to {statistics.fmean(apart) + margin:+.1f})"
            )


def main() -> None:
    """Run searches, or print what came of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    running = commands.add_parser("run", help="make searches")
    running.add_argument("--label", required=True)
    running.add_argument("--data", required=True, help="cifar10, or cifar10=FOLDER")
    running.add_argument("--program", help="of another version (default: this one's)")
    running.add_argument("--budgets", nargs="+", default=["15M"])
    running.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    running.add_argument("--seconds-of", metavar="LABEL", help="as long as these searches took")
    running.add_argument("--more", nargs=argparse.REMAINDER, default=[], help="options of the search, last")
    running.set_defaults(run=run_all)
    commands.add_parser("print", help="what was found").set_defaults(run=print_all)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
