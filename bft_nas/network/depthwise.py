"""Training depthwise convolutions on the CPU at the speed of their MACs.

oneDNN, which torch trains with, takes up to a hundred times as long for the weights' gradient as for the rest, where
weights are 5x5 or images a few pixels wide, and proxies of mobile networks are made of these (RESULTS.md). Their
gradient comes from ``depthwise.c`` instead. The gradient of the images is the same convolution with the weights turned
around where the stride is 1, which is twice as fast as what oneDNN has for it.
"""

from __future__ import annotations

import ctypes
from functools import cache
from struct import Struct
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bft_nas.native import load, openmp

# What the kernel takes, see depthwise.c.
KERNELS, LEAST_CHANNELS = (3, 5, 7), 16
_CALL = Struct("9q3P")


@cache
def _library() -> ctypes.CDLL | None:
    library = load("bft_nas.network._depthwise")
    if library is not None:
        library.depthwise_use.argtypes = library.depthwise_weight_gradient.argtypes = [ctypes.c_void_p]
        library.depthwise_use(openmp()[0])
    return library


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

    The result does not depend on the number of threads. Elsewhere than on the CPU, and in other than float32, it is
    the layer's own.

    Raises:
        MemoryError: in the backward pass, when not even the gradient fits into memory.
    """
    weight, stride = layer.weight, layer.stride[0]
    at_home = x.is_cpu and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    # 3x3 weights that do not pass an image's edges on both sides at once are trained as fast by oneDNN.
    wide = layer.kernel_size[0] == KERNELS[0] and min(x.shape[2:]) > stride + 1
    if not at_home or wide:
        return nn.Conv2d.forward(layer, x)
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        return _Depthwise.apply(x, weight, stride)  # type: ignore[no-any-return,no-untyped-call]
    return _forward(x, weight, stride)


def _forward(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    padding = weight.shape[-1] // 2
    # Of images of one pixel oneDNN reads the weights that never meet it, and takes a hundred times as long.
    beyond = padding - max(1, max(x.shape[2:]) - 1)
    if beyond > 0:
        weight, padding = weight[..., beyond:-beyond, beyond:-beyond], padding - beyond
    return F.conv2d(x, weight, None, stride, padding, 1, x.shape[1])


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return _forward(x, weight, stride)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, _ = ctx.needs_input_grad
        return (
            _image_gradient(x, gradient, weight, ctx.stride) if of_x else None,
            _weight_gradient(x, gradient, weight, ctx.stride) if of_weight else None,
            None,
        )


def _image_gradient(x: Tensor, gradient: Tensor, weight: Tensor, stride: int) -> Tensor:
    if stride == 1:
        return _forward(gradient, weight.flip(2, 3), 1)
    padding = [weight.shape[-1] // 2] * 2
    gradients: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
        gradient,
        x,
        weight,
        None,
        [stride] * 2,
        padding,
        [1, 1],
        False,
        [0, 0],
        x.shape[1],
        [True, False, False],
    )
    return gradients[0]


def _weight_gradient(x: Tensor, gradient: Tensor, weight: Tensor, stride: int) -> Tensor:
    library = _library()
    assert library is not None
    x, gradient = (each.contiguous(memory_format=torch.channels_last) for each in (x, gradient))
    result = torch.empty_like(weight, memory_format=torch.contiguous_format)
    call = _CALL.pack(
        torch.get_num_threads(),
        *x.shape,
        *gradient.shape[2:],
        weight.shape[-1],
        stride,
        *(each.data_ptr() for each in (x, gradient, result)),
    )
    if library.depthwise_weight_gradient(call):
        raise MemoryError("not enough memory for the gradient of a depthwise convolution")
    return result
