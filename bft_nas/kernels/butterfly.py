"""The fused kernel on the CPU, as a torch operator: all stages on a tile of pixels that stays in cache.

``kernel.c`` is compiled with the package where there is a C compiler, and bound through ctypes. Where there is none,
`available` is False, and butterflies run as PyTorch operations.

Whatever follows operators (a compiler, a profiler, a counter) sees ``bft_nas::butterfly``, a
custom operator. Where nothing does, the kernel is called directly, which spares 15 us of an inference and 100 us of a
training step; and in inference through ``entry.c``, which spares 4 more.
"""

from __future__ import annotations

import ctypes
import importlib
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from struct import Struct
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._functorch import maybe_current_level
from torch.autograd import profiler
from torch.utils.flop_counter import register_flop_formula

from bft_nas.kernels.binding import load, openmp, path_of

_LONG, _POINTER = ctypes.c_long, ctypes.c_void_p
_MOST_STAGES = 32
_WEIGHTS = {
    torch.float32: torch.float32,
    torch.float64: torch.float64,
    torch.bfloat16: torch.float32,
}
_TYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2}


# See call.h.
_INTERFACE, _NAME = 1, "bft_nas.kernels._butterfly"
_CALL = "P5q4P"


class _Shape(ctypes.Structure):
    _fields_ = (
        ("n_in", _LONG),
        ("n_out", _LONG),
        ("stages", _LONG),
        ("factors", _LONG * _MOST_STAGES),
    )


@cache
def _library() -> ctypes.CDLL | None:
    library = load(_NAME, "bft_interface", _INTERFACE, ctypes.sizeof(_Shape), Struct(_CALL).size)
    if path_of(_NAME) is None:
        warnings.warn(
            "bft-nas was installed without a C compiler: butterflies run as PyTorch operations, which are slower",
            RuntimeWarning,
            stacklevel=2,
        )
    if library is None:
        return None
    library.bft_forward.argtypes = library.bft_backward.argtypes = [_POINTER]
    library.bft_use.argtypes = [_POINTER] * 2
    library.bft_use(*openmp())
    return library


@cache
def _shape(n_in: int, n_out: int, factors: tuple[int, ...]) -> tuple[int, _Shape]:
    """Its address, and what keeps it there."""
    shape = _Shape(n_in, n_out, len(factors), (_LONG * _MOST_STAGES)(*factors))
    return ctypes.addressof(shape), shape


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def available() -> bool:
    """Whether the kernel was built with the package; warns once where it was not."""
    return _library() is not None


def fits(x: Tensor) -> bool:
    """Whether `fused_butterfly` takes this input here.

    It does not while a program is exported, which is to hold torch's own operations only, nor under the transforms of
    ``torch.func``, which custom operators do not go through.
    """
    return (
        x.is_cpu
        and x.dtype in _TYPES
        and not torch.compiler.is_exporting()
        and torch._C._get_tracing_state() is None
        and maybe_current_level() is None
        and available()
    )


@cache
def short_way() -> Callable[..., Tensor | None]:
    """``infer`` of entry.c, which finds what `fused_butterfly` does in half of the time for a small image.

    Called with x, the stages by name, their factors, n_in and n_out. It answers None for anything but compact float32
    on the CPU, where gradients are kept, and where somebody watches; and always where it was not built. A compiler
    cannot see through it: where `torch.compiler.is_dynamo_compiling`, it is not to be called.
    """
    try:
        kernel = importlib.import_module(_NAME) if available() else None
    except ImportError:
        kernel = None  # no headers of Python's
    exchange = getattr(Tensor, "__dlpack_c_exchange_api__", None)  # from torch 2.10 on
    if kernel is None or exchange is None:
        return lambda *_: None
    watchers = (
        torch.is_grad_enabled,
        torch._C._is_any_autocast_enabled,
        torch._C._len_torch_dispatch_stack,
        torch._C._is_torch_function_mode_enabled,
        torch._C._is_tracing,
        torch._C._autograd._profiler_enabled,
        maybe_current_level,
    )
    # What compiled programs allocate with takes half of the time of torch.empty_strided.
    empty = getattr(torch._C._dynamo.guards, "_empty_strided_cpu", _empty_strided)
    kernel.prepare(Tensor, nn.Parameter, watchers, torch.get_num_threads, empty, torch.float32, exchange)
    infer: Callable[..., Tensor | None] = kernel.infer
    return infer


def _empty_strided(sizes: tuple[int, ...], strides: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.empty_strided(sizes, strides, dtype=dtype)


def fused_butterfly(x: Tensor, stages: Sequence[Tensor], factors: tuple[int, ...], n_out: int) -> Tensor:
    """Apply a butterfly transform on the CPU: (N, n_in, *spatial) to (N, n_out, *spatial).

    The result is of the type of ``x`` (float32, float64, bfloat16; bfloat16 under such an autocast), in channels_last
    when ``x`` is. Sums are of float32 at least. Differentiable once, in ``x`` and in the stages.
    """
    if torch.is_autocast_enabled("cpu") and x.dtype != torch.float64:
        x = x.to(torch.get_autocast_dtype("cpu"))
    if _is_watched(x):
        watched: Tensor = _forward(x, list(stages), list(factors), n_out)
        return watched
    if torch.is_grad_enabled() and (x.requires_grad or any(stage.requires_grad for stage in stages)):
        result: Tensor = _Butterfly.apply(x, factors, n_out, *stages)  # type: ignore[no-untyped-call]
        return result
    return _run(x, stages, factors, n_out)


def _is_watched(x: Tensor) -> bool:
    """Whether anything has to see the operator."""
    return (
        torch.compiler.is_compiling()
        or type(x) is not Tensor
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._is_torch_function_mode_enabled()
        or profiler._is_profiler_enabled
    )


def _compact(x: Tensor) -> Tensor:
    """``x`` without gaps, in channels_last if it is."""
    if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
        return x
    return x.contiguous()


def _empty_like(x: Tensor, channels: int) -> Tensor:
    if channels == x.shape[1]:
        return torch.empty_like(x)
    shape = (x.shape[0], channels, *x.shape[2:])
    layout = torch.contiguous_format if x.is_contiguous() else torch.channels_last
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=layout)


