"""Searches replayed on the table: what each way of proposing would have found, without training anything.

    python benchmarks/table/replay.py

A search trains networks of the table one after the other under a short protocol and names the most accurate one.
Printed are the accuracy of its long training, and the hypervolume of the front that the search would show, by long
trainings, after as many epochs as 10, 20, 35 and 50 whole short trainings have: means over random orders. With
confirmation the best of the short trainings are trained once more: that is taken to be the long training with the noise
of three seeds.

Samplers of Optuna's propose a network of the space; the one of the table that differs in the fewest choices is taken.
"""

from __future__ import annotations

import argparse
import random
import statistics
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rows import Table

from bft_nas.record.pareto import hypervolume, non_dominated
from bft_nas.searching.halving import Halving
from bft_nas.searching.promise import gain_of_a_doubling, promise
from bft_nas.searching.proposers.regression import Accuracy, Observed, Point
from bft_nas.searching.proposers.schedule import is_uniform
from bft_nas.space.choosing import differing
from bft_nas.space.space import SearchSpace

WORTH = (10, 20, 35, 50)
"""Whole short trainings of which a search has the epochs."""
CONFIRMED = (1, 4)
SEEDS, SEED_SPREAD = 3, 0.006
"""Of a confirmation: how many, and how far two of them are apart (benchmarks/results/table.md)."""


@dataclass(frozen=True)
class Known:
    """A network of the table as a search comes to know it."""

    point: Point
    accuracies: tuple[float, ...]
    """After each epoch of its short training."""
    truth: float
    """After the long training."""
    distributions: Mapping[str, tuple[Any, ...]]


Pick = Callable[[dict[int, tuple[float, ...]], list[int]], int]
"""Which network of those left is trained next, from the accuracies so far by epoch."""


def known_networks(table: Table, kind: str, budget: int, *, by_short: bool = False) -> dict[int, Known]:
    """Networks of the space with a short and a long training, by number.

    With ``by_short`` the short training is the truth as well: of many more networks, and of samplers alone.
    """
    space = SearchSpace.load("mobile")
    found = {}
    for number, network in table.networks.items():
        curve = table.curves.get((number, kind, 0))
        if network.name or network.budget != budget or curve is None:
            continue
        truth = curve.accuracies[-1] if by_short else table.truth.get(number)
        if truth is None:
            continue

        choices = {"family": network.architecture.family, **network.choices}

        def suggest(name: str, values: Sequence[Any], choices: Mapping[str, Any] = choices) -> Any:
            if name == "budget_share":
                return min(values, key=lambda value: abs(value - choices[name]))
            # What the space did not offer yet, such as wider heads, is what there was by the first value.
            return choices.get(name, values[0])

        proposal = space.propose_for(suggest, [budget])
        point = Point(proposal.parameters, network.macs, network.params, network.architecture.resolution)
        found[number] = Known(point, curve.accuracies, truth, proposal.domains)
    return found


def random_picks(known: Mapping[int, Known], seed: int, budget: int) -> Pick:
    """Uniform."""
    rng = random.Random(seed)
    return lambda seen, left: rng.choice(left)


def surrogate_picks(known: Mapping[int, Known], seed: int, budget: int) -> Pick:
    """The best of all that are left, by the model of the sampler ``surrogate``."""
    rng = random.Random(seed)
    epochs = len(next(iter(known.values())).accuracies)

    def pick(seen: dict[int, tuple[float, ...]], left: list[int]) -> int:
        if is_uniform(len(seen)):
            return rng.choice(left)
        observed = [
            Observed(known[n].point, dict(enumerate(accuracies, start=1))) for n, accuracies in seen.items()
        ]
        points = [known[n].point for n in left]
        predicted = Accuracy(observed, epochs, len(seen)).predict(points)
        gain = gain_of_a_doubling([accuracies[-1] for accuracies in seen.values()])
        promised = [
            promise(float(accuracy), point.macs, budget, gain)
            for accuracy, point in zip(predicted, points, strict=True)
        ]
        return left[promised.index(max(promised))]

    return pick


def optuna_picks(sampler: str) -> Callable[[Mapping[int, Known], int, int], Pick]:
    """What is nearest to the proposal of a sampler of Optuna's, which learns from all that was trained."""

    def picks(known: Mapping[int, Known], seed: int, budget: int) -> Pick:
        import optuna

        from bft_nas.searching.proposers.optuna_samplers import nsga2, tpe

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        space = SearchSpace.load("mobile")
        study = optuna.create_study(directions=["maximize", "minimize"])
        told: set[int] = set()

        def pick(seen: dict[int, tuple[float, ...]], left: list[int]) -> int:
            for number in seen.keys() - told:
                one = known[number]
                study.add_trial(
                    optuna.trial.create_trial(
                        values=(seen[number][-1], float(one.point.macs)),
                        params=dict(one.point.choices),
                        distributions={
                            name: optuna.distributions.CategoricalDistribution(values)
                            for name, values in one.distributions.items()
                        },
                    )
                )
                told.add(number)
            study.sampler = {"tpe": tpe, "nsga2": nsga2}[sampler](seed * 1000 + len(seen))
            trial = study.ask()
            proposal = space.propose_for(
                lambda name, values: trial.suggest_categorical(name, list(values)), [budget]
            )
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            return min(left, key=lambda n: (len(differing(proposal.parameters, known[n].point.choices)), n))

        return pick

    return picks


