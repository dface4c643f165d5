"""What makes a training step on the CPU faster and changes nothing in what it computes but the order of sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bft_nas.kernels import depthwise, norm
from bft_nas.kernels.depthwise import convolve, is_depthwise
from bft_nas.kernels.norm import activation_of, is_usual, normalise
from bft_nas.network.modules import MODULES, Head, Stem
from bft_nas.network.modules.shuffle import Shuffle

ACTIVATED = (Stem, Head, *MODULES.values())
"""Modules in which ``NAME_activation`` follows ``NAME_norm``, and ``activation`` follows ``norm``."""


@contextmanager
def trained_fast(model: nn.Module, classes: int, *, norms: bool = True) -> Iterator[None]:
    """Within it, layers of a model run as is best for training, and a wide classifier gives the first logits alone.

    - Depthwise convolutions are a kernel of ours, forward and back, see `bft_nas.kernels.depthwise`.
    - Batch norm and the activation after it are one kernel of ours, see `bft_nas.kernels.norm`.
    - The halves of a shuffle block are joined as they lie in memory, all channels of a pixel side by side.
    - A network that is counted with 1000 classes and tried out on ten would spend a tenth of a step on the others,
      which nobody reads.

    Args:
        model: a network, with its last layer as ``classifier`` where it has one.
        classes: how many logits are read.
        norms: whether batch norm is among these layers.

    >>> import torch
    >>> layer = nn.Conv2d(32, 32, 5, padding=2, groups=32, bias=False)
    >>> with trained_fast(layer, 10):
    ...     layer(torch.ones(1, 32, 7, 7)).sum().backward()
    """
    forwards: dict[nn.Module, Callable[[Tensor], Tensor]] = {}
    shuffles = [module for module in model.modules() if isinstance(module, Shuffle)]
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and is_depthwise(module) and depthwise.kernel_available():
            forwards[module] = partial(convolve, module)
    if norms and norm.kernel_available():
        forwards |= _norms(model)
    classifier = getattr(model, "classifier", None)
    if isinstance(classifier, nn.Linear) and classifier.out_features > classes:
        forwards[classifier] = partial(_first_logits, classifier, classes)
    for module, forward in forwards.items():
        module.forward = forward
    for shuffle in shuffles:
        shuffle.join = _joined  # type: ignore[method-assign]
    try:
        yield
    finally:
        for module in forwards:
            del module.forward
        for shuffle in shuffles:
            del shuffle.join


def _norms(model: nn.Module) -> dict[nn.Module, Callable[[Tensor], Tensor]]:
    """Norms with their activations, and what is left of these: nothing."""
    forwards: dict[nn.Module, Callable[[Tensor], Tensor]] = {}
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and is_usual(module):
            forwards[module] = partial(normalise, module, "identity")
    for block in model.modules():
        for name, child in block.named_children() if isinstance(block, ACTIVATED) else ():
            activated = getattr(block, name.removesuffix("activation") + "norm", None)
            activation = activation_of(child)
            if activation is not None and activated in forwards:
                forwards[activated] = partial(normalise, activated, activation)
                forwards[child] = _nothing
    return forwards


def _joined(left: Tensor, right: Tensor) -> Tensor:
    """What `Shuffle.join` makes of channels_last images, in channels_last again."""
    pixels = (left.permute(0, 2, 3, 1), right.permute(0, 2, 3, 1))
    return torch.stack(pixels, dim=-1).flatten(-2).permute(0, 3, 1, 2)


def _nothing(x: Tensor) -> Tensor:
    return x


def _first_logits(classifier: nn.Linear, classes: int, x: Tensor) -> Tensor:
    bias = None if classifier.bias is None else classifier.bias[:classes]
    return F.linear(x, classifier.weight[:classes], bias)
