"""Which networks the table holds: drawn once with a fixed seed, and kept in ``networks.jsonl``.

    python benchmarks/table/networks.py > benchmarks/table/networks.jsonl

Of each family of the default space as many: structures uniform over the space, two thirds of them within 10 % of the
budget, one third below; every fourth has dense fusions alone. The references are as wide as the budget allows. The
file's order is the order of training, mixed, so that a table that is not yet complete is a fair sample of the whole.
The space was that of three families then, whose heads had one width: drawn anew, the networks would be others.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bft_nas.core.units import parse_macs
from bft_nas.network import Architecture, cost
from bft_nas.network.modules import MODULES, RESIDUAL_NORM
from bft_nas.network.references import REFERENCES, widest
from bft_nas.space.space import SearchSpace

FILE = Path(__file__).with_name("networks.jsonl")
SEARCHES = Path(__file__).with_name("searches.jsonl")
"""Real searches, each with its winner; see searches.py."""
PROOF = Path(__file__).parents[1] / "proof" / "records.jsonl"
"""Searches of the proof, with their winners, and the trainings of these to the end."""
FIRST_SEARCHED = 1000
"""Number of the first winner of a real search."""
FIRST_PROVEN = 2000
"""Number of the first winner of the proof's searches."""


@dataclass(frozen=True)
class Draw:
    """How many networks of a family are drawn within a budget."""

    budget: int
    near: int
    """Within 10 % of the budget."""
    below: int
    least_share: float
    """Of the budget: what the others have at least."""
    resolution: int
    """Of the references, in pixels."""


DRAWS = (
    Draw(15_000_000, near=36, below=18, least_share=10 / 15, resolution=160),
    Draw(50_000_000, near=10, below=4, least_share=0.5, resolution=224),
)


@dataclass(frozen=True)
class Network:
    """A row of the table."""

    number: int
    name: str
    """Of a reference; empty for a network of the space."""
    budget: int
    macs: int
    params: int
    dense_only: bool
    """Drawn with dense fusions alone."""
    choices: dict[str, Any]
    """What was drawn, by name of the choice; empty for a reference."""
    architecture: Architecture

    @property
    def has_skips(self) -> bool:
        """Whether it has blocks whose input may be added to what they make."""
        return any(MODULES[block.kind] in RESIDUAL_NORM for block in self.architecture.blocks)


def read_networks() -> list[Network]:
    """The networks of ``networks.jsonl``, in the order of training."""
    rows = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
    return [Network(**{**row, "architecture": Architecture.from_dict(row["architecture"])}) for row in rows]


def read_searches() -> list[dict[str, Any]]:
    """The real searches that were made, in their order, each with its winner."""
    if not SEARCHES.is_file():
        return []
    return [json.loads(line) for line in SEARCHES.read_text(encoding="utf-8").splitlines()]


def every_network() -> list[Network]:
    """Those of the table, and the winners of real searches and of the proof's, named for whoever searched."""
    searched = [
        _winner(row["number"], f"{row['label']} {row['seed']}", row["budget"], row) for row in read_searches()
    ]
    return [*read_networks(), *searched, *_proven()]


def read_proof() -> list[dict[str, Any]]:
    """What the proof has done so far, in its order."""
    return [json.loads(line) for line in PROOF.read_text(encoding="utf-8").splitlines()]


def budget_of(task: str) -> int:
    """In MACs, of a task of the proof, such as ``cifar10-15M``."""
    return parse_macs(task.rpartition("-")[2])


def _proven() -> Iterator[Network]:
    """The winners of the proof's searches; one that was found twice has both numbers."""
    rows = [row for row in read_proof() if "architecture" in row]
    for number, row in enumerate(rows, FIRST_PROVEN):
        yield _winner(number, str(row["job"]), budget_of(row["task"]), row)


def _winner(number: int, name: str, budget: int, row: Mapping[str, Any]) -> Network:
    architecture = Architecture.from_dict(row["architecture"])
    dense = row["butterfly_share"] == 0
    return Network(number, name, budget, row["macs"], row["params"], dense, {}, architecture)


def draw_networks() -> list[Network]:
    """The networks, built afresh and always the same."""
    networks: list[Network] = []
    for draw in DRAWS:
        rows = [*_references(draw), *_drawn(draw)]
        random.Random(draw.budget).shuffle(rows)
        networks += rows
    return [replace(network, number=number) for number, network in enumerate(networks)]


def _references(draw: Draw) -> Iterator[Network]:
    for name in REFERENCES:
        found = widest(name, draw.budget, resolution=draw.resolution, classes=1000)
        if found is not None:
            yield _network(name, draw.budget, False, {}, found[1])


def _drawn(draw: Draw) -> Iterator[Network]:
    space = SearchSpace.load("mobile")
    for family in space.families:
        alone = replace(space, families=(family,))
        rng = random.Random(f"{draw.budget} {family.name}")
        seen: set[str] = set()
        for index in range(draw.near + draw.below):
            # Every third is below, every fourth dense: both by turns, so that neither goes with the other.
            below = index % ((draw.near + draw.below) // draw.below) == 0
            low, high = (draw.least_share, 0.9) if below else (0.9, 1.0)
            yield _one(alone, draw.budget, low, high, index % 4 == 1, rng, seen)


def _one(
    space: SearchSpace, budget: int, low: float, high: float, dense: bool, rng: random.Random, seen: set[str]
) -> Network:
    """The first uniform proposal between two parts of the budget that was not drawn before."""
    while True:
        choices: dict[str, Any] = {}

        def choose(name: str, values: Sequence[Any], choices: dict[str, Any] = choices) -> Any:
            if name == "budget_share":
                value: Any = rng.uniform(low, high)
            elif dense and name.endswith("fusion"):
                value = "dense"
            else:
                value = rng.choice(values)
            choices[name] = value
            return value

        proposal = space.propose(choose, budget)
        if low * budget <= proposal.macs <= high * budget and proposal.architecture.hash not in seen:
            seen.add(proposal.architecture.hash)
            return _network("", budget, dense, choices, proposal.architecture)


def _network(
    name: str, budget: int, dense_only: bool, choices: dict[str, Any], architecture: Architecture
) -> Network:
    counted = cost(architecture)
    return Network(0, name, budget, counted.macs, counted.params, dense_only, choices, architecture)


def main() -> None:
    """Print ``networks.jsonl``."""
    for network in draw_networks():
        print(json.dumps({**vars(network), "architecture": network.architecture.to_dict()}))


if __name__ == "__main__":
    main()
