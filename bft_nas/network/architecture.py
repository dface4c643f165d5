"""What a network is, as data: frozen, hashable, JSON-serialisable. Needs no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property
from typing import Any, TypeVar

from bft_nas.butterfly.plan import root_divisor
from bft_nas.network.blocks import ADDED, BLOCKS, Block, block_kind, texts, written
from bft_nas.network.checks import (
    ACTIVATIONS,
    Activation,
    check_count,
    check_flag,
    check_fusion,
    check_kernel,
    check_layer,
    check_member,
)
from bft_nas.network.fusion import DENSE, Fusion, parse_fusion, short_fusion
from bft_nas.network.layer import halved
from bft_nas.network.walk import Row, walk

Described = TypeVar("Described")


@dataclass(frozen=True, slots=True)
class Stem:
    """The first convolution, dense in every network, and the max pooling behind it in ShuffleNetV2.

    A factorised one is two: a column of the kernel that makes about the root of the channels, and rows of it that make
    several of each (MicroNet, arXiv:2108.05894).
    """

    channels: int
    kernel: int = 3
    stride: int = 2
    activation: Activation = "relu"
    pool: bool = False
    factorised: bool = field(default=False, metadata=ADDED)

    @property
    def middle(self) -> int:
        """Channels between the two layers of a factorised one, as in MicroNet."""
        return root_divisor(self.channels)

    def end(self, resolution: int) -> int:
        """Height and width behind it."""
        size = halved(resolution, self.stride)
        return halved(size, 2) if self.pool else size


@dataclass(frozen=True, slots=True)
class Head:
    """What follows the blocks: a pointwise layer, average pooling, a hidden linear layer, the classifier.

    A channel or feature count of 0 leaves that layer out.
    """

    channels: int = 0
    fusion: Fusion = DENSE
    hidden: int = 0
    activation: Activation = "relu"


@dataclass(frozen=True)
class Architecture:
    """One network, completely described: the thing searched, stored, costed, built and exported.

    Raises:
        ValueError: the rows do not describe a network; the message names the row and what was expected.

    >>> from bft_nas.network.blocks.separable import SeparableBlock
    >>> net = Architecture("tiny", 32, Stem(16), (SeparableBlock(32),), Head())
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
        if not isinstance(self.family, str):
            raise ValueError(f"family: expected a name, got {self.family!r}")
        for name in ("resolution", "classes", "in_channels"):
            check_count(name, getattr(self, name), 1)
        stem, head = self.stem, self.head
        check_layer("stem", stem.channels, stem.stride, stem.activation)
        check_kernel("stem.kernel", stem.kernel)
        check_flag("stem.pool", stem.pool)
        check_flag("stem.factorised", stem.factorised)
        if not self.blocks:
            raise ValueError("blocks: expected at least one row")
        seen = None
        for i, (block, in_channels, _) in enumerate(self.walk()):
            # The rows of a stage are often one row several times.
            if block is not seen or in_channels != block.channels:
                if BLOCKS.get(block.kind) is not type(block):
                    raise ValueError(f"blocks[{i}]: there is no such kind of block, got {block!r}")
                block.check(f"blocks[{i}]", in_channels)
                check_count(f"blocks[{i}].stage", block.stage, 0)
            seen = block
        check_count("head.channels", head.channels, 0)
        check_count("head.hidden", head.hidden, 0)
        check_member("head.activation", head.activation, ACTIVATIONS)
        mixed = (self.blocks[-1].channels, head.channels) if head.channels else ()
        check_fusion("head.fusion", head.fusion, *mixed)

    def walk(self) -> Iterator[Row]:
        """The blocks with what enters them, in the order in which they run."""
        return walk(self.blocks, self.stem.channels, self.stem.end(self.resolution))

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

        How a block with several writes them is its kind's `Block.dialect`. Rows of one stage that differ are joined
        by ``+``; a stage without a fusion is ``-``.
        """
        stages: dict[int, list[str]] = {}
        for block, in_channels, _ in self.walk():
            names = stages.setdefault(block.stage, [])
            name = block.pattern(in_channels)
            if name not in names:
                names.append(name)
        pattern = ["+".join(filter(None, names)) or "-" for names in stages.values()]
        if self.head.channels:
            pattern.append(short_fusion(self.head.fusion))
        return " ".join(pattern)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return values | {
            "stem": written(self.stem),
            "blocks": [block.to_dict() for block in self.blocks],
            "head": texts({each.name: getattr(self.head, each.name) for each in fields(Head)}),
        }

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
        given["stem"] = _read(Stem, "stem", given["stem"])
        given["head"] = _read(Head, "head", given["head"])
        if not isinstance(given["blocks"], list):
            raise ValueError("blocks: expected a list of rows")
        given["blocks"] = tuple(_block(f"blocks[{i}]", row) for i, row in enumerate(given["blocks"]))
        return cls(**given)

    @classmethod
    def from_json(cls, text: str) -> Architecture:
        """The inverse of `to_json`; raises ValueError when the text is no JSON or describes no network."""
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"architecture: not JSON ({error})") from None
        return cls.from_dict(content)


def _block(where: str, content: object) -> Block:
    given = dict(_mapping(where, content))
    if "kind" not in given:
        raise ValueError(f"{where}: missing key 'kind'")
    kind = block_kind(given.pop("kind"), f"{where}.kind")
    for key, nothing in kind.unused.items():
        value = given.pop(key, nothing)
        if value != nothing:
            raise ValueError(
                f"{where}.{key}: a {kind.kind} block has none, expected {nothing!r}, got {value!r}"
            )
    return _read(kind, where, given)


def _read(kind: type[Described], where: str, content: object) -> Described:
    given = _known(kind, where, content)
    for each in fields(kind):  # type: ignore[arg-type]
        if isinstance(each.default, Fusion) and each.name in given:
            try:
                given[each.name] = parse_fusion(given[each.name])
            except ValueError as error:
                raise ValueError(f"{where}.{each.name}: {error}") from None
    return kind(**given)


def _known(kind: type[Any], where: str, content: object) -> dict[str, Any]:
    content = _mapping(where, content)
    declared = {each.name: each for each in fields(kind)}
    unknown = sorted(set(content) - set(declared))
    if unknown:
        raise ValueError(f"{where}: unknown key {unknown[0]!r}; expected {', '.join(declared)}")
    required = [name for name, each in declared.items() if each.default is MISSING]
    missing = [name for name in required if name not in content]
    if missing:
        raise ValueError(f"{where}: missing key {missing[0]!r}")
    return dict(content)


def _mapping(where: str, content: object) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise ValueError(f"{where}: expected a mapping, got {type(content).__name__}")
    return content
