"""The rows of the table, read for those who compare by them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kinds import KINDS
from networks import Network, every_network

FOLDER = Path(__file__).parent
TRUTH = "long zero"

Key = tuple[int, str, int]
"""Network, kind of training, seed."""


@dataclass(frozen=True)
class Curve:
    """How one training went."""

    steps: tuple[int, ...]
    train_loss: tuple[float, ...]
    """Mean over the steps since the row before."""
    accuracies: tuple[float, ...]
    """On unseen images after each epoch, 0 to 1."""
    losses: tuple[float, ...]
    """Cross-entropy on them after each epoch."""
    seconds: float


class Table:
    """Trainings of one data set that did not fail, by network, kind and seed."""

    def __init__(self, data: str = "cifar10") -> None:
        self.data = data
        self.curves = dict(_curves(data))
        for kind, each in KINDS.items():
            if each.twin:
                self._share(each.twin, kind)

    def _share(self, twin: str, kind: str) -> None:
        """Networks without skips have the same rows under both."""
        same = [key for key in self.curves if key[1] == twin and not self.networks[key[0]].has_skips]
        for number, _, seed in same:
            self.curves[number, kind, seed] = self.curves[number, twin, seed]

    @cached_property
    def networks(self) -> dict[int, Network]:
        """By number."""
        return {network.number: network for network in every_network()}

    @cached_property
    def truth(self) -> dict[int, float]:
        """Accuracy, 0 to 1, of each network's long training; of several seeds the mean."""
        found: dict[int, list[float]] = {}
        for (network, kind, _), curve in self.curves.items():
            if kind == TRUTH:
                found.setdefault(network, []).append(curve.accuracies[-1])
        return {network: sum(each) / len(each) for network, each in found.items()}

    def kinds(self) -> list[str]:
        """The kinds of short trainings that there are."""
        return sorted({kind for _, kind, _ in self.curves} - {TRUTH})


def _curves(data: str) -> Iterator[tuple[Key, Curve]]:
    seconds: dict[Key, float] = {}
    for row in _read("trainings.csv", data):
        if not row["reason"]:
            seconds[_key(row)] = float(row["seconds"])
    points: dict[Key, list[dict[str, str]]] = {}
    for row in _read("curves.csv", data):
        points.setdefault(_key(row), []).append(row)
    for key, taken in seconds.items():
        rows = points[key]
        judged = [row for row in rows if row["accuracy"]]
        yield (
            key,
            Curve(
                tuple(int(row["step"]) for row in rows),
                tuple(float(row["train_loss"]) for row in rows),
                tuple(float(row["accuracy"]) for row in judged),
                tuple(float(row["loss"]) for row in judged),
                taken,
            ),
        )


def _read(name: str, data: str) -> Iterator[dict[str, str]]:
    with (FOLDER / name).open(newline="") as file:
        yield from (row for row in csv.DictReader(file) if row["data"] == data)


def _key(row: dict[str, str]) -> Key:
    return int(row["network"]), row["kind"], int(row["seed"])
