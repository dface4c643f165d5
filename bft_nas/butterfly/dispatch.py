"""Which form of the butterfly transform runs: one rule for the whole process, from measurements, and a way around it.

=================  =============================================================================================
form               what runs
=================  =============================================================================================
``fused``          the kernel in C: all stages on a tile of pixels in cache. CPU; float32, float64, bfloat16.
``structured``     stage by stage, as batched matrix products in PyTorch.
``composed``       the stages multiplied into the dense matrix, then one convolution with it.
``auto``           what the dispatcher says: `default_form`, or the one set by `dispatch_with`.
=================  =============================================================================================

A transform's own ``form=`` goes before the dispatcher.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from bft_nas.butterfly.forms import Form, Transform, is_channels_last
from bft_nas.kernels.butterfly import fits

Dispatcher = Callable[[Tensor, Any], Form]
"""From an input and a `Transform` to the form that runs."""

# In PyTorch on the CPU, with fewer channels a stage than this the structured form is bound by memory traffic, and
# composing the dense matrix once a step is faster (benchmarks/results/butterfly.md). Channels last costs a transpose
# at either end. Each stage is a pass over the activations there, so on a GPU, where a dense pointwise convolution is
# bound by memory up to about 1,000 channels, it never pays.
CHANNELS_PER_STAGE = 64
CHANNELS_PER_STAGE_CHANNELS_LAST = 170


def default_form(x: Tensor, transform: Transform) -> Form:
    """The form that is fastest for this input, as measured by benchmarks/butterfly.py.

    On the CPU the kernel wherever it is built and takes the type of ``x``, in training and in inference, for any
    channels and radix. Else, on the CPU, ``structured`` from `CHANNELS_PER_STAGE` channels a stage on, and
    ``composed`` below; elsewhere ``composed``.
    """
    if fits(x):
        return "fused"
    if x.is_cpu:
        least = CHANNELS_PER_STAGE_CHANNELS_LAST if is_channels_last(x) else CHANNELS_PER_STAGE
        if min(transform.in_channels, transform.out_channels) >= least * len(transform.factors):
            return "structured"
    return "composed"


_dispatcher: Dispatcher = default_form


def chosen_form(x: Tensor, transform: Transform) -> Form:
    """What the dispatcher says, told the transform (channels, factors, training) and the input (device, type)."""
    return _dispatcher(x, transform)


@contextmanager
def dispatch_with(dispatcher: Dispatcher) -> Iterator[None]:
    """Let ``dispatcher`` choose the form of every transform whose own is ``auto``, in all threads, while this lasts.

    >>> import torch
    >>> from bft_nas.butterfly import ButterflyTransform, dispatch_with
    >>> def dense_in_training(x, transform):
    ...     return "composed" if transform.training else "structured"
    >>> with dispatch_with(dense_in_training):
    ...     ButterflyTransform(64, 64)(torch.randn(1, 64, 7, 7)).shape
    torch.Size([1, 64, 7, 7])
    """
    global _dispatcher  # noqa: PLW0603
    before = _dispatcher
    _dispatcher = dispatcher
    try:
        yield
    finally:
        _dispatcher = before
