"""What mixes the channels of a pointwise layer. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple


class Fusion(NamedTuple):
    """How channels are mixed: a kind, and its number where it has one.

    >>> str(butterfly_fusion(4)), str(grouped_fusion(2)), str(low_rank_fusion(4)), str(DENSE)
    ('butterfly-4', 'grouped-2', 'low_rank_grouped-4', 'dense')
    """

    kind: str
    radix: int | None = None
    groups: int = 1
    narrowing: int = 0
    """Channels of a layer, the fewer of its inputs and outputs, over those in the middle of it; 0: it has none."""

    @property
    def number(self) -> int:
        """The radix, the groups or the narrowing; 0 for ``dense``."""
        return self.radix or self.narrowing or self.groups * (self.groups > 1)

    def __str__(self) -> str:
        return f"{self.kind}-{self.number}" if self.number else self.kind


DENSE = Fusion("dense")


@cache
def butterfly_fusion(radix: int) -> Fusion:
    """A butterfly transform; ValueError unless the radix is 2 or more."""
    return checked_fusion(Fusion("butterfly", radix=radix))


@cache
def grouped_fusion(groups: int) -> Fusion:
    """A pointwise convolution in groups; ValueError unless there are 2 or more."""
    return checked_fusion(Fusion("grouped", groups=groups))


@cache
def low_rank_fusion(narrowing: int) -> Fusion:
    """Two grouped layers through a ``narrowing``-th of the channels; ValueError unless that is 1 or more."""
    return checked_fusion(Fusion("low_rank_grouped", narrowing=narrowing))


_NUMBERED: Mapping[str, tuple[Callable[[int], Fusion], int]] = {
    "butterfly": (butterfly_fusion, 2),
    "grouped": (grouped_fusion, 2),
    "low_rank_grouped": (low_rank_fusion, 1),
}
"""Kinds with a number: what makes them of it, and the least one."""
FUSIONS = (DENSE.kind, *_NUMBERED)
"""All kinds. ``dense``: each output has each input. ``butterfly``: the transform of a radix. ``grouped``: dense in
groups, whose channels interleave before they are fused again. ``low_rank_grouped``: two grouped layers through fewer
channels."""


def parse_fusion(text: object) -> Fusion:
    """The fusion of a text that ``str`` made, as files and screens have it; ValueError for any other text.

    >>> parse_fusion("butterfly-8")
    Fusion(kind='butterfly', radix=8, groups=1, narrowing=0)
    """
    if isinstance(text, str):
        kind, _, number = text.partition("-")
        if text == DENSE.kind:
            return DENSE
        if kind in _NUMBERED and number.isdecimal():
            make, least = _NUMBERED[kind]
            if int(number) >= least:
                return make(int(number))
    raise _unknown(text)


def checked_fusion(fusion: Fusion) -> Fusion:
    """The fusion itself; ValueError if there is no fusion like it."""
    if _exists(fusion):
        return fusion
    raise _unknown(fusion)


@cache
def _exists(fusion: Fusion) -> bool:
    numbers = {
        "dense": (0, False, 0),
        "butterfly": (max(2, fusion.radix or 0), False, 0),
        "grouped": (0, True, 0),
        "low_rank_grouped": (0, False, max(1, fusion.narrowing)),
    }
    return numbers.get(fusion.kind) == (fusion.radix or 0, fusion.groups > 1, fusion.narrowing)


FUSIONS_IN_SHORT = "d dense, b4 butterfly of radix 4, g2 two groups, l4 low rank through a quarter"
"""What `short_fusion` writes, in words."""


def short_fusion(fusion: Fusion) -> str:
    """A fusion in a network's pattern of fusions; see `FUSIONS_IN_SHORT`."""
    return f"{fusion.kind[0]}{fusion.number or ''}"


def _unknown(fusion: object) -> ValueError:
    return ValueError(
        "fusion is 'dense', 'butterfly-RADIX' with a radix of 2 or more, 'grouped-GROUPS' with 2 groups or more, or "
        "'low_rank_grouped-NARROWING' with a number of 1 or more, got "
        f"{str(fusion) if isinstance(fusion, Fusion) else fusion!r}"
    )
