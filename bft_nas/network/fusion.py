"""What mixes the channels of a pointwise layer: all of them, a butterfly transform, or groups. Needs no torch."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple


class Fusion(NamedTuple):
    """How channels are mixed: a kind, and its radix or number of groups where it has one.

    >>> str(butterfly_fusion(4)), str(grouped_fusion(2)), str(DENSE)
    ('butterfly-4', 'grouped-2', 'dense')
    """

    kind: str
    radix: int | None = None
    groups: int = 1

    def __str__(self) -> str:
        number = self.radix or self.groups
        return f"{self.kind}-{number}" if number > 1 else self.kind


DENSE = Fusion("dense")


@cache
def butterfly_fusion(radix: int) -> Fusion:
    """A butterfly transform; ValueError unless the radix is 2 or more."""
    return checked_fusion(Fusion("butterfly", radix=radix))


@cache
def grouped_fusion(groups: int) -> Fusion:
    """A pointwise convolution in groups; ValueError unless there are 2 or more."""
    return checked_fusion(Fusion("grouped", groups=groups))


def parse_fusion(text: object) -> Fusion:
    """The fusion of a text that ``str`` made, as files and screens have it.

    Raises ValueError for anything but ``dense``, ``butterfly-RADIX`` and ``grouped-GROUPS``, both of 2 or more.

    >>> parse_fusion("butterfly-8")
    Fusion(kind='butterfly', radix=8, groups=1)
    """
    if isinstance(text, str):
        kind, _, number = text.partition("-")
        if text == DENSE.kind:
            return DENSE
        if kind in _NUMBERED and number.isdecimal() and int(number) > 1:
            return _NUMBERED[kind](int(number))
    raise _unknown(text)


def checked_fusion(fusion: Fusion) -> Fusion:
    """The fusion itself; ValueError if there is no fusion like it."""
    if _exists(fusion):
        return fusion
    raise _unknown(fusion)


@cache
def _exists(fusion: Fusion) -> bool:
    numbered = {"dense": (False, False), "butterfly": (True, False), "grouped": (False, True)}
    return numbered.get(fusion.kind) == ((fusion.radix or 1) > 1, fusion.groups > 1)


def short_fusion(fusion: Fusion) -> str:
    """A fusion in a network's pattern of fusions: ``d`` dense, ``b4`` butterfly of radix 4, ``g2`` two groups."""
    return f"{fusion.kind[0]}{str(fusion).partition('-')[2]}"


_NUMBERED = {"butterfly": butterfly_fusion, "grouped": grouped_fusion}


def _unknown(fusion: object) -> ValueError:
    return ValueError(
        f"fusion is 'dense', 'butterfly-RADIX' with a radix of 2 or more or 'grouped-GROUPS' with 2 groups"
        f" or more, got {str(fusion) if isinstance(fusion, Fusion) else fusion!r}"
    )
