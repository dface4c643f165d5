"""The forms in which a butterfly transform runs, and what decides between them: below module and dispatcher."""

from __future__ import annotations

import typing
from typing import Literal

from torch import Tensor

Form = Literal["auto", "fused", "structured", "composed"]
"""See `bft_nas.butterfly.dispatch`."""


class Transform(typing.Protocol):
    """What a dispatcher may ask of a `bft_nas.butterfly.ButterflyTransform`."""

    in_channels: int
    out_channels: int
    factors: tuple[int, ...]
    training: bool


def is_channels_last(x: Tensor) -> bool:
    """Whether the channels of each pixel, and not the pixels of each channel, lie side by side in memory."""
    return x.dim() == 4 and x.stride(1) == 1 and not x.is_contiguous()
