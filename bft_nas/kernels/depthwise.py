"""Depthwise convolutions on the CPU at the speed of their MACs, for training.

oneDNN, which torch trains with, takes up to five times as long where images are a few pixels wide, and up to a hundred
times for the gradient of the weights, and proxies of mobile networks are made of these
(benchmarks/results/network.md). Here the layer and both of its gradients come from ``depthwise.c``.
"""

from __future__ import annotations

import ctypes
from functools import cache
from struct import Struct
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from bft_nas.kernels.binding import load

# What the kernel takes, see csrc/depthwise/depthwise.h.
KERNELS, LEAST_CHANNELS = (3, 5, 7), 16
_CALL = Struct("9q3P")
_INTERFACE = 2


@cache
def _library() -> ctypes.CDLL | None:
    return load("depthwise", _INTERFACE, _CALL.size)


def kernel_available() -> bool:
    """Whether the kernel was built with the package."""
    return _library() is not None


def is_depthwise(module: nn.Conv2d) -> bool:
    """Whether `convolve` takes this layer: channels by themselves, square weights, the usual padding."""
    return (
        module.in_channels == module.out_channels == module.groups >= LEAST_CHANNELS
        and module.kernel_size in [(k, k) for k in KERNELS]
        and module.padding == (module.kernel_size[0] // 2,) * 2
        and module.stride[0] == module.stride[1]
        and module.dilation == (1, 1)
        and module.padding_mode == "zeros"
        and module.bias is None
    )


def convolve(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """What a depthwise layer makes of images (N, channels, height, width), fast to differentiate, once.

    It does not depend on the number of threads. Elsewhere than on the CPU, in other than float32 and in forward mode,
    it is the layer's own.

    Raises:
        MemoryError: when there is none left for the weights in the kernel's order.
    """
    weight, stride = layer.weight, layer.stride[0]
    at_home = (
        x.is_cpu
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and forward_ad._current_level < 0
    )
    if not at_home:
        return nn.Conv2d.forward(layer, x)
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        return _Depthwise.apply(x, weight, stride)  # type: ignore[no-any-return,no-untyped-call]
    return _forward(x, weight, stride)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return _forward(x, weight, stride)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, _ = ctx.needs_input_grad
        return (
            _grad_x(x, grad_y, weight, ctx.stride) if wants_x else None,
            _grad_weight(x, grad_y, weight, ctx.stride) if wants_weight else None,
            None,
        )


def _forward(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    batch, channels, *size = x.shape
    height, width = ((pixels - 1) // stride + 1 for pixels in size)
    shape = (batch, channels, height, width)
    y = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    _call("forward", _channels_last(x), y, weight.contiguous(), stride)
    return y


def _grad_x(x: Tensor, grad_y: Tensor, weight: Tensor, stride: int) -> Tensor:
    grad_x = torch.empty_like(x, memory_format=torch.channels_last)
    _call("grad_x", grad_x, _channels_last(grad_y), weight.contiguous(), stride)
    return grad_x


def _grad_weight(x: Tensor, grad_y: Tensor, weight: Tensor, stride: int) -> Tensor:
    grad_weight = torch.empty_like(weight, memory_format=torch.contiguous_format)
    _call("grad_weight", _channels_last(x), _channels_last(grad_y), grad_weight, stride)
    return grad_weight


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _call(name: str, x: Tensor, y: Tensor, weight: Tensor, stride: int) -> None:
    """Run a function of the kernel on images, what the layer makes of them, and weights, or on their gradients."""
    call = _CALL.pack(
        torch.get_num_threads(),
        *x.shape,
        *y.shape[2:],
        weight.shape[-1],
        stride,
        *(each.data_ptr() for each in (x, y, weight)),
    )
    if getattr(_library(), f"depthwise_{name}")(call):
        raise MemoryError("not enough memory for a depthwise convolution")
