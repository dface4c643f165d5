"""Which learning rates are fair to dense and to butterfly fusions in a short proxy training.

The same MobileNetV1 and MobileNetV3 structures, all dense and all butterfly of radix 4, widths solved for the same
MACs, trained on the shipped images under the default protocol at several rates. Prints validation accuracy in
percent for each, and the gap of dense over butterfly.

    python benchmarks/proxy_rates.py --rates 0.1 0.3 0.5 --multipliers 1 3 5 --seeds 0 1
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from bft_nas.data import load_dataset
from bft_nas.network import Architecture
from bft_nas.space import SearchSpace
from bft_nas.train import Images, Protocol, TrainingFailed, evaluate


def network(family: str, fusion: str, budget: int) -> Architecture:
    """A family's middle structure at 160x160 with one fusion everywhere, as wide as the budget allows."""
    space = SearchSpace.load(family, resolutions=[160])

    def suggest(name: str, values: Sequence[Any]) -> Any:
        choice = name.rpartition(".")[2]
        if choice.endswith("fusion"):
            return fusion
        fixed = {"budget_share": 1.0, "radix": 4, "expand_radix": 4, "width": 1.0, "kernel": 3}
        return fixed.get(choice, values[len(values) // 2])

    return space.propose(suggest, budget).architecture


def main() -> None:
    """Parse, train, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rates", type=float, nargs="+", default=[0.1, 0.3, 0.5])
    parser.add_argument("--multipliers", type=float, nargs="+", default=[1.0, 3.0, 5.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--families", nargs="+", default=["mobilenet_v1", "mobilenet_v3"])
    parser.add_argument("--flops", type=float, default=50e6)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--images", type=int, default=None)
    options = parser.parse_args()
    dataset = load_dataset("fashion-mnist", size=56, images=options.images)
    images = Images(dataset, torch.device("cpu"))
    protocol = Protocol.of(dataset, 4, epochs=options.epochs, batch_size=options.batch)

    def mean_accuracy(architecture: Architecture, rate: float, multiplier: float) -> float:
        accuracies = []
        for seed in options.seeds:
            setting = replace(protocol, learning_rate=rate, butterfly_rate=multiplier, seed=seed)
            try:
                accuracies.append(evaluate(architecture, setting, images)[0][-1].accuracy)
            except TrainingFailed:
                accuracies.append(float("nan"))
        return 100 * sum(accuracies) / len(accuracies)

    for family in options.families:
        dense, butterfly = (network(family, fusion, int(options.flops)) for fusion in ("dense", "butterfly"))
        for rate in options.rates:
            of_dense = mean_accuracy(dense, rate, 1.0)
            print(f"{family:14} rate {rate:<5} dense {of_dense:5.1f}", flush=True)
            for multiplier in options.multipliers:
                of_butterfly = mean_accuracy(butterfly, rate, multiplier)
                print(
                    f"{family:14} rate {rate:<5} butterfly at {multiplier:g}x {of_butterfly:5.1f}"
                    f"   dense over butterfly {of_dense - of_butterfly:+5.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
