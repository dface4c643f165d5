"""The fused kernel on the CPU, as a torch operator: all stages on a tile of pixels that stays in cache.

``kernel.c`` is compiled with the package where there is a C compiler, and bound through ctypes. Where there is none,
`available` is False, and butterflies run as PyTorch operations.
"""

from __future__ import annotations

import ctypes
import importlib.util
import math
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from bft_nas.butterfly.transform import is_channels_last

_LONG, _POINTER = ctypes.c_long, ctypes.c_void_p
_FLOATS = ctypes.POINTER(_POINTER)


@cache
def _library() -> ctypes.CDLL | None:
    spec = importlib.util.find_spec("bft_nas.butterfly._kernel")
    if spec is None or spec.origin is None:
        warnings.warn(
            "bft-nas was installed without a C compiler: butterflies run as PyTorch operations, which are slower",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    library = ctypes.CDLL(spec.origin)
    sizes: list[Any] = [ctypes.POINTER(_LONG), *[_LONG] * 7, _POINTER]
    library.bft_forward.argtypes = [_POINTER, _POINTER, _FLOATS, *sizes]
    library.bft_backward.argtypes = [_POINTER, _POINTER, _POINTER, _POINTER, _FLOATS, *sizes]
    return library


@cache
def _in_parallel() -> int | None:
    """GOMP_parallel of the OpenMP that torch brought along: a second thread pool would fight with torch's."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return None
    loaded = {line.split()[-1] for line in maps.read_text().splitlines() if "libgomp" in line}
    for path in sorted(loaded):
        return ctypes.cast(ctypes.CDLL(path).GOMP_parallel, _POINTER).value
    return None


def available() -> bool:
    """Whether the kernel was built with the package; warns once where it was not."""
    return _library() is not None


def fits(x: Tensor) -> bool:
    """Whether `fused_butterfly` takes this input as things stand; a traced graph holds torch's own operations."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
        and available()
    )


def fused_butterfly(x: Tensor, stages: Sequence[Tensor], factors: Sequence[int], n_out: int) -> Tensor:
    """Apply a butterfly transform: (N, n_in, *spatial) to (N, n_out, *spatial), float32 on the CPU.

    The result is in channels_last when ``x`` is. Differentiable once, in ``x`` and in the stages.
    """
    result: Tensor = _forward(x, list(stages), list(factors), n_out)
    return result


def _call(
    function: Any, buffers: Sequence[Tensor], stages: Sequence[Tensor], factors: Sequence[int], n_out: int
) -> None:
    x = buffers[0]
    pixels = x.numel() // max(1, x.shape[0] * x.shape[1])
    weights = (_POINTER * len(stages))(*(stage.data_ptr() for stage in stages))
    failed = function(
        *(buffer.data_ptr() for buffer in buffers),
        weights,
        (_LONG * len(factors))(*factors),
        len(factors),
        x.shape[1],
        n_out,
        x.shape[0],
        pixels,
        is_channels_last(x),
        torch.get_num_threads(),
        _in_parallel(),
    )
    if failed:
        raise MemoryError("not enough memory for the tiles of a butterfly transform")


def _compact(x: Tensor) -> Tensor:
    """``x`` without gaps, in channels_last if it is."""
    if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
        return x
    return x.contiguous()


def _empty_like(x: Tensor, channels: int) -> Tensor:
    layout = torch.channels_last if is_channels_last(x) else torch.contiguous_format
    return torch.empty(
        (x.shape[0], channels, *x.shape[2:]), dtype=x.dtype, device=x.device, memory_format=layout
    )


@torch.library.custom_op("bft_nas::butterfly", mutates_args=(), device_types="cpu")
def _forward(x: Tensor, stages: Sequence[Tensor], factors: Sequence[int], n_out: int) -> Tensor:
    library = _library()
    assert library is not None
    x = _compact(x)
    y = _empty_like(x, n_out)
    _call(library.bft_forward, (x, y), [stage.contiguous() for stage in stages], factors, n_out)
    return y


@torch.library.custom_op("bft_nas::butterfly_backward", mutates_args=(), device_types="cpu")
def _backward(
    x: Tensor, gradient: Tensor, stages: Sequence[Tensor], factors: Sequence[int]
) -> tuple[Tensor, Tensor]:
    library = _library()
    assert library is not None
    x = _compact(x)
    layout = torch.channels_last if is_channels_last(x) else torch.contiguous_format
    gradient = gradient.contiguous(memory_format=layout)
    of_x = torch.empty_like(x)
    of_weights = x.new_empty(sum(stage.numel() for stage in stages))
    weights = [stage.contiguous() for stage in stages]
    _call(library.bft_backward, (x, gradient, of_x, of_weights), weights, factors, gradient.shape[1])
    return of_x, of_weights


@_forward.register_fake
def _(x: Tensor, stages: Sequence[Tensor], factors: Sequence[int], n_out: int) -> Tensor:
    return _empty_like(_compact(x), n_out)


@_backward.register_fake
def _(x: Tensor, gradient: Tensor, stages: Sequence[Tensor], factors: Sequence[int]) -> tuple[Tensor, Tensor]:
    return torch.empty_like(_compact(x)), x.new_empty(sum(stage.numel() for stage in stages))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, stages, factors, _ = inputs
    ctx.save_for_backward(x, *stages)
    ctx.factors = factors


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    x, *stages = ctx.saved_tensors
    of_x, of_weights = _backward(x, gradient, stages, ctx.factors)
    parts = torch.split(of_weights, [stage.numel() for stage in stages])
    return of_x, [part.view_as(stage) for part, stage in zip(parts, stages, strict=True)], None, None


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
