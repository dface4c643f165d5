"""Early stopping on real learning curves: how much of the front is found after how many epochs.

Replays a table of candidates that were all trained to the end, in many random orders, with one worker: halving as a
search does it (`bft_nas.searching.halving`), no early stopping (which over random candidates is random search), and
random stopping as a control, which stops as many without looking. Prints the hypervolume, as a part of that of all
candidates, after so many epochs: mean and spread over the orders.

    bft-nas search --flops 10M --sampler random --trials 64 --epochs 9 --images 3000 --resolution 96 --workers 2 \\
        --no-references --no-confirm --no-timing --name curves
    python benchmarks/halving.py --from runs/curves        writes benchmarks/halving_curves.csv and replays it
    python benchmarks/halving.py                           replays it
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

import pandas as pd

from bft_nas.record import Progress, Run
from bft_nas.record.pareto import hypervolume
from bft_nas.searching.halving import Halving

TABLE = Path(__file__).with_name("halving_curves.csv")
PARTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Curve:
    """A candidate that was trained to the end."""

    macs: int
    accuracies: tuple[float, ...]


GoesOn = Callable[[int, Mapping[int, Progress]], bool]


def extracted(run: Run) -> pd.DataFrame:
    """A run's complete candidates, one row each: MACs and the accuracy after each epoch."""
    results = run.results().set_index("number")
    curves = run.curves().pivot_table(index="number", columns="epoch", values="accuracy")
    curves.columns = [f"epoch_{epoch}" for epoch in curves.columns]
    complete = results[results["state"] == "complete"]
    return complete[["family", "fusions", "macs"]].join(curves).reset_index()


def read() -> list[Curve]:
    """The table in the repository."""
    table = pd.read_csv(TABLE)
    epochs = [name for name in table.columns if name.startswith("epoch_")]
    return [Curve(int(row["macs"]), tuple(float(row[e]) for e in epochs)) for row in table.to_dict("records")]


def replayed(
    curves: list[Curve], order: list[int], halving: Halving, goes_on: GoesOn, *, promotes: bool
) -> Iterator[tuple[int, list[tuple[float, float]]]]:
    """Epochs spent and the points of those trained to the end, each time that one more is."""
    known: dict[int, Progress] = {}
    waiting = list(order)
    spent = 0
    found: list[tuple[float, float]] = []
    while True:
        number = halving.promoted(known) if promotes else None
        if number is None:
            if not waiting:
                return
            number = waiting.pop(0)
            known[number] = Progress(curves[number].macs, ())
        curve = curves[number]
        trained = len(known[number].accuracies)
        while trained < halving.most:
            trained, spent = trained + 1, spent + 1
            known[number] = Progress(curve.macs, curve.accuracies[:trained])
            if trained < halving.most and not goes_on(number, known):
                known[number] = Progress(curve.macs, curve.accuracies[:trained], stopped=True)
                break
        else:
            found.append((curve.macs, curve.accuracies[-1]))
            yield spent, list(found)


def random_stopping(halving: Halving) -> GoesOn:
    """As many continue past a rung as in halving, whichever they are."""
    lots = random.Random(0)

    def goes_on(number: int, known: Mapping[int, Progress]) -> bool:
        return len(known[number].accuracies) not in halving.rungs or lots.random() < 1 / halving.eta

    return goes_on


def main() -> None:
    """Replay and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--from", dest="run", type=Path, help="a run's folder, whose curves become the table")
    parser.add_argument("--eta", type=int, nargs="+", default=[2, 3])
    parser.add_argument("--orders", type=int, default=50)
    options = parser.parse_args()
    if options.run:
        extracted(Run(options.run)).to_csv(TABLE, index=False, float_format="%.4f")
    curves = read()
    epochs, most_macs = len(curves[0].accuracies), max(curve.macs for curve in curves)
    whole = epochs * len(curves)
    final = hypervolume([(curve.macs, curve.accuracies[-1]) for curve in curves], most_macs)
    print(f"{len(curves)} candidates, {epochs} epochs each, {whole} in all; parts of the final hypervolume\n")
    print(
        "| epochs spent | "
        + " | ".join(f"{part:.0%}" for part in PARTS)
        + " | reaches 99 % | final | spent |"
    )
    print("|---" * (len(PARTS) + 4) + "|")
    for eta in options.eta:
        halving = Halving(eta, 1, epochs)
        schedulers: list[tuple[str, GoesOn, bool]] = [
            (f"halving, eta {eta}", halving.goes_on, True),
            (f"random stopping (control), eta {eta}", random_stopping(halving), False),
        ]
        if eta == options.eta[0]:
            schedulers.append(("none (random search)", lambda number, known: True, False))
        for name, goes_on, promotes in schedulers:
            print_row(name, curves, halving, goes_on, promotes, options.orders, whole, final, most_macs)


def print_row(
    name: str,
    curves: list[Curve],
    halving: Halving,
    goes_on: GoesOn,
    promotes: bool,
    orders: int,
    whole: int,
    final: float,
    most_macs: int,
) -> None:
    """One scheduler over all orders."""
    at_parts: list[list[float]] = [[] for _ in PARTS]
    reached, ends, spents = [], [], []
    for seed in range(orders):
        order = list(range(len(curves)))
        random.Random(seed).shuffle(order)
        # By lot it may be that nobody comes to the end.
        history = [
            (0, 0.0),
            *(
                (spent, hypervolume(found, most_macs) / final)
                for spent, found in replayed(curves, order, halving, goes_on, promotes=promotes)
            ),
        ]
        for values, part in zip(at_parts, PARTS, strict=True):
            values.append(max((volume for spent, volume in history if spent <= part * whole)))
        reached.append(
            min((spent / whole for spent, volume in history if volume >= 0.99), default=float("inf"))
        )
        ends.append(history[-1][1])
        spents.append(history[-1][0] / whole)
    cells = [f"{mean(values):.3f} ± {stdev(values):.3f}" for values in at_parts]
    in_time = [share for share in reached if share < float("inf")]
    when = f"{mean(in_time):.0%} of epochs in {len(in_time)} of {orders}" if in_time else "never"
    print(f"| {name} | {' | '.join(cells)} | {when} | {mean(ends):.3f} | {mean(spents):.0%} |")


if __name__ == "__main__":
    main()
