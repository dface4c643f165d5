"""Rows of any kind of block, made of what a search space may choose for it, for hypothesis."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, get_args

from hypothesis import strategies as st

from bft_nas.network import BLOCKS, Block, Fusion, grouped_fusion
from bft_nas.network.blocks import ROOT, Choice, Chosen
from bft_nas.network.blocks.ghost import CHEAP_FORMS
from bft_nas.network.blocks.separable import DEPTHWISE_FORMS
from bft_nas.network.checks import Activation
from bft_nas.network.fusion import FUSIONS

VALUES = (1, 2, 3, 4, 5, 7, 8, 1.5, 2.5, 6, False, True, *FUSIONS, ROOT, *DEPTHWISE_FORMS, *CHEAP_FORMS)
"""Every key of every kind takes some of them."""
WIDTHS = st.integers(1, 24).map(lambda half: 2 * half)


@dataclass(frozen=True)
class Rows:
    """Blocks of one kind, the first of which has that many channels to begin with."""

    in_channels: int
    blocks: tuple[Block, ...]


def options(choice: Choice) -> list[Any]:
    """Values that a space may have under a key."""
    return [value for value in VALUES if choice.check[0](value)]


def example_of(kind: str, *, last: bool = False) -> Rows:
    """A stage of two rows of a kind, every choice at its default or, where it has none, at the least that there may be.

    Args:
        kind: of the blocks.
        last: every choice at the last of its values instead, and the activation that learns.
    """
    block = BLOCKS[kind]
    chosen: dict[str, Any] = {}
    for choice in block.choices:
        if choice.when is None or choice.when(chosen):
            default = options(choice)[0] if choice.default is None else choice.default
            chosen[choice.key] = options(choice)[-1] if last else default
    activation: Activation = "acon_c" if last else "relu"
    stride = max(stride for stride in (1, 2) if block.first_stride[0](stride))
    first, second = (
        block.chosen(chosen, *entering, activation, stage=0) for entering in ((16, 24, stride), (24, 24, 1))
    )
    return Rows(16, (first, second))


EXAMPLES = {
    f"{kind}, {'every option' if last else 'as it is'}": example_of(kind, last=last)
    for kind in BLOCKS
    for last in (False, True)
}
"""Of every kind, by what they are."""


@st.composite
def chosen_for(draw: st.DrawFn, kind: type[Block]) -> Chosen:
    """A value for each choice that comes up."""
    chosen: dict[str, Any] = {}
    for choice in kind.choices:
        if choice.when is None or choice.when(chosen):
            chosen[choice.key] = draw(st.sampled_from(options(choice)))
    return chosen


@st.composite
def stages(draw: st.DrawFn, kinds: tuple[str, ...] = tuple(BLOCKS)) -> Rows:
    """A stage: its first row and up to two more; in groups now and then, which no space asks for."""
    kind = BLOCKS[draw(st.sampled_from(kinds))]
    in_channels, channels, repeats = draw(WIDTHS), draw(WIDTHS), draw(st.integers(0, 2))
    stride = draw(st.sampled_from([stride for stride in (1, 2) if kind.first_stride[0](stride)]))
    chosen, activation = draw(chosen_for(kind)), draw(st.sampled_from(get_args(Activation)))
    entering = [in_channels, *[channels] * repeats]
    rows = [
        kind.chosen(chosen, before, channels, stride if place == 0 else 1, activation, stage=0)
        for place, before in enumerate(entering)
    ]
    if draw(st.booleans()):
        rows = [in_groups(row, before) for row, before in zip(rows, entering, strict=True)]
    return Rows(in_channels, tuple(rows))


def in_groups(block: Block, in_channels: int) -> Block:
    """The block with two groups in each of its fusions that can have them."""
    for each in fields(block):
        if isinstance(each.default, Fusion):
            grouped: Block = replace(block, **{each.name: grouped_fusion(2)})  # type: ignore[arg-type]
            block = grouped if is_allowed(grouped, in_channels) else block
    return block


def is_allowed(block: Block, in_channels: int) -> bool:
    """Whether there is such a block."""
    try:
        block.check("row", in_channels)
    except ValueError:
        return False
    return True
