"""Training batch norm and the activation after it on the CPU in as few passes over the images as there can be.

torch takes six over the images forward and seven back, and memory is what they wait for; ``norm.c`` takes two and two.
"""

from __future__ import annotations

import ctypes
from functools import cache
from struct import Struct
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad

from bft_nas.kernels.binding import load

Activation = Literal["identity", "relu", "hard_swish"]

# What the kernel takes, see csrc/norm/norm.h.
BLOCK = 16
_ACTIVATIONS: dict[Activation, int] = {"identity": 0, "relu": 1, "hard_swish": 2}
_NO_GRADIENTS = (0, 0, 0, 0)
_CALL = Struct("5q2d12P")
_INTERFACE = 3


@cache
def _library() -> ctypes.CDLL | None:
    return load("norm", _INTERFACE, _CALL.size)


def kernel_available() -> bool:
    """Whether the kernel was built with the package."""
    return _library() is not None


def is_usual(norm: nn.BatchNorm2d) -> bool:
    """Whether `normalise` takes this layer: with weights and running statistics, of 16 channels at least.

    Or of 1, 2, 4 or 8, of which several pixels are taken for one of 16.
    """
    channels = norm.num_features
    return (channels >= BLOCK or BLOCK % channels == 0) and norm.affine and norm.track_running_stats


def _fills_blocks(x: Tensor) -> bool:
    """Whether the pixels of few channels can be taken several at once."""
    return x.shape[1] >= BLOCK or x.numel() % BLOCK == 0


def activation_of(module: nn.Module) -> Activation | None:
    """What `normalise` calls this activation; None where it does not know it."""
    if isinstance(module, nn.ReLU):
        return "relu"
    return "hard_swish" if isinstance(module, nn.Hardswish) else None


def normalise(norm: nn.BatchNorm2d, activation: Activation, x: Tensor) -> Tensor:
    """What a layer of batch norm and an activation make of images (N, channels, height, width), in channels_last.

    Fast to differentiate, once, in training; running statistics move as the layer's own would. The result does not
    depend on the number of threads. Elsewhere than on the CPU, in other than float32, in forward mode, and for
    gradients in evaluation, it is the layer's own.

    Raises:
        MemoryError: when there is none left for a few numbers a channel.
    """
    weight, bias = norm._parameters["weight"], norm._parameters["bias"]
    assert weight is not None
    differentiated = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    at_home = (
        x.is_cpu
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and forward_ad._current_level < 0
    )
    few = x.numel() <= x.shape[1]  # a single pixel has no spread, and the layer says so
    if not at_home or few or not _fills_blocks(x) or (differentiated and not norm.training):
        return _activated(nn.BatchNorm2d.forward(norm, x), activation)
    x = x.contiguous(memory_format=torch.channels_last)
    if differentiated:
        return _Norm.apply(x, weight, bias, norm, activation)  # type: ignore[no-any-return,no-untyped-call]
    return _forward(x, norm, activation)[0]


def _activated(x: Tensor, activation: Activation) -> Tensor:
    if activation == "identity":
        return x
    return F.relu(x) if activation == "relu" else F.hardswish(x)


def _run(
    function: Any,
    norm: nn.BatchNorm2d,
    activation: Activation,
    x: Tensor,
    statistics: Tensor,
    y: Tensor | None = None,
    gradients: tuple[Tensor, ...] = (),
) -> None:
    """Call the kernel on addresses in the order of ``norm_call`` in norm.h; gradients are of y, x and the weights."""
    # A module looks for weights and buffers by their names in several places; this runs a thousand times a second.
    weights, buffers = norm._parameters, norm._buffers
    mean = statistics.data_ptr()
    arguments = _CALL.pack(
        torch.get_num_threads(),
        x.numel() // x.shape[1],
        x.shape[1],
        _ACTIVATIONS[activation],
        bool(gradients) or norm.training,  # what is differentiated was trained
        norm.eps,
        _momentum(norm),
        x.data_ptr(),
        weights["weight"].data_ptr(),  # type: ignore[union-attr]
        weights["bias"].data_ptr(),  # type: ignore[union-attr]
        0 if y is None else y.data_ptr(),
        mean,
        mean + statistics.stride(0) * statistics.element_size(),
        buffers["running_mean"].data_ptr(),  # type: ignore[union-attr]
        buffers["running_var"].data_ptr(),  # type: ignore[union-attr]
        *([each.data_ptr() for each in gradients] or _NO_GRADIENTS),
    )
    if function(arguments):
        raise MemoryError("not enough memory for the sums of a batch")


def _momentum(norm: nn.BatchNorm2d) -> float:
    """By how much a batch moves the running statistics: without a momentum they are a plain average."""
    if norm.momentum is not None:
        return norm.momentum
    return 1 / int(norm.num_batches_tracked) if norm.training else 0.0  # type: ignore[arg-type]


def _forward(x: Tensor, norm: nn.BatchNorm2d, activation: Activation) -> tuple[Tensor, Tensor]:
    """The result, and in training each channel's mean and inverse of the standard deviation."""
    library = _library()
    assert library is not None
    if norm.training:
        norm._buffers["num_batches_tracked"].add_(1)  # type: ignore[union-attr]
    y, statistics = torch.empty_like(x), x.new_empty((2, x.shape[1]))
    _run(library.norm_forward, norm, activation, x, statistics, y)
    return y, statistics


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, norm: nn.BatchNorm2d, activation: Activation
    ) -> Tensor:
        y, statistics = _forward(x, norm, activation)
        ctx.save_for_backward(x, statistics, weight, bias)
        ctx.norm, ctx.activation = norm, activation
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
        x, statistics, weight, bias = ctx.saved_tensors
        library = _library()
        assert library is not None
        grad_y = grad_y.contiguous(memory_format=torch.channels_last)
        found = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(bias)
        _run(library.norm_backward, ctx.norm, ctx.activation, x, statistics, gradients=(grad_y, *found))
        return *found, None, None
