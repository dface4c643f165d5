"""A family with one kind of channel fusion: the control of what another kind is worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bft_nas.network.blocks import Choice
from bft_nas.network.fusion import DENSE
from bft_nas.space.file import HEAD_CHOICES, FamilyFile, Values


def fusions_of(family: FamilyFile) -> set[str]:
    """The kinds of fusions that are offered anywhere in a family."""
    return {
        kind for values, choices in _with_fusions(family) for key in _keys(choices) for kind in values[key]
    }


def with_fusion(family: FamilyFile, kind: str) -> FamilyFile:
    """The family with one kind of fusion wherever it is offered; dense is everywhere, offered or not."""

    def only(values: Values, choices: Sequence[Choice]) -> Values:
        return {**values, **{key: (kind,) for key in _keys(choices) if kind in (DENSE.kind, *values[key])}}

    return replace(
        family,
        stages=tuple(
            replace(stage, choices=only(stage.choices, stage.kind.choices)) for stage in family.stages
        ),
        head_choices=only(family.head_choices, HEAD_CHOICES),
    )


def _with_fusions(family: FamilyFile) -> Iterator[tuple[Values, Sequence[Choice]]]:
    for stage in family.stages:
        yield stage.choices, stage.kind.choices
    if family.head_channels:
        yield family.head_choices, HEAD_CHOICES


def _keys(choices: Sequence[Choice]) -> list[str]:
    return [choice.key for choice in choices if choice.fusion]