def _numbers(stages: Sequence[Tensor], dtype: torch.dtype) -> Sequence[Tensor]:
    """The weights as the kernel takes them: sums over bfloat16 are of float32, and so are its weights."""
    wanted = _WEIGHTS[dtype]
    for stage in stages:
        if stage.dtype is not wanted or not stage.is_contiguous():
            return [stage.to(wanted).contiguous() for stage in stages]
    return stages


@cache
def _layout(pointers: int) -> Struct:
    """Of a call's arguments in memory, ``bft_call`` in kernel.c."""
    return Struct(f"{_CALL}{pointers}P")


def _call(
    function: Any,
    x: Tensor,
    factors: tuple[int, ...],
    n_out: int,
    images: tuple[int, ...],
    stages: Iterable[Tensor],
) -> None:
    """Run a function of the kernel on addresses of (x, y, gradient of y, gradient of x) and on stages."""
    shape = x.shape
    batch, n_in = shape[0], shape[1]
    pointers = [stage.data_ptr() for stage in stages]
    arguments = _layout(len(pointers)).pack(
        _shape(n_in, n_out, factors)[0],
        _TYPES[x.dtype],
        torch.get_num_threads(),
        not x.is_contiguous(),
        batch,
        x.numel() // (batch * n_in) if batch else 0,
        *images,
        *pointers,
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
    _call(library.bft_forward, x, factors, n_out, images, _numbers(stages, x.dtype))
    return y


def _run_backward(
    x: Tensor, gradient: Tensor, stages: Sequence[Tensor], factors: tuple[int, ...]
) -> list[Tensor]:
    """The gradient of ``x``, then those of the stages."""
    library = _library()
    assert library is not None
    if not x.is_contiguous():
        x = _compact(x)
    layout = torch.contiguous_format if x.is_contiguous() else torch.channels_last
    gradient = gradient.contiguous(memory_format=layout)
    of_x = torch.empty_like(x)
    weights = _numbers(stages, x.dtype)
    of_weights = [torch.empty_like(weight) for weight in weights]
    images = (x.data_ptr(), 0, gradient.data_ptr(), of_x.data_ptr())
    _call(library.bft_backward, x, factors, gradient.shape[1], images, (*weights, *of_weights))
    if weights is not stages:
        of_weights = [of.to(stage.dtype) for of, stage in zip(of_weights, stages, strict=True)]
    return [of_x, *of_weights]


class _Butterfly(torch.autograd.Function):
    """The kernel without the custom operator around it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factors: tuple[int, ...], n_out: int, *stages: Tensor) -> Tensor:
        ctx.save_for_backward(x, *stages)
        ctx.factors = factors
        return _run(x, stages, factors, n_out)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        x, *stages = ctx.saved_tensors
        of_x, *of_stages = _run_backward(x, gradient, stages, ctx.factors)
        return of_x, None, None, *of_stages


@torch.library.custom_op("bft_nas::butterfly", mutates_args=(), device_types="cpu")
def _forward(x: Tensor, stages: Sequence[Tensor], factors: Sequence[int], n_out: int) -> Tensor:
    return _run(x, stages, tuple(factors), n_out)


@torch.library.custom_op("bft_nas::butterfly_backward", mutates_args=(), device_types="cpu")
def _backward(x: Tensor, gradient: Tensor, stages: Sequence[Tensor], factors: Sequence[int]) -> list[Tensor]:
    return _run_backward(x, gradient, stages, tuple(factors))


@_forward.register_fake
def _(x: Tensor, stages: Sequence[Tensor], factors: Sequence[int], n_out: int) -> Tensor:
    return _empty_like(_compact(x), n_out)


@_backward.register_fake
def _(x: Tensor, gradient: Tensor, stages: Sequence[Tensor], factors: Sequence[int]) -> list[Tensor]:
    return [torch.empty_like(_compact(x)), *[torch.empty_like(stage) for stage in stages]]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, stages, factors, _ = inputs
    ctx.save_for_backward(x, *stages)
    ctx.factors = factors


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    x, *stages = ctx.saved_tensors
    of_x, *of_stages = _backward(x, gradient, stages, ctx.factors)
    return of_x, of_stages, None, None


_forward.register_autograd(_differentiate, setup_context=_keep)


@register_flop_formula(torch.ops.bft_nas.butterfly)
def _flops(x: Sequence[int], stages: Sequence[Sequence[int]], *others: Any, **shapes: Any) -> int:
    """Two for each product, as torch counts; the shapes of the arguments are given."""
    return 2 * x[0] * math.prod(x[2:]) * sum(math.prod(stage) for stage in stages)


@register_flop_formula(torch.ops.bft_nas.butterfly_backward)
def _flops_backward(
    x: Sequence[int], gradient: Sequence[int], stages: Sequence[Sequence[int]], *others: Any, **shapes: Any
) -> int:
    return 2 * _flops(x, stages)
