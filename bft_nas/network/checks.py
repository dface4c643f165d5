"""What the rows of an architecture may hold; each check raises ValueError naming the field and what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from bft_nas.network.fusion import DENSE, Fusion, checked_fusion

Activation = Literal["relu", "hard_swish", "silu", "acon_c"]
ACTIVATIONS: tuple[str, ...] = get_args(Activation)


def check_count(where: str, value: object, least: int) -> None:
    """A whole number of ``least`` or more."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{where}: expected a whole number of {least} or more, got {value!r}")


def check_member(where: str, value: object, allowed: Sequence[object]) -> None:
    """One of the values that are allowed."""
    if value not in allowed:
        raise ValueError(f"{where}: expected {' or '.join(map(str, allowed))}, got {value!r}")


def check_flag(where: str, value: object) -> None:
    """True or false, which JSON tells from 1 and 0."""
    if not isinstance(value, bool):
        raise ValueError(f"{where}: expected true or false, got {value!r}")


def check_kernel(where: str, kernel: int) -> None:
    """The height and width of a convolution, odd so that it has a middle."""
    check_count(where, kernel, 1)
    if kernel % 2 == 0:
        raise ValueError(f"{where}: expected an odd number, got {kernel}")


def check_layer(where: str, channels: int, stride: int, activation: str) -> None:
    """What the stem and every block have."""
    check_count(f"{where}.channels", channels, 1)
    check_count(f"{where}.stride", stride, 1)  # True and 2.0 are among 1 and 2
    check_member(f"{where}.stride", stride, (1, 2))
    check_member(f"{where}.activation", activation, ACTIVATIONS)


def check_fusion(where: str, fusion: Fusion, *channels: int) -> None:
    """``channels``: those of the inputs and outputs of the layers that it fuses; none if there is no such layer."""
    if not isinstance(fusion, Fusion):
        raise ValueError(f"{where}: expected a Fusion, got {fusion!r}")
    try:
        groups = checked_fusion(fusion).groups
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if fusion != DENSE and not channels:
        raise ValueError(f"{where}: there is no such layer, so it has to be 'dense', got '{fusion}'")
    for count in channels:
        if count % groups:
            raise ValueError(f"{where}: expected a divisor of {count} channels, got {groups} groups")
