"""What no network of a family can have: more halvings than its images have, wider fusions than its layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from bft_nas.core.errors import UserError
from bft_nas.network.blocks import ROOT, Choice
from bft_nas.network.fusion import DENSE, grouped_fusion
from bft_nas.network.layer import halved
from bft_nas.network.widths import on_grid
from bft_nas.space.choosing import chosen_values
from bft_nas.space.file import HEAD_CHOICES, FamilyFile, StageFile, Values

NUMBERS = {"radix": "butterfly", "groups": "grouped", "narrowing": "low_rank_grouped"}
"""The key of a fusion's number, and the fusion."""
MARK = grouped_fusion(2)
"""Stands for the fusion that is asked for."""


def check_limits(family: FamilyFile, where: str) -> None:
    """UserError naming the stage and the key where a fusion has a number above the channels of its widest layer.

    Or the key of the head, where it chooses for a layer that it has not.
    """
    entering = _widest(family, family.stem.channels)
    for i, stage in enumerate(family.stages):
        leaving = _widest(family, max(stage.channels) * max(stage.width))
        widest = partial(_widest_fused, stage, entering, leaving)
        _check_numbers(f"{where}: stages[{i}]", stage.kind.choices, stage.choices, widest)
        entering = leaving
    if family.head_channels:
        leaving = _widest(family, family.head_channels * max(family.head_choices["width"]))
        narrower = min(entering, leaving)
        _check_numbers(f"{where}: head", HEAD_CHOICES, family.head_choices, lambda fusion: narrower)
        return
    for choice in HEAD_CHOICES:
        if family.head_choices[choice.key] != (choice.default,):
            raise UserError(f"{where}: head: {choice.key}: expected channels of 1 or more beside it, got 0")


def check_halvings(families: Sequence[FamilyFile], resolutions: Sequence[int], where: str) -> None:
    """UserError with the least resolution where a family would halve images of a single pixel."""
    least = min(resolutions)
    for family in families:
        strides = (*_strides(family),)
        size = least
        for stride in strides:
            if stride > 1 and size == 1:
                halvings = sum(each > 1 for each in strides)
                raise UserError(
                    f"{where}: family {family.name} halves images {halvings} times; expected {2 ** (halvings - 1) + 1}"
                    f" pixels or more, or a space with fewer halvings such as tiny, got {least}"
                )
            size = halved(size, stride)


def _strides(family: FamilyFile) -> Iterator[int]:
    yield family.stem.stride
    if family.stem.pool:
        yield 2
    for stage in family.stages:
        yield stage.stride


def _widest(family: FamilyFile, channels: float) -> int:
    return on_grid(family.width_max * channels)


def _widest_fused(stage: StageFile, entering: int, leaving: int, fusion: str) -> int:
    """The most channels, of input or output whichever has fewer, of a layer with a fusion; 0 if there is no layer.

    Args:
        stage: with what may be chosen for it.
        entering: the most channels of its input.
        leaving: those of its output.
        fusion: the field of a row that says what fuses the layer.
    """

    def pick(name: str, values: Sequence[Any]) -> Any:
        return max((value for value in values if not isinstance(value, str)), default=values[0])

    chosen = chosen_values("", stage.kind.choices, stage.choices, pick)
    if "added" in stage.choices.get("cheap_form", ()):
        chosen["cheap_form"] = "added"
    widest = 0
    for channels, stride in ((entering, stage.stride), (leaving, 1))[: max(stage.depth)]:
        row = stage.kind.chosen(chosen, channels, leaving, stride, stage.activation, 0)
        fusions = {each.key: DENSE for each in stage.kind.choices if each.fusion}
        row = replace(row, **(fusions | {fusion: MARK}))  # type: ignore[arg-type]
        fused = (layer for layer in row.layers(channels, 1) if layer.fusion == MARK)
        widest = max([widest, *(min(layer.in_channels, layer.out_channels) for layer in fused)])
    return widest


def _check_numbers(
    where: str, choices: Sequence[Choice], values: Values, widest_fused: Callable[[str], int]
) -> None:
    for choice in choices:
        prefix, _, number = choice.key.rpartition("_")
        if number not in NUMBERS:
            continue
        fusion = f"{prefix}_fusion" if prefix else "fusion"
        if NUMBERS[number] not in values[fusion]:
            continue
        largest = max((value for value in values[choice.key] if value != ROOT), default=0)
        widest = widest_fused(fusion)
        if 0 < widest < largest:
            raise UserError(
                f"{where}: {choice.key}: expected {widest} or less, the channels of its widest layer, got {largest}"
            )
