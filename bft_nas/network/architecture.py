"""What a network is, as data: frozen, hashable, JSON-serialisable. Needs no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache, cached_property
from typing import Any, Literal, get_args

BlockKind = Literal["separable", "shuffle", "inverted"]
Activation = Literal["relu", "hard_swish"]

DENSE = "dense"


def butterfly_fusion(radix: int) -> str:
    """The name of a butterfly fusion, as architectures store it: ``butterfly-4``."""
    return f"butterfly-{radix}"


def grouped_fusion(groups: int) -> str:
    """The name of a pointwise convolution in groups, as architectures store it: ``grouped-2``."""
    return f"grouped-{groups}"


@cache
def fusion_radix(fusion: str) -> int | None:
    """The radix of a butterfly, None for any other fusion; see `parse_fusion` for what it raises.

    >>> fusion_radix("butterfly-8"), fusion_radix("dense")
    (8, None)
    """
    kind, number = parse_fusion(fusion)
    return number if kind == "butterfly" else None


@cache
def fusion_groups(fusion: str) -> int:
    """Into how many groups a pointwise convolution is cut, 1 unless it is ``grouped``.

    >>> fusion_groups("grouped-2"), fusion_groups("dense")
    (2, 1)
    """
    kind, number = parse_fusion(fusion)
    return number if kind == "grouped" else 1


@cache
def parse_fusion(fusion: str) -> tuple[str, int]:
    """What kind of fusion it is, and its radix or number of groups (1 for a dense one).

    Raises ValueError for anything but ``dense``, ``butterfly-RADIX`` and ``grouped-GROUPS``, both of 2 or more.

    >>> parse_fusion("butterfly-8"), parse_fusion("grouped-2"), parse_fusion("dense")
    (('butterfly', 8), ('grouped', 2), ('dense', 1))
    """
    if fusion == DENSE:
        return DENSE, 1
    kind, _, number = str(fusion).partition("-")
    if kind not in {"butterfly", "grouped"} or not number.isdecimal() or int(number) < 2:
        raise ValueError(
            f"fusion is 'dense', 'butterfly-RADIX' with a radix of 2 or more or 'grouped-GROUPS' with 2 groups"
            f" or more, got {fusion!r}"
        )
    return kind, int(number)


@dataclass(frozen=True, slots=True)
class Stem:
    """The first convolution, dense in every network, and the max pooling behind it in ShuffleNetV2."""

    channels: int
    kernel: int = 3
    stride: int = 2
    activation: Activation = "relu"
    pool: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """One row of a network's table; the channel count of its input is that of the row above.

    ``separable``: depthwise, pointwise (MobileNetV1). ``shuffle``: the ShuffleNetV2 unit, two branches when it
    has a stride. ``inverted``: expand, depthwise, squeeze-excite, project (MobileNetV2 and V3); no expansion when
    ``expanded`` equals the input's channels.
    """

    kind: BlockKind
    channels: int
    kernel: int = 3
    stride: int = 1
    activation: Activation = "relu"
    fusion: str = DENSE
    """What mixes channels in every pointwise layer of the block; in an inverted one, in the projection."""
    expanded: int = 0
    """Channels between the two pointwise layers of an inverted block; 0 in the others."""
    expand_fusion: str = DENSE
    """What mixes channels in the expansion of an inverted block."""
    squeeze: int = 0
    """Channels in the middle of the squeeze-excite; 0 leaves it out."""
    stage: int = 0
    """Which stage of the search space the row belongs to; a label for people, without effect on the network."""


@dataclass(frozen=True, slots=True)
class Head:
    """What follows the blocks: a pointwise layer, average pooling, a hidden linear layer, the classifier.

    A channel or feature count of 0 leaves that layer out.
    """

    channels: int = 0
    fusion: str = DENSE
    hidden: int = 0
    activation: Activation = "relu"


@dataclass(frozen=True)
class Architecture:
    """One network, completely described: the thing searched, stored, costed, built and exported.

    Raises:
        ValueError: the rows do not describe a network; the message names the row and what was expected.

    >>> net = Architecture("tiny", 32, Stem(16), (Block("separable", 32, fusion="butterfly-4"),), Head())
    >>> Architecture.from_json(net.to_json()) == net
    True
    """

    family: str
    resolution: int
    stem: Stem
    blocks: tuple[Block, ...]
    head: Head
    classes: int = 1000
    in_channels: int = 3

    def __post_init__(self) -> None:
        for name in ("resolution", "classes", "in_channels"):
            _check_count(name, getattr(self, name), 1)
        _check_layer("stem", self.stem.channels, self.stem.kernel, self.stem.stride, self.stem.activation)
        if not self.blocks:
            raise ValueError("blocks: expected at least one row")
        channels = self.stem.channels
        for i, block in enumerate(self.blocks):
            _check_block(f"blocks[{i}]", block, channels)
            channels = block.channels
        _check_count("head.channels", self.head.channels, 0)
        _check_count("head.hidden", self.head.hidden, 0)
        _check_member("head.activation", self.head.activation, get_args(Activation))
        mixed = (channels, self.head.channels) if self.head.channels else ()
        _check_fusion("head.fusion", self.head.fusion, *mixed)

    @cached_property
    def hash(self) -> str:
        """12 hex digits, equal for two descriptions of the same network and different otherwise."""
        content = self.to_dict()
        del content["family"]
        for block in content["blocks"]:
            del block["stage"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def fusion_pattern(self) -> str:
        """The fusions stage by stage, the head's last: ``d`` dense, ``b4`` butterfly of radix 4, ``g2`` two groups.

        An inverted block writes expansion and projection, ``b4/d``; ``-/d`` when it does not expand. Rows of one
        stage that differ are joined by ``+``.
        """
        stages: dict[int, list[str]] = {}
        channels = self.stem.channels
        for block in self.blocks:
            name = _short(block.fusion)
            if block.kind == "inverted":
                expands = block.expanded != channels
                name = f"{_short(block.expand_fusion) if expands else '-'}/{name}"
            names = stages.setdefault(block.stage, [])
            if name not in names:
                names.append(name)
            channels = block.channels
        pattern = ["+".join(names) for names in stages.values()]
        if self.head.channels:
            pattern.append(_short(self.head.fusion))
        return " ".join(pattern)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers."""
        content = asdict(self)
        content["blocks"] = [dict(block) for block in content["blocks"]]
        return content

    def to_json(self) -> str:
        """Readable JSON, one line a block."""
        content = self.to_dict()
        rows = ",\n".join("    " + json.dumps(block) for block in content.pop("blocks"))
        lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items()]
        lines.append(f'  "blocks": [\n{rows}\n  ]')
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Architecture:
        """The inverse of `to_dict`; raises ValueError naming the key that is missing, unknown or wrong."""
        given = _known(cls, "architecture", content)
        for key, kind in (("stem", Stem), ("head", Head)):
            given[key] = _row(kind, key, given[key])
        if not isinstance(given["blocks"], list):
            raise ValueError("blocks: expected a list of rows")
        given["blocks"] = tuple(_row(Block, f"blocks[{i}]", row) for i, row in enumerate(given["blocks"]))
        return cls(**given)

    @classmethod
    def from_json(cls, text: str) -> Architecture:
        """The inverse of `to_json`; raises ValueError when the text is no JSON or describes no network."""
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"architecture: not JSON ({error})") from None
        return cls.from_dict(content)


