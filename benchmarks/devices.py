"""Milliseconds of references and of their butterfly rivals in every runtime that is installed, one table.

Networks as wide as the budget allows at 224x224 pixels, with random weights; single stream, interleaved
(`bft_nas.latency.single_stream`).

    python benchmarks/devices.py
"""

from __future__ import annotations

import argparse
from collections import defaultdict

from bft_nas.core.units import format_macs, format_params, parse_macs
from bft_nas.export.runtimes import RUNTIMES
from bft_nas.latency.measure import measure
from bft_nas.latency.networks import PYTORCH, Network
from bft_nas.latency.single_stream import Rule
from bft_nas.network.references import widest

NAMES = (
    *("mobilenet_v3_small", "mnasnet_small", "fbnet_96", "shufflenet_v2", "mobilenet_v1"),
    *("mobilenet_v3_small_bft", "shufflenet_v2_bft", "mobilenet_v1_bft"),
)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--budgets", nargs="+", type=parse_macs, default=[15_000_000, 50_000_000])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--queries", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    runtimes = [
        PYTORCH,
        *(name for name, runtime in RUNTIMES.items() if runtime.is_installed and runtime.runs_here),
    ]
    for budget in options.budgets:
        subjects = []
        for name in NAMES:
            found = widest(name, budget)
            if found is not None:
                subjects.append(Network(name, found[1]))
        cells: dict[str, dict[str, str]] = defaultdict(dict)
        counts: dict[str, tuple[str, str]] = {}
        columns: dict[str, None] = {}
        for each in measure(subjects, runtimes, options.threads, Rule(options.queries, options.seconds)):
            setup, latency = each.latency.setup, each.latency
            column = f"{setup.runtime}, {setup.threads}"
            columns[column] = None
            cells[each.subject.label][column] = f"{1e3 * latency.p50:.2f} ({1e3 * latency.p90:.2f})"
            counts[each.subject.label] = (format_macs(each.macs or 0), format_params(each.params or 0))
        print(f"\nWithin {format_macs(budget)} MACs: milliseconds, p50 (p90); runtime, threads\n")
        print("| network | MACs | parameters | " + " | ".join(columns) + " |")
        print("|---|---|---|" + "---|" * len(columns))
        for name, row in cells.items():
            print(f"| {name} | {' | '.join(counts[name])} | {' | '.join(row.get(c, '') for c in columns)} |")


if __name__ == "__main__":
    main()
