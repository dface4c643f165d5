"""The fused kernel on the CPU, as a torch operator: all stages on a tile of pixels that stays in cache.

The sources are in ``csrc/butterfly``; see README.md. Where they were not built, `available` is False, and butterflies
run as PyTorch operations.

A compiler, a profiler, a counter or a mode that intercepts operators sees ``bft_nas::butterfly``, a custom operator.
Where there is none of these, the kernel is called directly, which saves 6 us of an inference and 100 us of a training
step.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from struct import Struct
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import maybe_current_level
from torch.autograd import forward_ad, profiler
from torch.utils.flop_counter import register_flop_formula

from bft_nas.kernels.binding import load

_MAX_STAGES = 32
_WEIGHTS = {
    torch.float32: torch.float32,
    torch.float64: torch.float64,
    torch.bfloat16: torch.float32,
}
_TYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2}


# See csrc/butterfly/call.h.
_INTERFACE = 2
_CALL = "P5q4P"


class _Shape(ctypes.Structure):
    _fields_ = (
        ("n_in", ctypes.c_int64),
        ("n_out", ctypes.c_int64),
        ("stages", ctypes.c_int64),
        ("factors", ctypes.c_int64 * _MAX_STAGES),
    )


@cache
def _library() -> ctypes.CDLL | None:
    return load("butterfly", _INTERFACE, ctypes.sizeof(_Shape), Struct(_CALL).size)


def available() -> bool:
    """Whether the kernel was built with the package; warns once where it was not."""
    return _library() is not None


# What torch.compiler.assume_constant_result does: calling it imports the compiler, 1.3 s in each process.
available._dynamo_marked_constant = True  # type: ignore[attr-defined]


def fits(x: Tensor) -> bool:
    """Whether `fused_butterfly` takes this input here.

    It does not under an autocast to a type that it has not, nor while a program is exported, which is to hold torch's
    own operations only, nor under the transforms of ``torch.func`` and in forward mode differentiation, which custom
    operators do not go through.
    """
    return (
        x.is_cpu
        and _type_of(x) in _TYPES
        and not torch.compiler.is_exporting()
        and torch._C._get_tracing_state() is None
        and maybe_current_level() is None
        and forward_ad._current_level < 0
        and available()
    )


def fused_butterfly(x: Tensor, stages: Sequence[Tensor], factors: tuple[int, ...], n_out: int) -> Tensor:
    """Apply a butterfly transform on the CPU: (N, n_in, *spatial) to (N, n_out, *spatial).

    The result is of the type of ``x`` (float32, float64, bfloat16; bfloat16 under such an autocast), in channels_last
    when ``x`` is. Sums are of float32 at least. Differentiable once, in ``x`` and in the stages.
    """
    x = x.to(_type_of(x))
    if _is_intercepted(x):
        intercepted: Tensor = _forward(x, list(stages), list(factors), n_out)
        return intercepted
    if torch.is_grad_enabled() and (x.requires_grad or any(stage.requires_grad for stage in stages)):
        result: Tensor = _Butterfly.apply(x, factors, n_out, *stages)  # type: ignore[no-untyped-call]
        return result
    return _run(x, stages, factors, n_out)


def _type_of(x: Tensor) -> torch.dtype:
    """What the kernel is given an input in."""
    cast = torch.is_autocast_enabled("cpu") and x.dtype != torch.float64
    return torch.get_autocast_dtype("cpu") if cast else x.dtype


def _is_intercepted(x: Tensor) -> bool:
    """Whether a dispatch mode, a profiler or a compiler has to see the operator."""
    return (
        torch.compiler.is_compiling()
        or type(x) is not Tensor
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._is_torch_function_mode_enabled()
        or profiler._is_profiler_enabled
    )


def _compact(x: Tensor) -> Tensor:
    """``x`` without gaps, in channels_last if it is or is a part of the channels of what is."""
    if x.dim() == 4 and x.stride(1) == 1 and not x.is_contiguous():
        return x.contiguous(memory_format=torch.channels_last)
    return x.contiguous()


def _empty_like(x: Tensor, channels: int) -> Tensor:
    if channels == x.shape[1]:
        return torch.empty_like(x)
    shape = (x.shape[0], channels, *x.shape[2:])
    layout = torch.contiguous_format if x.is_contiguous() else torch.channels_last
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=layout)


def _contiguous_weights(stages: Sequence[Tensor], dtype: torch.dtype) -> Sequence[Tensor]:
    """The weights as the kernel takes them: sums over bfloat16 are of float32, and so are its weights."""
    wanted = _WEIGHTS[dtype]
    for stage in stages:
        if stage.dtype is not wanted or not stage.is_contiguous():
            return [stage.to(wanted).contiguous() for stage in stages]
    return stages


@cache
def _packing(
    n_in: int, n_out: int, factors: tuple[int, ...], pointers: int
) -> tuple[Callable[..., bytes], _Shape]:
    """What packs a call's arguments, ``butterfly_call`` in call.h, after the address of the shape; and the shape."""
    shape = _Shape(n_in, n_out, len(factors), (ctypes.c_int64 * _MAX_STAGES)(*factors))
    return partial(Struct(f"{_CALL}{pointers}P").pack, ctypes.addressof(shape)), shape