def _short(fusion: str) -> str:
    kind, number = parse_fusion(fusion)
    return "d" if kind == DENSE else f"{kind[0]}{number}"


def _row(kind: type[Any], where: str, content: object) -> Any:
    return kind(**_known(kind, where, content))


def _known(kind: type[Any], where: str, content: object) -> dict[str, Any]:
    if not isinstance(content, Mapping):
        raise ValueError(f"{where}: expected a mapping, got {type(content).__name__}")
    declared = {field.name: field for field in fields(kind)}
    unknown = sorted(set(content) - set(declared))
    if unknown:
        raise ValueError(f"{where}: unknown key {unknown[0]!r}; expected {', '.join(declared)}")
    required = [name for name, field in declared.items() if field.default is field.default_factory]
    missing = [name for name in required if name not in content]
    if missing:
        raise ValueError(f"{where}: missing key {missing[0]!r}")
    return dict(content)


def _check_block(where: str, block: Block, in_channels: int) -> None:
    _check_member(f"{where}.kind", block.kind, get_args(BlockKind))
    _check_layer(where, block.channels, block.kernel, block.stride, block.activation)
    inverted = block.kind == "inverted"
    _check_count(f"{where}.expanded", block.expanded, 1 if inverted else 0)
    _check_count(f"{where}.squeeze", block.squeeze, 0)
    if not inverted and (block.expanded or block.squeeze):
        raise ValueError(f"{where}: only an inverted block has 'expanded' and 'squeeze'")
    if inverted:
        expanding = (in_channels, block.expanded) if block.expanded != in_channels else ()
        _check_fusion(f"{where}.expand_fusion", block.expand_fusion, *expanding)
        _check_fusion(f"{where}.fusion", block.fusion, block.expanded, block.channels)
    else:
        _check_fusion(f"{where}.expand_fusion", block.expand_fusion)
        mixed = block.channels // 2 if block.kind == "shuffle" else block.channels
        entering = mixed if block.kind == "shuffle" and block.stride == 1 else in_channels
        _check_fusion(f"{where}.fusion", block.fusion, entering, mixed)
    if block.kind == "shuffle":
        if block.channels % 2:
            raise ValueError(f"{where}.channels: a shuffle block needs an even number, got {block.channels}")
        if block.stride == 1 and block.channels != in_channels:
            raise ValueError(
                f"{where}.channels: a shuffle block of stride 1 keeps its {in_channels} channels"
            )


def _check_layer(where: str, channels: int, kernel: int, stride: int, activation: str) -> None:
    _check_count(f"{where}.channels", channels, 1)
    _check_count(f"{where}.kernel", kernel, 1)
    if kernel % 2 == 0:
        raise ValueError(f"{where}.kernel: expected an odd number, got {kernel}")
    _check_member(f"{where}.stride", stride, (1, 2))
    _check_member(f"{where}.activation", activation, get_args(Activation))


def _check_fusion(where: str, fusion: str, *channels: int) -> None:
    """``channels``: those of the inputs and outputs of the layers that it fuses; none if there is no such layer."""
    try:
        groups = fusion_groups(fusion)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if fusion != DENSE and not channels:
        raise ValueError(f"{where}: there is no such layer, so it has to be 'dense', got {fusion!r}")
    for count in channels:
        if count % groups:
            raise ValueError(f"{where}: expected a divisor of {count} channels, got {groups} groups")


def _check_count(where: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{where}: expected a whole number of {least} or more, got {value!r}")


def _check_member(where: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{where}: expected {' or '.join(map(str, allowed))}, got {value!r}")
