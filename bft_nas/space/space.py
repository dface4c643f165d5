"""Search spaces: a YAML file in which lists are choices, and the architectures it holds within a budget."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bft_nas.core.errors import UserError, setting
from bft_nas.core.files import is_file, read_text
from bft_nas.core.units import format_macs, in_millions, parse_macs
from bft_nas.network.architecture import Architecture
from bft_nas.network.blocks import ROOT
from bft_nas.network.fusion import FUSIONS
from bft_nas.space.choosing import Suggest, chosen_values, ways
from bft_nas.space.file import HEAD_CHOICES, FamilyFile, StageFile, parse_space
from bft_nas.space.limits import NUMBERS, check_halvings, check_limits
from bft_nas.space.restriction import fusions_of, with_fusion
from bft_nas.space.solver import Stage, Structure, WidthSolver

BUNDLED = Path(__file__).parent / "bundled"


@dataclass(frozen=True)
class Reach:
    """The fewest and the most MACs that a space can give a network."""

    smallest: int
    largest: int


@dataclass(frozen=True)
class Proposal:
    """An architecture within a budget, and how it came about."""

    architecture: Architecture
    macs: int
    budget: int
    """What it was proposed for, in MACs."""
    allowance: int
    """Budget share times budget: what the width was solved for, in MACs."""
    parameters: Mapping[str, Any]
    """What it has, by name of the choice: what was suggested, or less where that is too heavy."""
    domains: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """What it could have had, by name of the choice."""


@dataclass(frozen=True, slots=True)
class Suggested:
    """A value for every choice of a space; widths are all that is missing."""

    structure: Structure
    budget: int
    """In MACs."""
    allowance: int
    """Budget share times budget, in MACs."""
    choices: Mapping[str, Any]
    """The values of those that could have had another one, by name of the choice."""


@dataclass(frozen=True)
class SearchSpace:
    """One or several families of networks, each with its choices.

    Raises:
        UserError: a file that is missing, no YAML, or has a key, list or value that is not expected.

    >>> space = SearchSpace.load("mobilenet_v1")
    >>> proposal = space.sample(random.Random(0), budget=50_000_000)
    >>> proposal.macs <= 50_000_000
    True
    """

    name: str
    families: tuple[FamilyFile, ...]
    resolutions: tuple[int, ...]
    budget_shares: tuple[float, ...]
    classes: int
    text: str = field(repr=False)
    """YAML that `parse` reads back into the same space, whatever files it was put together from."""

    @classmethod
    def load(
        cls, name_or_path: str | Path, *, resolutions: Sequence[int] | None = None, classes: int = 1000
    ) -> SearchSpace:
        """Read a bundled space by name or a user's file by path.

        Args:
            name_or_path: ``mobile``, ``mobilenet_v1``, ...; or a path, recognised by its ``.yaml`` or a slash.
            resolutions: the deployment resolutions to choose from, instead of those of the file.
            classes: outputs of the classifier at deployment.
        """
        path, where = find_space(str(name_or_path)), str(name_or_path)
        space = cls.parse(
            read_text(path),
            where=where,
            name=path.stem,
            beside=path.parent,
            resolutions=resolutions,
            classes=classes,
        )
        # Recorded runs are read back by `parse`, with whatever they were searched with.
        for family in space.families:
            check_limits(family, where if len(space.families) == 1 else f"{where}: family {family.name}")
        pixels = setting("resolution") if resolutions else f"{where}: resolution"
        check_halvings(space.families, space.resolutions, pixels)
        return space

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        where: str,
        name: str,
        beside: Path = BUNDLED,
        resolutions: Sequence[int] | None = None,
        classes: int = 1000,
    ) -> SearchSpace:
        """Read a space from YAML; ``where`` stands in messages, ``beside`` is where named families are."""
        parsed = parse_space(text, where, lambda family: _family_text(family, beside))
        return cls(
            name=name,
            families=parsed.families,
            resolutions=tuple(resolutions) if resolutions else parsed.resolution,
            budget_shares=parsed.budget_share,
            classes=classes,
            text=parsed.text,
        )

    @cached_property
    def size(self) -> int:
        """The number of different suggestions, the radix of a dense fusion not counted."""
        shared = len(self.resolutions) * len(self.budget_shares)
        return shared * sum(_size(family) for family in self.families)

    @cached_property
    def reach(self) -> Reach:
        """The fewest and the most MACs over all choices and widths."""
        reaches = [reach for _, reach in self._extremes.values()]
        return Reach(min(r.smallest for r in reaches), max(r.largest for r in reaches))

    def within(self, budget: int) -> SearchSpace:
        """The families that can stay within a budget in MACs; UserError with the reach if there is none."""
        reachable = tuple(f for f in self.families if self._extremes[f.name][1].smallest <= budget)
        if not reachable:
            raise self._outside(budget)
        return replace(self, families=reachable)

    def restricted(self, *, fusion: str) -> SearchSpace:
        """The same space with one kind of channel fusion, any of `FUSIONS`, wherever it is offered.

        Every fusion can be dense, and with ``dense`` all are; with another kind, what does not offer it stays as it is.

        Raises:
            UserError: there is no such fusion in all of the space.
        """
        offered = set().union(*map(fusions_of, self.families))
        if fusion not in offered:
            raise UserError(
                f"{setting('fusion')} {fusion}: space '{self.name}' has none; expected {' or '.join(sorted(offered))}"
            )
        return replace(self, families=tuple(with_fusion(family, fusion) for family in self.families))

    def check_reached(self, budget: int) -> None:
        """UserError with the reach when a budget in MACs is above all networks: more likely 50G for 50M than meant."""
        if budget > self.reach.largest:
            raise self._outside(budget)

    def _outside(self, budget: int) -> UserError:
        smallest, largest = self.reach.smallest, self.reach.largest
        low, high = format_macs(smallest, up=True), format_macs(largest)
        if parse_macs(low) > parse_macs(high):
            # Rounded to what is within them, they have passed each other.
            low, high = str(smallest), str(largest)
        meant = in_millions(budget, lambda macs: smallest <= macs <= largest)
        return UserError(
            f"{setting('flops')} {format_macs(budget)}: outside the MAC range of space '{self.name}' at "
            f"{self._resolution_text()} and {self.classes} classes; expected {low} to {high}{meant}"
        )

    def sample(self, rng: random.Random, budget: int) -> Proposal:
        """One uniformly random proposal."""
        return self.propose(lambda name, values: rng.choice(values), budget)

    def propose_for(self, suggest: Suggest, budgets: Sequence[int]) -> Proposal:
        """`propose`, when the budget is a choice too, the first one; its name is ``budget``."""
        suggested = self.suggested(suggest, budgets)
        for attempt, allowance in self.attempts(suggested, budgets):
            solver = WidthSolver(attempt.structure, self.classes)
            solved = solver.solve(allowance)
            if solved is not None:
                macs, widths = solved
                network, domains = solver.architecture(widths), self._domains(attempt, budgets)
                return Proposal(network, macs, attempt.budget, allowance, attempt.choices, domains)
        raise self.infeasible(suggested)

    def propose(self, suggest: Suggest, budget: int) -> Proposal:
        """Turn one suggested value per choice into an architecture of at most ``budget`` MACs.

        The structure is suggested first, then the share of the budget; the width multiplier is solved last. A
        structure that is too heavy at its smallest width is made lighter: resolution, then kernels, expansions
        and depths, at last everything.

        Raises:
            UserError: nothing of the suggested family stays within the budget; `within` leaves such families out.
        """
        return self.propose_for(suggest, (budget,))

    def suggested(self, suggest: Suggest, budgets: Sequence[int]) -> Suggested:
        """One suggested value per choice, those with a single value not asked for: all of a proposal but its widths."""
        choices: dict[str, Any] = {}

        def choose(name: str, values: Sequence[Any]) -> Any:
            if len(values) == 1:
                return values[0]
            choices[name] = chosen = suggest(name, values)
            return chosen

        budget = int(choose("budget", budgets))
        names = tuple(family.name for family in self.families)
        family = self.families[names.index(choose("family", names))]
        resolution = choose("resolution", self.resolutions)
        structure = _suggest_structure(family, resolution, choose)
        share = choose("budget_share", self.budget_shares)
        return Suggested(structure, budget, int(share * budget), choices)

    def attempts(self, suggested: Suggested, budgets: Sequence[int]) -> Iterator[tuple[Suggested, int]]:
        """What is to be solved, and for how many MACs: the first that has widths is proposed."""
        for allowance in (suggested.allowance, suggested.budget):
            for lighter in self._lighter(suggested, budgets):
                yield lighter, allowance

    def infeasible(self, suggested: Suggested) -> UserError:
        """That none of the `attempts` has widths."""
        family = suggested.structure.family
        return UserError(f"family {family.name}: no network within {format_macs(suggested.budget)}")

    @cached_property
    def _extremes(self) -> dict[str, tuple[Mapping[str, Any], Reach]]:
        """Of each family, the choices with the fewest MACs, and its reach."""
        return {family.name: self._extremes_of(family) for family in self.families}

    def _extremes_of(self, family: FamilyFile) -> tuple[Mapping[str, Any], Reach]:
        def extreme(pick: Callable[..., Any], resolution: int, width: float) -> tuple[dict[str, Any], int]:
            """Separable but for neighbouring widths: choice by choice, until none changes, finds the extreme."""
            chosen: dict[str, Any] = {}

            def counted(changed: Mapping[str, Any]) -> int:
                changed = {**chosen, **changed}
                structure = _suggest_structure(family, resolution, _suggest_again(changed))
                solver = WidthSolver(structure, self.classes)
                return solver.macs(solver.widths(width))

            before = None
            while chosen != before:
                before = dict(chosen)
                for values in _alternatives(family, resolution):
                    chosen |= pick(values, key=counted)
            return chosen, counted({})

        lightest, smallest = extreme(min, min(self.resolutions), family.width_min)
        _, largest = extreme(max, max(self.resolutions), family.width_max)
        return {**lightest, "resolution": min(self.resolutions)}, Reach(smallest, largest)

    def _lighter(self, suggested: Suggested, budgets: Sequence[int]) -> Iterator[Suggested]:
        """What was suggested, then ever lighter structures that the space holds too."""
        yield suggested
        structure = suggested.structure
        for side in sorted((side for side in self.resolutions if side < structure.resolution), reverse=True):
            smaller = {**suggested.choices, "resolution": side}
            yield replace(suggested, structure=replace(structure, resolution=side), choices=smaller)
        chosen: Mapping[str, Any] = {**suggested.choices, "resolution": min(self.resolutions)}
        for key in _lightening(structure.stages):
            lighter = self.suggested(_suggest_again(chosen, key), budgets)
            yield lighter
            chosen = lighter.choices
        lightest = {**suggested.choices, **self._extremes[structure.family.name][0]}
        yield self.suggested(_suggest_again(lightest), budgets)

    def _domains(self, suggested: Suggested, budgets: Sequence[int]) -> dict[str, tuple[Any, ...]]:
        """By name of the choice, what could have been suggested."""
        domains: dict[str, tuple[Any, ...]] = {}

        def again(name: str, values: Sequence[Any]) -> Any:
            domains[name] = tuple(values)
            return suggested.choices[name]

        self.suggested(again, budgets)
        return domains

    def _resolution_text(self) -> str:
        low, high = min(self.resolutions), max(self.resolutions)
        return f"{low}x{low}" if low == high else f"{low}x{low} to {high}x{high}"


def find_space(name: str) -> Path:
    """The file of a bundled space's name or of a path; UserError listing the bundled ones if there is none."""
    path = Path(name)
    if path.suffix not in {".yaml", ".yml"} and len(path.parts) == 1:
        path = BUNDLED / f"{name}.yaml"
    if not is_file(path):
        raise UserError(
            f"space '{name}': not found; expected {', '.join(bundled_spaces())} or a path to a .yaml file"
        )
    return path