def _call(
    function: Any,
    x: Tensor,
    factors: tuple[int, ...],
    n_out: int,
    images: tuple[int, ...],
    stages: Sequence[Tensor],
) -> None:
    """Run a function of the kernel on addresses of (x, y, grad_y, grad_x) and on stages."""
    batch, n_in, *size = x.shape
    arguments = _packing(n_in, n_out, factors, len(stages))[0](
        _TYPES[x.dtype],
        torch.get_num_threads(),
        not x.is_contiguous(),
        batch,
        math.prod(size),
        *images,
        *[stage.data_ptr() for stage in stages],
    )
    if function(arguments):
        raise MemoryError("not enough memory for the tiles of a butterfly transform")


def _run(x: Tensor, stages: Sequence[Tensor], factors: tuple[int, ...], n_out: int) -> Tensor:
    library = _library()
    assert library is not None
    if not x.is_contiguous():
        x = _compact(x)
    y = _empty_like(x, n_out)
    images = (x.data_ptr(), y.data_ptr(), 0, 0)
    _call(library.butterfly_forward, x, factors, n_out, images, _contiguous_weights(stages, x.dtype))
    return y


def _run_backward(
    x: Tensor, grad_y: Tensor, stages: Sequence[Tensor], factors: tuple[int, ...]
) -> list[Tensor]:
    """The gradient of ``x``, then those of the stages."""
    library = _library()
    assert library is not None
    if not x.is_contiguous():
        x = _compact(x)
    layout = torch.contiguous_format if x.is_contiguous() else torch.channels_last
    grad_y = grad_y.contiguous(memory_format=layout)
    grad_x = torch.empty_like(x)
    weights = _contiguous_weights(stages, x.dtype)
    grad_weights = [torch.empty_like(weight) for weight in weights]
    images = (x.data_ptr(), 0, grad_y.data_ptr(), grad_x.data_ptr())
    _call(library.butterfly_backward, x, factors, grad_y.shape[1], images, (*weights, *grad_weights))
    if weights is not stages:
        grad_weights = [of.to(stage.dtype) for of, stage in zip(grad_weights, stages, strict=True)]
    return [grad_x, *grad_weights]


class _Butterfly(torch.autograd.Function):
    """The kernel without the custom operator around it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factors: tuple[int, ...], n_out: int, *stages: Tensor) -> Tensor:
        ctx.save_for_backward(x, *stages)
        ctx.factors = factors
        return _run(x, stages, factors, n_out)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Any, ...]:
        x, *stages = ctx.saved_tensors
        grad_x, *grad_stages = _run_backward(x, grad_y, stages, ctx.factors)
        return grad_x, None, None, *grad_stages


@torch.library.custom_op("bft_nas::butterfly", mutates_args=(), device_types="cpu")
def _forward(x: Tensor, stages: Sequence[Tensor], factors: Sequence[int], n_out: int) -> Tensor:
    return _run(x, stages, tuple(factors), n_out)


@torch.library.custom_op("bft_nas::butterfly_backward", mutates_args=(), device_types="cpu")
def _backward(x: Tensor, grad_y: Tensor, stages: Sequence[Tensor], factors: Sequence[int]) -> list[Tensor]:
    return _run_backward(x, grad_y, stages, tuple(factors))


@_forward.register_fake
def _(x: Tensor, stages: Sequence[Tensor], factors: Sequence[int], n_out: int) -> Tensor:
    return _empty_like(_compact(x), n_out)


@_backward.register_fake
def _(x: Tensor, grad_y: Tensor, stages: Sequence[Tensor], factors: Sequence[int]) -> list[Tensor]:
    return [torch.empty_like(_compact(x)), *[torch.empty_like(stage) for stage in stages]]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, stages, factors, _ = inputs
    ctx.save_for_backward(x, *stages)
    ctx.factors = factors


def _differentiate(ctx: Any, grad_y: Tensor) -> tuple[Any, ...]:
    x, *stages = ctx.saved_tensors
    grad_x, *grad_stages = _backward(x, grad_y, stages, ctx.factors)
    return grad_x, grad_stages, None, None


_forward.register_autograd(_differentiate, setup_context=_keep)


@register_flop_formula(torch.ops.bft_nas.butterfly)
def _flops(x: Sequence[int], stages: Sequence[Sequence[int]], *others: Any, **shapes: Any) -> int:
    """Two for each MAC, as torch counts; the shapes of the arguments are given."""
    return 2 * x[0] * math.prod(x[2:]) * sum(math.prod(stage) for stage in stages)


@register_flop_formula(torch.ops.bft_nas.butterfly_backward)
def _flops_backward(
    x: Sequence[int], gradient: Sequence[int], stages: Sequence[Sequence[int]], *others: Any, **shapes: Any
) -> int:
    return 2 * _flops(x, stages)
