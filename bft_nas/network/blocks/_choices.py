"""What a search space may choose for the blocks of a stage: the keys of its YAML, their values, when they come up."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bft_nas.butterfly.plan import root_radix
from bft_nas.network.fusion import (
    DENSE,
    FUSIONS,
    Fusion,
    butterfly_fusion,
    grouped_fusion,
    low_rank_fusion,
)

Check = tuple[Callable[[Any], bool], str]
"""Whether a value will do, and what was expected."""

Chosen = Mapping[str, Any]
"""One value for each key that came up."""

LARGEST_COUNT = 1 << 14
"""More channels, repeats or pixels than this is a typing mistake."""
LARGEST_RADIX = 1 << 10
ROOT = "sqrt"
"""A radix that follows the width: two stages, of about its root each."""


def whole(least: int, most: int = LARGEST_COUNT) -> Check:
    """A whole number between two others, both included."""

    def fits(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most

    return fits, f"a whole number from {least} to {most}"


def number(least: float, most: float) -> Check:
    """A number between two others, both included."""

    def fits(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most

    return fits, f"a number from {least:g} to {most:g}"


def member(*allowed: str) -> Check:
    """One of these words."""
    return lambda value: isinstance(value, str) and value in allowed, " or ".join(allowed)


YES_OR_NO: Check = (lambda value: isinstance(value, bool), "true or false")
RADIX: Check = (
    lambda value: value == ROOT or whole(2, LARGEST_RADIX)[0](value),
    f"{whole(2, LARGEST_RADIX)[1]}, or {ROOT}",
)
GROUPS: Check = (
    lambda value: whole(2, 64)[0](value) and 60**6 % value == 0,
    f"{whole(2, 64)[1]} that is a product of 2, 3 and 5, as widths are",
)
KERNEL: Check = (lambda value: whole(1, 15)[0](value) and value % 2 == 1, "an odd number from 1 to 15")

KERNEL_OR_NONE: Check = (
    lambda value: KERNEL[0](value) or (value == 0 and whole(0)[0](value)),
    f"{KERNEL[1]}, or 0 for no such layer",
)


@dataclass(frozen=True)
class Choice:
    """A key of a stage under which a list is a choice."""

    key: str
    check: Check
    default: Any = None
    """The value where the key is left out; None: it has to be there."""
    when: Callable[[Chosen], bool] | None = None
    """Whether it comes up, by what was chosen before it; always if there is no such function."""
    lightens: bool = False
    """Whether its least value is tried, after those of the choices before it, where a network is too heavy."""
    fusion: bool = False
    """Whether it is the kind of a channel fusion."""


KERNELS = Choice("kernel", KERNEL, 3, lightens=True)
SQUEEZE_EXCITE = Choice("squeeze_excite", YES_OR_NO, False)


def fusion_choices(prefix: str = "", when: Callable[[Chosen], bool] | None = None) -> tuple[Choice, ...]:
    """The keys of a channel fusion, such as ``expand_fusion`` and ``expand_radix``."""
    fusion = f"{prefix}fusion"

    def if_it_is(kind: str) -> Callable[[Chosen], bool]:
        return lambda chosen: chosen.get(fusion) == kind

    return (
        Choice(fusion, member(*FUSIONS), DENSE.kind, when, fusion=True),
        Choice(f"{prefix}radix", RADIX, 4, if_it_is("butterfly")),
        Choice(f"{prefix}groups", GROUPS, 2, if_it_is("grouped")),
        Choice(f"{prefix}narrowing", whole(1, 64), 4, if_it_is("low_rank_grouped")),
    )


def chosen_fusion(chosen: Chosen, *channels: int, prefix: str = "") -> Fusion:
    """The fusion of `fusion_choices` for layers of some widths; dense where it did not come up.

    Of `most_groups`; where that is one, it is dense.
    """
    kind = chosen.get(f"{prefix}fusion")
    if kind == "butterfly":
        radix = chosen[f"{prefix}radix"]
        return butterfly_fusion(root_radix(min(channels)) if radix == ROOT else radix)
    if kind == "grouped":
        groups = most_groups(chosen[f"{prefix}groups"], math.gcd(*channels))
        return grouped_fusion(groups) if groups > 1 else DENSE
    return low_rank_fusion(chosen[f"{prefix}narrowing"]) if kind == "low_rank_grouped" else DENSE


def most_groups(groups: int, shared: int) -> int:
    """As many groups as were chosen, or the most below that divide the greatest divisor that all widths share."""
    return max((fewer for fewer in range(1, groups + 1) if shared % fewer == 0), default=0)
