"""Fold butterfly transforms for inference: each into whatever is faster where it will run."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bft_nas.butterfly.forms import is_channels_last
from bft_nas.butterfly.transform import ButterflyTransform
from bft_nas.core.timing import medians

ROUNDS = 9
SECONDS_PER_ROUND = 0.001


@dataclass(frozen=True)
class Frozen:
    """What `freeze` made of one transform, and the seconds of a call of each on the sample that decided it."""

    name: str
    form: Literal["butterfly", "dense"]
    butterfly_seconds: float
    dense_seconds: float

    def __str__(self) -> str:
        ratio = self.butterfly_seconds / self.dense_seconds
        return f"{self.name or 'the transform'}: {self.form} (butterfly takes {ratio:.2f} of dense)"


def freeze(model: nn.Module, x: Tensor) -> tuple[nn.Module, tuple[Frozen, ...]]:
    """A copy of ``model`` for inference, each butterfly transform replaced by a 1x1 convolution if that is faster.

    Faster is what takes less time here and now, with the threads that torch is set to, on the shape, layout and type
    that the transform is given when the model runs on ``x``; a transform that ``x`` does not reach, or that is given
    anything but (N, C, H, W), or that by keyword, stays as it is. The copy is in eval mode and its parameters need no
    gradient.

    >>> from bft_nas.butterfly import ButterflyTransform, freeze
    >>> model, choices = freeze(nn.Sequential(ButterflyTransform(64, 64)), torch.randn(1, 64, 7, 7))
    >>> [choice.name for choice in choices]
    ['0']
    """
    frozen = copy.deepcopy(model).eval().requires_grad_(False)
    samples: dict[ButterflyTransform, Tensor] = {}

    def remember(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        assert isinstance(module, ButterflyTransform)
        if arguments:  # a convolution does not know the keyword
            samples[module] = arguments[0]

    hooks = [
        module.register_forward_pre_hook(remember)
        for module in frozen.modules()
        if isinstance(module, ButterflyTransform)
    ]
    try:
        with torch.inference_mode():
            frozen(x)
    finally:
        for hook in hooks:
            hook.remove()
    choices = []
    folded: dict[nn.Module, nn.Module] = {}
    for name, module in list(frozen.named_modules(remove_duplicate=False)):
        if not isinstance(module, ButterflyTransform) or samples.get(module, x[:0]).dim() != 4:
            continue
        if module not in folded:
            if module not in samples:
                continue
            dense = _convolution(module, samples[module])
            seconds = _seconds(module, dense, samples[module])
            is_dense = seconds[1] < seconds[0]
            choices.append(Frozen(name, "dense" if is_dense else "butterfly", *seconds))
            folded[module] = dense if is_dense else module
        if name:
            parent, _, child = name.rpartition(".")
            setattr(frozen.get_submodule(parent), child, folded[module])
    return folded.get(frozen, frozen), tuple(choices)


def _convolution(transform: ButterflyTransform, x: Tensor) -> nn.Conv2d:
    """The same function as a dense layer, its weight in the layout of its input."""
    with torch.no_grad():
        matrix = transform.dense()
    convolution = nn.Conv2d(
        transform.in_channels,
        transform.out_channels,
        1,
        stride=transform.stride,
        bias=transform.bias is not None,
        device=matrix.device,
        dtype=matrix.dtype,
    )
    with torch.no_grad():
        convolution.weight.copy_(matrix[..., None, None])
        if convolution.bias is not None and transform.bias is not None:
            convolution.bias.copy_(transform.bias)
    if is_channels_last(x):
        convolution.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return convolution.eval().requires_grad_(False)


@torch.inference_mode()
def _seconds(transform: ButterflyTransform, dense: nn.Conv2d, x: Tensor) -> tuple[float, float]:
    """Of a call of each."""
    runs = {"butterfly": partial(transform, x), "dense": partial(dense, x)}
    wait = partial(torch.cuda.synchronize, x.device) if x.is_cuda else lambda: None
    times = medians(runs, ROUNDS, SECONDS_PER_ROUND, wait)
    return times["butterfly"], times["dense"]
