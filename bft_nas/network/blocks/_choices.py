"""What a search space may choose for the blocks of a stage: the keys of its YAML, their values, when they come up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bft_nas.network.fusion import DENSE, Fusion, butterfly_fusion

Check = tuple[Callable[[Any], bool], str]
"""Whether a value will do, and what was expected."""

Chosen = Mapping[str, Any]
"""One value for each key that came up."""

LARGEST_COUNT = 1 << 14
"""More channels, repeats or pixels than this is a typing mistake."""
LARGEST_RADIX = 1 << 10


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
KERNEL: Check = (lambda value: whole(1, 15)[0](value) and value % 2 == 1, "an odd number from 1 to 15")


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
    """Whether it is the kind of a channel fusion, ``dense`` or ``butterfly``."""


KERNELS = Choice("kernel", KERNEL, 3, lightens=True)


def fusion_choices(prefix: str = "", when: Callable[[Chosen], bool] | None = None) -> tuple[Choice, Choice]:
    """The two keys of a channel fusion, such as ``expand_fusion`` and ``expand_radix``."""
    fusion = f"{prefix}fusion"
    return (
        Choice(fusion, member("dense", "butterfly"), "dense", when, fusion=True),
        Choice(
            f"{prefix}radix", whole(2, LARGEST_RADIX), 4, lambda chosen: chosen.get(fusion) == "butterfly"
        ),
    )


def chosen_fusion(chosen: Chosen, prefix: str = "") -> Fusion:
    """The fusion of `fusion_choices`; dense where it did not come up."""
    butterfly = chosen.get(f"{prefix}fusion") == "butterfly"
    return butterfly_fusion(chosen[f"{prefix}radix"]) if butterfly else DENSE