SAMPLERS: Mapping[str, Callable[[Mapping[int, Known], int, int], Pick]] = {
    "random": random_picks,
    "tpe": optuna_picks("tpe"),
    "nsga2": optuna_picks("nsga2"),
    "surrogate": surrogate_picks,
}


def searched(known: Mapping[int, Known], pick: Pick, eta: int) -> Iterator[dict[int, tuple[float, ...]]]:
    """What a search knows when it has trained for as many epochs as each of `WORTH` whole trainings.

    Args:
        known: the networks there are.
        pick: which is next.
        eta: of successive halving; 0 for none.
    """
    epochs = len(next(iter(known.values())).accuracies)
    halving = Halving(eta, 1, epochs) if eta else None
    seen: dict[int, tuple[float, ...]] = {}
    spent, worths = 0, list(WORTH)
    while worths:
        left = [n for n in known if n not in seen]
        number = _promoted(known, seen, halving)
        if number is None and not left:
            return
        if number is None:
            number = pick(seen, left)
            seen[number] = ()
        while len(seen[number]) < epochs:
            seen[number] = known[number].accuracies[: len(seen[number]) + 1]
            spent += 1
            while worths and spent >= worths[0] * epochs:
                yield dict(seen)
                worths.pop(0)
            if halving is not None and number not in _best(known, seen, halving, len(seen[number])):
                break


def _best(
    known: Mapping[int, Known], seen: Mapping[int, tuple[float, ...]], halving: Halving, epochs: int
) -> list[int]:
    """The best 1/eta by accuracy of those that have come to an epoch; all of them where it is no rung."""
    there = sorted((n for n in seen if len(seen[n]) >= epochs), key=lambda n: -seen[n][epochs - 1])
    return there[: max(1, len(there) // halving.eta)] if epochs in halving.rungs else there


def _promoted(
    known: Mapping[int, Known], seen: Mapping[int, tuple[float, ...]], halving: Halving | None
) -> int | None:
    if halving is not None:
        for epochs in reversed(halving.rungs):
            for number in _best(known, seen, halving, epochs):
                if len(seen[number]) == epochs:
                    return number
    return None


def named(
    known: Mapping[int, Known], seen: Mapping[int, tuple[float, ...]], confirmed: int, seed: int
) -> int:
    """Whom a search names as the winner; of networks that were trained equally long, the most accurate one."""
    longest = max(map(len, seen.values()))
    order = sorted((n for n in seen if len(seen[n]) == longest), key=lambda n: -seen[n][-1])
    rng = np.random.default_rng(seed)
    noise = SEED_SPREAD / SEEDS**0.5
    return max(
        order[: max(1, confirmed)], key=lambda n: known[n].truth + noise * rng.normal() * (confirmed > 1)
    )


def front_volume(known: Mapping[int, Known], seen: Mapping[int, tuple[float, ...]], budget: int) -> float:
    """Hypervolume of the front that a search shows, by the long trainings."""
    longest = max(map(len, seen.values()))
    numbers = [n for n in seen if len(seen[n]) == longest]
    costs = np.array([(known[n].point.macs, -seen[n][-1]) for n in numbers])
    shown = [n for n, on_front in zip(numbers, non_dominated(costs), strict=True) if on_front]
    return hypervolume([(known[n].point.macs, known[n].truth) for n in shown], budget)


def main() -> None:
    """Print a line for each sampler, with and without halving and confirmation."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--budget", type=int, default=15_000_000)
    parser.add_argument("--kinds", nargs="+", default=["proxy", "zero"])
    parser.add_argument("--samplers", nargs="+", default=list(SAMPLERS), choices=SAMPLERS)
    parser.add_argument("--orders", type=int, default=50)
    parser.add_argument(
        "--confirmed", nargs="+", type=int, default=CONFIRMED, help="of the best; 1 takes the first as it is"
    )
    parser.add_argument("--by-short", action="store_true", help="take the short training for the truth")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    table = Table(options.data)
    print("| protocol | sampler | halving | confirmed |", " | ".join(map(str, WORTH)), "| hypervolume |")
    print("|---|---|---|---|" + "---|" * len(WORTH) + "---|")
    for kind in options.kinds:
        known = known_networks(table, kind, options.budget, by_short=options.by_short)
        truths = sorted(each.truth for each in known.values())
        print(
            f"| {kind} | {len(known)} networks: mean {statistics.fmean(truths):.2%}, best {truths[-1]:.2%} |"
        )
        for sampler in options.samplers:
            for eta in (0,) if options.by_short else (0, 3):
                ended = []
                for seed in range(options.orders):
                    pick = SAMPLERS[sampler](known, seed, options.budget)
                    ended.append(list(searched(known, pick, eta)))
                for confirmed in (1,) if options.by_short else options.confirmed:
                    means = []
                    for place in range(min(map(len, ended))):
                        winners = [
                            known[named(known, each[place], confirmed, seed)].truth
                            for seed, each in enumerate(ended)
                        ]
                        means.append(f"{100 * statistics.fmean(winners):.2f}")
                    means += [""] * (len(WORTH) - len(means))
                    volumes = [front_volume(known, each[-1], options.budget) for each in ended]
                    print(
                        f"| {kind} | {sampler} | {eta or ''} | {confirmed if confirmed > 1 else ''} |",
                        " | ".join(means),
                        f"| {statistics.fmean(volumes):.4f} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
