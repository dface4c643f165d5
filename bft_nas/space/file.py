"""Reading a search space's YAML: every key checked, every mistake one line that names file, key and expectation."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from bft_nas.core.errors import UserError, one_line
from bft_nas.core.units import LEAST_SIDE, MOST_SIDE
from bft_nas.network.blocks import (
    BLOCKS,
    KERNEL,
    YES_OR_NO,
    Block,
    Check,
    Choice,
    block_kind,
    fusion_choices,
    member,
    number,
    whole,
)
from bft_nas.network.checks import ACTIVATIONS, Activation

NAME: Check = (
    lambda value: isinstance(value, str) and value.isidentifier(),
    "a name of letters, digits and underscores",
)
ACTIVATION = member(*ACTIVATIONS)
WIDTH = number(0.05, 20)
HEAD_CHOICES = (*fusion_choices(), Choice("width", WIDTH, 1.0))

Values = Mapping[str, tuple[Any, ...]]
"""By the key of a `Choice`, the values to choose from."""


@dataclass(frozen=True)
class StageFile:
    """One stage of a family: a tuple for each field that may be a choice."""

    kind: type[Block]
    stride: int
    activation: Activation
    channels: tuple[int, ...]
    width: tuple[float, ...]
    depth: tuple[int, ...]
    choices: Values
    """Of the kind's own `Block.choices`."""


@dataclass(frozen=True)
class StemFile:
    """The stem of a family."""

    channels: int
    kernel: int
    stride: int
    activation: Activation
    pool: bool
    factorised: bool


@dataclass(frozen=True)
class FamilyFile:
    """One family of networks."""

    name: str
    width_min: float
    width_max: float
    stem: StemFile
    stages: tuple[StageFile, ...]
    head_channels: int
    head_hidden: int
    head_choices: Values
    """Of `HEAD_CHOICES`."""
    head_activation: Activation
    published: tuple[Mapping[str, Any], ...] = ()
    """What a known network of the family has in each stage, as far as the choices hold it, and then in the head, where
    there is one; empty without such a network."""


@dataclass(frozen=True)
class SpaceFile:
    """A whole space: one family, or several to choose from."""

    families: tuple[FamilyFile, ...]
    resolution: tuple[int, ...]
    budget_share: tuple[float, ...]
    text: str


class _Reader:
    """The values of one mapping, taken key by key; `done` refuses what is left over."""

    def __init__(self, content: object, where: str) -> None:
        if not isinstance(content, Mapping):
            raise UserError(f"{where}: expected keys and values, got {shown(content)}")
        self.where = where
        self.left = dict(content)
        self.known: list[str] = []

    def one(self, key: str, check: Check, default: Any = None) -> Any:
        """A single value."""
        value = self._take(key, check[1], default)
        if isinstance(value, list):
            raise UserError(f"{self.where}: {key}: no choice here; expected {check[1]}, got {shown(value)}")
        return self._checked(key, value, check)

    def choice(self, key: str, check: Check, default: Any = None) -> tuple[Any, ...]:
        """A single value or a list of different ones."""
        value = self._take(key, check[1], default)
        values = value if isinstance(value, list) else [value]
        if not values:
            raise UserError(f"{self.where}: {key}: empty list; expected {check[1]}, once or several times")
        checked = tuple(self._checked(key, item, check) for item in values)
        if len(set(checked)) < len(checked):
            raise UserError(f"{self.where}: {key}: expected different values, got {shown(values)}")
        return checked

    def choices(self, choices: Iterable[Choice]) -> Values:
        """Several choices, whether they can come up or not."""
        return {each.key: self.choice(each.key, each.check, each.default) for each in choices}

    def mapping(self, key: str, default: Any = None) -> _Reader:
        """A mapping inside this one."""
        return _Reader(self._take(key, "keys and values", default), f"{self.where}: {key}")

    def raw(self, key: str, expected: str, default: Any = None) -> Any:
        """Whatever stands there."""
        return self._take(key, expected, default)

    def done(self) -> None:
        """Refuse keys that nobody asked for."""
        if self.left:
            unknown = next(iter(self.left))
            raise UserError(
                f"{self.where}: unknown key {shown(unknown)}; expected {', '.join(sorted(self.known))}"
            )

    def _take(self, key: str, expected: str, default: Any) -> Any:
        self.known.append(key)
        if key in self.left:
            return self.left.pop(key)
        if default is None:
            raise UserError(f"{self.where}: missing key '{key}'; expected {expected}")
        return default

    def _checked(self, key: str, value: Any, check: Check) -> Any:
        fits, expected = check
        if not fits(value):
            raise UserError(f"{self.where}: {key}: expected {expected}, got {shown(value)}")
        return value


