"""Whether dense and butterfly fusions are compared fairly: the same network with either, at equal MACs.

Trains each network under the default protocol, briefly as a search does and for longer, with several seeds, and prints
validation accuracy and training loss: mean, spread, and the gap of dense over butterfly. Rates and the butterflies'
initialisation can be varied; the protocol's defaults were chosen by what this printed.

    python benchmarks/fusion_fairness.py --data cifar10 --flops 14M 24M --trainings 2x8000 5x45000
    python benchmarks/fusion_fairness.py --data cifar10 --multipliers 0.25 0.5 1 --initialisations balanced paper
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from multiprocessing import get_context
from statistics import mean, stdev

import torch
from torch import nn

from bft_nas.butterfly import ButterflyTransform
from bft_nas.core.memory import keep_freed_memory
from bft_nas.core.units import format_macs, parse_macs
from bft_nas.data.dataset import load_dataset
from bft_nas.data.images import Images
from bft_nas.network import Architecture, build, cost
from bft_nas.network.references import widest
from bft_nas.training.curve import Epoch
from bft_nas.training.loop import TrainingFailed, train
from bft_nas.training.protocol import Protocol
from bft_nas.training.recipe import Recipe

DIVISOR = 4
COLUMNS = (
    "network",
    "MACs",
    "training",
    "fusion",
    "rate",
    "multiplier",
    "classifier",
    "start",
    "accuracy",
    "of each seed",
    "training loss",
    "dense over butterfly",
)
INITIALISATIONS = ("balanced", "paper")


@dataclass(frozen=True)
class Job:
    """One training."""

    data: str
    images: int
    architecture: Architecture
    protocol: Protocol
    initialisation: str


@dataclass(frozen=True)
class Setting:
    """One line of the table: trained once for each seed."""

    network: str
    budget: int
    training: str
    fusion: str
    rate: float
    multiplier: float
    classifier: float
    initialisation: str


@cache
def loaded(data: str, images: int, size: int) -> Images:
    """Training and validation images on the CPU."""
    return Images(load_dataset(data, size=size, images=images), torch.device("cpu"))


def alone() -> None:
    """A worker's settings: one thread, and memory that is kept."""
    torch.set_num_threads(1)
    keep_freed_memory()


def trained(job: Job) -> Epoch | None:
    """The last epoch of a training; None if it broke down."""
    size = job.protocol.proxy_resolution(job.architecture.resolution)
    torch.manual_seed(job.protocol.seed)
    model = build(job.architecture)
    if job.initialisation == "paper":
        initialise_as_in_the_paper(model)
    try:
        return train(model, job.protocol, loaded(job.data, job.images, size), size)[-1]
    except TrainingFailed:
        return None


def initialise_as_in_the_paper(model: nn.Module) -> None:
    """Edges of which a path's product has the mean size of a Xavier-uniform weight (arXiv:1906.02256, section 4)."""
    for module in model.modules():
        if isinstance(module, ButterflyTransform):
            stages = len(module.factors)
            xavier = (6 / (module.in_channels + module.out_channels)) ** 0.5
            bound = xavier ** (1 / stages) * 2 ** ((stages - 1) / stages)
            for weight in module.stages:
                nn.init.uniform_(weight, -bound, bound)


def settings_of(options: argparse.Namespace) -> Iterator[Setting]:
    """Every combination asked for; what only butterflies have is not varied for dense fusions."""
    for network, flops, training in product(options.networks, options.flops, options.trainings):
        for rate, classifier in product(options.rates, options.classifier_rates):
            yield Setting(network, parse_macs(flops), training, "dense", rate, 0.0, classifier, "")
            for multiplier, start in product(options.multipliers, options.initialisations):
                yield Setting(
                    network, parse_macs(flops), training, "butterfly", rate, multiplier, classifier, start
                )


def jobs_of(setting: Setting, options: argparse.Namespace) -> list[Job]:
    """A training for each seed."""
    name = setting.network + ("_bft" if setting.fusion == "butterfly" else "")
    found = widest(name, setting.budget, resolution=options.resolution)
    if found is None:
        raise SystemExit(f"{name}: no network within {format_macs(setting.budget)}")
    epochs, _, images = setting.training.partition("x")
    dataset = loaded(options.data, int(images), options.resolution // DIVISOR).dataset
    protocol = Protocol.of(
        dataset,
        DIVISOR,
        epochs=int(epochs),
        batch_size=options.batch_size,
        learning_rate=setting.rate,
        butterfly_rate=setting.multiplier,
        classifier_rate=setting.classifier,
    )
    return [
        Job(
            options.data,
            int(images),
            found[1],
            replace(protocol, seed=seed),
            setting.initialisation,
        )
        for seed in options.seeds
    ]


def arguments() -> argparse.Namespace:
    """What to train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    option = parser.add_argument
    option("--data", default="fashion-mnist", help="as of bft-nas search")
    option("--networks", nargs="+", default=["mobilenet_v1", "shufflenet_v2"])
    option("--flops", nargs="+", default=["14M"])
    option("--resolution", type=int, default=128, help="deployment; the proxy is a quarter of it")
    option("--trainings", nargs="+", default=["2x8000"], metavar="EPOCHSxIMAGES")
    option("--batch-size", type=int, default=Protocol.batch_size)
    option("--rates", type=float, nargs="+", default=[Recipe.learning_rate])
    option("--multipliers", type=float, nargs="+", default=[Recipe.butterfly_rate])
    option("--classifier-rates", type=float, nargs="+", default=[Recipe.classifier_rate])
    option("--initialisations", nargs="+", default=["balanced"], choices=INITIALISATIONS)
    option("--seeds", type=int, nargs="+", default=[0, 1, 2])
    option("--workers", type=int, default=os.cpu_count(), help="trainings at once, one thread each")
    return parser.parse_args()


def main() -> None:
    """Train everything, print a table row by row."""
    options = arguments()
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    with ProcessPoolExecutor(options.workers, get_context("spawn"), initializer=alone) as pool:
        pending = [
            (setting, jobs, [pool.submit(trained, job) for job in jobs])
            for setting in settings_of(options)
            for jobs in [jobs_of(setting, options)]
        ]
        dense = float("nan")
        for setting, jobs, futures in pending:
            rows = [future.result() for future in futures]
            accuracies = [100 * row.accuracy if row else float("nan") for row in rows]
            losses = [row.train_loss if row else float("nan") for row in rows]
            average = mean(accuracies)
            spread = stdev(accuracies) if len(accuracies) > 1 else 0.0
            dense = average if setting.fusion == "dense" else dense
            cells = (
                setting.network,
                f"{cost(jobs[0].architecture).macs / 1e6:.2f}M",
                setting.training,
                setting.fusion,
                f"{setting.rate:g}",
                f"{setting.multiplier:g}" if setting.multiplier else "",
                f"{setting.classifier:g}",
                setting.initialisation,
                f"{average:.1f} ± {spread:.1f}",
                " ".join(f"{each:.1f}" for each in accuracies),
                f"{mean(losses):.3f}",
                "" if setting.fusion == "dense" else f"{dense - average:+.1f}",
            )
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