def bundled_spaces() -> tuple[str, ...]:
    """Names of the spaces that come with the package."""
    return tuple(sorted(path.stem for path in BUNDLED.glob("*.yaml")))


def _family_text(family: str, beside: Path) -> str | None:
    for folder in (beside, BUNDLED):
        path = folder / f"{family}.yaml"
        if is_file(path):
            return read_text(path)
    return None


def _suggest_structure(family: FamilyFile, resolution: int, choose: Suggest) -> Structure:
    stages = tuple(
        _suggest_stage(stage, f"{family.name}.stages.{i}", choose) for i, stage in enumerate(family.stages)
    )
    offered = HEAD_CHOICES if family.head_channels else ()
    head = chosen_values(f"{family.name}.head", offered, family.head_choices, choose)
    return Structure(family, resolution, stages, head)


def _suggest_stage(stage: StageFile, where: str, choose: Suggest) -> Stage:
    channels = choose(f"{where}.channels", stage.channels) * choose(f"{where}.width", stage.width)
    depth = choose(f"{where}.depth", stage.depth)
    chosen = chosen_values(where, stage.kind.choices, stage.choices, choose)
    return Stage(stage, channels, depth, chosen)


def _choices(family: FamilyFile, resolution: int) -> Iterator[tuple[str, Sequence[Any]]]:
    """Every choice that can come up in a family: with each kind of fusion in turn, and the widest expansions."""
    seen: dict[str, Sequence[Any]] = {}
    for fusion in FUSIONS[1:]:

        def choose(name: str, values: Sequence[Any], fusion: str = fusion) -> Any:
            seen.setdefault(name, values)
            return fusion if fusion in values else max(values, key=lambda value: (value != ROOT, value))

        _suggest_structure(family, resolution, choose)
    return iter(seen.items())


