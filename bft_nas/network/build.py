"""An architecture as a PyTorch module."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from bft_nas.network import modules as blocks
from bft_nas.network.architecture import Architecture


@dataclass(frozen=True)
class Call:
    """A constructor of `bft_nas.network.modules` and its keyword arguments."""

    constructor: str
    arguments: dict[str, Any]


def stem_call(net: Architecture) -> Call:
    """How the stem is constructed."""
    stem = net.stem
    return Call(
        "Stem",
        {
            "in_channels": net.in_channels,
            "channels": stem.channels,
            "kernel": stem.kernel,
            "stride": stem.stride,
            "activation": stem.activation,
            "pool": stem.pool,
        },
    )


def block_calls(net: Architecture) -> Iterator[Call]:
    """How each block is constructed, in order."""
    channels = net.stem.channels
    for block in net.blocks:
        arguments = {
            "in_channels": channels,
            "channels": block.channels,
            "kernel": block.kernel,
            "stride": block.stride,
            "activation": block.activation,
            "fusion": block.fusion,
        }
        if block.kind == "inverted":
            arguments |= {
                "expanded": block.expanded,
                "expand_fusion": block.expand_fusion,
                "squeeze": block.squeeze,
            }
        yield Call(block.kind.capitalize(), arguments)
        channels = block.channels


def head_call(net: Architecture) -> Call:
    """How the head is constructed."""
    head = net.head
    return Call(
        "Head",
        {
            "in_channels": net.blocks[-1].channels,
            "channels": head.channels,
            "fusion": head.fusion,
            "hidden": head.hidden,
            "activation": head.activation,
        },
    )


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""By which pretrained models of torchvision and timm normalise images in [0, 1]."""


def default_cfg(
    net: Architecture, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> dict[str, Any]:
    """What timm's tools ask of a model: the size and preparation of its images, the names of its ends."""
    if net.in_channels != len(mean):
        mean = std = (0.5,) * net.in_channels
    return {
        "architecture": net.family,
        "num_classes": net.classes,
        "input_size": (net.in_channels, net.resolution, net.resolution),
        "fixed_input_size": False,
        "interpolation": "bilinear",
        "crop_pct": 0.875,
        "mean": tuple(map(float, mean)),
        "std": tuple(map(float, std)),
        "first_conv": "stem.conv",
        "classifier": "classifier",
    }


def build(architecture: Architecture) -> blocks.Network:
    """The network that an architecture describes, freshly initialised from torch's random state.

    It maps (N, in_channels, resolution, resolution) to (N, classes); other resolutions work too.

    >>> from bft_nas.network import Architecture, Block, Head, Stem
    >>> net = Architecture("tiny", 32, Stem(16), (Block("separable", 32),), Head(), classes=10)
    >>> build(net)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def construct(call: Call) -> Any:
        return getattr(blocks, call.constructor)(**call.arguments)

    network = blocks.Network(
        construct(stem_call(architecture)),
        [construct(call) for call in block_calls(architecture)],
        construct(head_call(architecture)),
        architecture.classes,
        default_cfg(architecture),
    )
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            blocks.begin_linear(module)
    return network