# An anchor that is repeated in a list that is repeated makes a value that is too long to be written out.
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict = 3, 10, 10
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 80


def shown(value: object) -> str:
    """A value as it stands in a message: one line, not too long."""
    text = one_line(_SHORT.repr(value))
    return text if len(text) <= 60 else text[:57] + "..."


def parse_space(text: str, where: str, family_text: Callable[[str], str | None]) -> SpaceFile:
    """Read a space; ``family_text`` gives the YAML of a family that is named instead of written out.

    Raises:
        UserError: broken YAML, or a key or value that is not expected.
    """
    content = _load(text, where)
    reader = _Reader(content, where)
    if isinstance(content, Mapping) and isinstance(content.get("family"), list):
        entries = reader.raw("family", "the names of families")
        families, contents = [], []
        for entry in entries:
            family, family_content = _family_entry(entry, where, family_text)
            families.append(family)
            contents.append(family_content)
        if not families:
            raise UserError(f"{where}: family: empty list; expected the names of families")
        names = [family.name for family in families]
        if len(set(names)) < len(names):
            raise UserError(f"{where}: family: expected different families, got {shown(names)}")
        resolution, budget_share = _shared(reader)
        reader.done()
        content = {**content, "family": contents}
    else:
        families = [_family(reader)]
        resolution, budget_share = _shared(reader)
        reader.done()
    return SpaceFile(tuple(families), resolution, budget_share, yaml.safe_dump(content, sort_keys=False))


def _shared(reader: _Reader) -> tuple[tuple[int, ...], tuple[float, ...]]:
    resolution = reader.choice("resolution", whole(LEAST_SIDE, MOST_SIDE), 224)
    return resolution, reader.choice("budget_share", number(0.05, 1), 1.0)


def _family_entry(
    entry: object, where: str, family_text: Callable[[str], str | None]
) -> tuple[FamilyFile, dict[str, Any]]:
    """A family given by name or written out, and what was written, without what the space itself decides."""
    inside = f"{where}: family"
    if isinstance(entry, str):
        text = family_text(entry) if NAME[0](entry) else None
        if text is None:
            raise UserError(f"{inside}: {shown(entry)} is neither a bundled space nor a file beside this one")
        inside = f"{where}: family {entry}"
        entry = _load(text, inside)
    reader = _Reader(entry, inside)
    family = _family(reader)
    _shared(reader)
    reader.done()
    assert isinstance(entry, Mapping)
    return family, {k: v for k, v in entry.items() if k not in ("resolution", "budget_share")}