def _alternatives(family: FamilyFile, resolution: int) -> Iterator[Sequence[Mapping[str, Any]]]:
    """Of every choice that can come up in a family its values, those of a fusion with each of its numbers."""
    offered = dict(_choices(family, resolution))
    for name, values in offered.items():
        if not name.endswith("fusion"):
            yield [{name: value} for value in values]
            continue
        keys = {kind: f"{name.removesuffix('fusion')}{number}" for number, kind in NUMBERS.items()}
        numbered = [kind for kind in values if kind in keys]
        yield [
            *({name: kind} for kind in values if kind not in keys),
            *({name: kind, keys[kind]: value} for kind in numbered for value in offered[keys[kind]]),
        ]


def _size(family: FamilyFile) -> int:
    size = ways(HEAD_CHOICES, family.head_choices) if family.head_channels else 1
    for stage in family.stages:
        size *= len(stage.channels) * len(stage.width) * len(stage.depth)
        size *= ways(stage.kind.choices, stage.choices)
    return size


def _suggest_again(chosen: Mapping[str, Any], least: str = "") -> Suggest:
    """Suggests what was chosen, the first value where nothing was, and the least for names that end in a key."""

    def suggest(name: str, values: Sequence[Any]) -> Any:
        if least and name.endswith(f".{least}"):
            return min(values)
        return chosen.get(name, values[0])

    return suggest


def _lightening(stages: Sequence[Stage]) -> Iterator[str]:
    """The keys of the choices whose least values make stages lighter, in the order in which they are tried."""
    offered = (choice for stage in stages for choice in stage.file.kind.choices)
    yield from dict.fromkeys(choice.key for choice in offered if choice.lightens)
    yield "depth"
