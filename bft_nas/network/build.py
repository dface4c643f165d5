"""An architecture as a PyTorch module."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from bft_nas.network.architecture import Architecture
from bft_nas.network.blocks import written
from bft_nas.network.modules import MODULES, Head, Network, Stem
from bft_nas.network.modules.layers import init_linear


@dataclass(frozen=True)
class Call:
    """A module of `bft_nas.network.modules` and the keyword arguments of its constructor."""

    constructor: type[nn.Module]
    arguments: dict[str, Any]

    def __call__(self) -> Any:
        return self.constructor(**self.arguments)


def stem_call(net: Architecture) -> Call:
    """How the stem is constructed."""
    arguments = {"in_channels": net.in_channels, **written(net.stem)}
    if arguments.pop("factorised", False):
        arguments["middle"] = net.stem.middle
    return Call(Stem, arguments)


def block_calls(net: Architecture) -> Iterator[Call]:
    """How each block is constructed, in order."""
    for block, in_channels, _ in net.walk():
        yield Call(MODULES[block.kind], block.arguments(in_channels))


def head_call(net: Architecture) -> Call:
    """How the head is constructed."""
    head = net.head
    return Call(
        Head,
        {
            "in_channels": net.blocks[-1].channels,
            "channels": head.channels,
            "fusion": head.fusion,
            "hidden": head.hidden,
            "activation": head.activation,
        },
    )


Normalisation = tuple[Sequence[float], Sequence[float]]
"""Mean and standard deviation of each input channel, for images in [0, 1]."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""By which pretrained models of torchvision and timm normalise images in [0, 1]."""


def default_cfg(
    net: Architecture, normalisation: Normalisation | None = None, *, arrays: bool = False
) -> dict[str, Any]:
    """What timm's tools ask of a model: the size and preparation of its images, the names of its ends.

    Args:
        net: the network.
        normalisation: of the images that it was trained on; without one, images are prepared as pretrained models'.
        arrays: whether those were arrays, which are resized as a whole, and not centre squares of files.
    """
    channels = net.in_channels
    mean, std = normalisation or (IMAGENET_MEAN, IMAGENET_STD)
    if channels != len(mean):
        mean = std = (0.5,) * channels
    prepared = {"interpolation": "bilinear", "crop_pct": 0.875}
    if normalisation is not None:
        # As bft_nas.data.prepare does it.
        prepared = {
            "interpolation": "bilinear" if arrays else "bicubic",
            "crop_pct": 1.0,
            "crop_mode": "squash" if arrays else "center",
        }
    return {
        "architecture": net.family,
        "num_classes": net.classes,
        "input_size": (channels, net.resolution, net.resolution),
        "fixed_input_size": False,
        **prepared,
        "mean": tuple(map(float, mean)),
        "std": tuple(map(float, std)),
        "first_conv": "stem.down" if net.stem.factorised else "stem.conv",
        "classifier": "classifier",
    }


def build(architecture: Architecture) -> Network:
    """The network that an architecture describes, freshly initialised from torch's random state.

    It maps (N, in_channels, resolution, resolution) to (N, classes); other resolutions work too.

    >>> import torch
    >>> from bft_nas.network import Architecture, Head, Stem
    >>> from bft_nas.network.blocks.separable import SeparableBlock
    >>> net = Architecture("tiny", 32, Stem(16), (SeparableBlock(32),), Head(), classes=10)
    >>> build(net)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    network = Network(
        stem_call(architecture)(),
        [call() for call in block_calls(architecture)],
        head_call(architecture)(),
        architecture.classes,
        default_cfg(architecture),
    )
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            init_linear(module)
    return network
