"""The kinds of blocks, a file each: what is known of a kind anywhere in this package is asked here. Needs no torch.

A file without an underscore is a kind, and its module is in the file of the same name in `bft_nas.network.modules`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from pkgutil import iter_modules

from bft_nas.network.blocks._block import ADDED, Block, texts, written
from bft_nas.network.blocks._choices import (
    KERNEL,
    ROOT,
    YES_OR_NO,
    Check,
    Choice,
    Chosen,
    chosen_fusion,
    fusion_choices,
    member,
    number,
    whole,
)
from bft_nas.network.blocks._counts import (
    Count,
    Mixed,
    chosen_arrays,
    convolution,
    depthwise,
    factorised,
    linear,
    pointwise,
)
from bft_nas.network.checks import check_member

__all__ = [
    "ADDED",
    "BLOCKS",
    "DIALECTS",
    "KERNEL",
    "PARTS",
    "ROOT",
    "YES_OR_NO",
    "Block",
    "Check",
    "Choice",
    "Chosen",
    "Count",
    "Mixed",
    "block_kind",
    "chosen_arrays",
    "chosen_fusion",
    "convolution",
    "depthwise",
    "factorised",
    "fusion_choices",
    "linear",
    "member",
    "number",
    "pointwise",
    "texts",
    "whole",
    "written",
]


def _kinds() -> Iterator[type[Block]]:
    for file in iter_modules(__path__):
        if not file.name.startswith("_"):
            home = f"{__name__}.{file.name}"
            kinds = [
                each
                for each in vars(import_module(home)).values()
                if isinstance(each, type) and issubclass(each, Block) and each.__module__ == home
            ]
            if [kind.kind for kind in kinds] != [file.name]:
                raise ValueError(f"{home}: expected one subclass of Block with the kind '{file.name}'")
            yield kinds[0]


def _in_order(kinds: Iterable[type[Block]]) -> tuple[str, ...]:
    """One order of the parts of all kinds, so that the same parts of two networks can stand across from each other."""
    order: list[str] = []
    for kind in kinds:
        after = 0
        for part in kind.parts:
            if part not in order:
                order.insert(after, part)
            elif order.index(part) < after:
                raise ValueError(f"{kind.kind}.py: part '{part}' runs before '{order[after - 1]}' elsewhere")
            after = order.index(part) + 1
    return tuple(order)


BLOCKS = {kind.kind: kind for kind in _kinds()}
"""Every kind by its name."""
PARTS = _in_order(BLOCKS.values())
"""The layers that a block of any kind may have, in the order in which they run."""

DIALECTS = "; ".join(dict.fromkeys(kind.dialect for kind in BLOCKS.values() if kind.dialect))
"""How the kinds with several fusions write them, in words."""


def block_kind(name: object, where: str = "block") -> type[Block]:
    """The kind of that name; ValueError naming the known ones if there is none."""
    check_member(where, name, tuple(BLOCKS))
    return BLOCKS[str(name)]
