"""Batch norm over the images of all processes, on any device and for shares of any size.

torch's own refuses the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bft_nas.training.processes import Processes


@contextmanager
def norms_synchronised(model: nn.Module, processes: Processes) -> Iterator[None]:
    """Within it, what a training step normalises has the mean and the variance of the whole batch.

    Elsewhere, in evaluation and where nothing is differentiated, a norm is its process's own.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.forward = partial(_normalise, norm, processes)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward


class _Total(torch.autograd.Function):
    """A sum over processes: what each of its terms does to the loss is what the sum does to all parts of the loss."""

    @staticmethod
    def forward(ctx: Any, processes: Processes, values: Tensor) -> Tensor:
        ctx.processes = processes
        return processes.total(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, ctx.processes.total(gradient)


def _normalise(norm: nn.BatchNorm2d, processes: Processes, x: Tensor) -> Tensor:
    if not (norm.training and torch.is_grad_enabled()):
        return nn.BatchNorm2d.forward(norm, x)
    # In float64: the square of a mean is taken off a mean of squares.
    pixels, wide = x.numel() // x.shape[1], x.float()
    variance, mean = (each.double() for each in torch.var_mean(wide, (0, 2, 3), correction=0))
    own = torch.cat([mean, variance + mean.square(), torch.ones_like(mean[:1])])
    total: Tensor = _Total.apply(processes, pixels * own)  # type: ignore[no-untyped-call]
    count = total[-1].detach()
    mean, squares = (total[:-1] / count).chunk(2)
    variance = (squares - mean.square()).clamp(min=0)
    _move(norm, mean.detach(), variance.detach() * (count / (count - 1)))
    scale, shift = (variance + norm.eps).rsqrt(), torch.zeros_like(mean)
    if norm.affine:
        scale, shift = scale * norm.weight, shift + norm.bias
    shift = shift - mean * scale
    # In bfloat16 the two would be rounded, and a whole channel shifted with them.
    scale, shift = (each.float().view(1, -1, 1, 1) for each in (scale, shift))
    return torch.addcmul(shift, wide, scale).to(x.dtype)


@torch.no_grad()
def _move(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    """Bring running statistics nearer to those of a batch."""
    if not norm.track_running_stats:
        return
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    part = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), part)
    norm.running_var.lerp_(variance.to(norm.running_var.dtype), part)
