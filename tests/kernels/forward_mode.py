"""Derivatives in forward mode, for the tests of kernels, which have none of their own."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.autograd import forward_ad


def derivative(run: Callable[[Tensor], Tensor], x: Tensor, direction: Tensor) -> Tensor:
    """Of what is run, at a point in a direction."""
    with forward_ad.dual_level():
        y = run(forward_ad.make_dual(x, direction))  # type: ignore[no-untyped-call]
        tangent: Tensor = forward_ad.unpack_dual(y).tangent  # type: ignore[no-untyped-call]
        return tangent