def _family(reader: _Reader) -> FamilyFile:
    name = reader.one("family", NAME)
    limits = reader.mapping("width", {"min": 0.1, "max": 4.0})
    width_min, width_max = limits.one("min", WIDTH), limits.one("max", WIDTH)
    limits.done()
    if width_min > width_max:
        raise UserError(f"{limits.where}: expected min to be at most max, got {width_min} and {width_max}")
    stem = reader.mapping("stem")
    stem_file = StemFile(
        stem.one("channels", whole(1)),
        stem.one("kernel", KERNEL, 3),
        stem.one("stride", whole(1, 2), 2),
        stem.one("activation", ACTIVATION, "relu"),
        stem.one("pool", YES_OR_NO, False),
        stem.one("factorised", YES_OR_NO, False),
    )
    stem.done()
    rows = reader.raw("stages", "a list of stages")
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{reader.where}: stages: expected a list of stages, got {shown(rows)}")
    stages = tuple(_stage(_Reader(row, f"{reader.where}: stages[{i}]")) for i, row in enumerate(rows))
    head = reader.mapping("head", {"channels": 0})
    head_channels, head_hidden = head.one("channels", whole(0), 0), head.one("hidden", whole(0), 0)
    head_choices = head.choices(HEAD_CHOICES)
    family = FamilyFile(
        name,
        width_min,
        width_max,
        stem_file,
        stages,
        head_channels,
        head_hidden,
        head_choices,
        head.one("activation", ACTIVATION, "relu"),
        _published(reader, stages, head_choices if head_channels else None),
    )
    head.done()
    return family


def _published(
    reader: _Reader, stages: Sequence[StageFile], head: Values | None
) -> tuple[Mapping[str, Any], ...]:
    offered = [{"width": stage.width, "depth": stage.depth, **stage.choices} for stage in stages]
    offered += [dict(head)] if head is not None else []
    where = f"{reader.where}: published"
    rows = reader.raw("published", "a row for each stage", [])
    if not isinstance(rows, list) or len(rows) not in (0, len(offered)):
        last = " and one for the head" if head is not None else ""
        raise UserError(f"{where}: expected a row for each of {len(stages)} stages{last}, got {shown(rows)}")
    found = []
    for place, (row, values) in enumerate(zip(rows, offered, strict=False)):
        one = _Reader(row, f"{where}[{place}]")
        found.append({key: one.one(key, _one_of(each)) for key, each in values.items() if key in one.left})
        one.known = list(values)
        one.done()
    return tuple(found)


def _one_of(values: Sequence[Any]) -> Check:
    """What a stage offers: true is no 1 there."""
    offered = {(type(value) is bool, value) for value in values}
    return (
        lambda value: not isinstance(value, list | dict) and (type(value) is bool, value) in offered,
        f"{' or '.join(shown(value) for value in values)}, as its stage offers",
    )


def _stage(reader: _Reader) -> StageFile:
    kind = block_kind(reader.one("block", member(*BLOCKS)))
    stage = StageFile(
        kind,
        reader.one("stride", kind.first_stride, 2),
        reader.one("activation", ACTIVATION, "relu"),
        reader.choice("channels", whole(1)),
        reader.choice("width", WIDTH, 1.0),
        reader.choice("depth", whole(1, 64), 1),
        reader.choices(kind.choices),
    )
    reader.done()
    return stage


class _Loader(yaml.SafeLoader):
    """Safe YAML in which what is written is what is read.

    A key written twice is a mistake, not a silent choice of the second. A number or a truth is what YAML 1.2 takes for
    one: to YAML 1.1, which PyYAML reads, ``1:30`` is 90, ``017`` is 15 and ``on`` is true. Here they are text, which
    is refused wherever a number is expected. Tags, which would still convert them, are not read.
    """

    def fetch_tag(self) -> None:
        raise yaml.scanner.ScannerError(None, None, "expected no tags such as !!int", self.get_mark())

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        written = [child.value for child, _ in node.value if isinstance(child, yaml.ScalarNode)]
        for key in written:
            if written.count(key) > 1 and key != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"key '{key}' stands twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {}
for _kind, _form in (
    ("null", r"|~|null|Null|NULL"),
    ("bool", r"true|True|TRUE|false|False|FALSE"),
    ("int", r"[-+]?(0|[1-9][0-9]*)"),
    ("float", r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?"),
    ("merge", r"<<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(rf"({_form})\Z"), None)


def _load(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}" if mark else "somewhere"
        raise UserError(f"{where}: broken YAML in {line}: {one_line(error.problem)}") from None
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise UserError(f"{where}: broken YAML: {one_line(error)[:200]}") from None
