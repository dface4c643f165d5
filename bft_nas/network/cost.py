"""What a network costs: MACs, parameters and peak activation memory, layer by layer. Needs no torch.

The rule. A convolution or linear layer costs its multiply-accumulates. A butterfly costs, per pixel and square
transform of n channels, n * sum(factors), and n more accumulates for its residual. Bias, batch norm, activation (one
with learned values, too), pooling, the scaling of a squeeze-excite and the addition of a skip connection are not
counted: this is what the field's papers call FLOPs. Everything is for one image at the deployment resolution.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from bft_nas.network.architecture import Architecture, Head, Stem
from bft_nas.network.layer import Layer, halved, learned


@dataclass(frozen=True)
class Cost:
    """The cost of one network for one image.

    >>> from bft_nas.network import Architecture, Head, Stem
    >>> from bft_nas.network.blocks.separable import SeparableBlock
    >>> net = Architecture("tiny", 32, Stem(16), (SeparableBlock(32),), Head(), classes=10)
    >>> cost(net).macs == 16 * 16 * (27 * 16 + 9 * 16 + 16 * 32) + 320
    True
    """

    layers: tuple[Layer, ...]

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return sum(layer.macs for layer in self.layers)

    @cached_property
    def params(self) -> int:
        """Learned values."""
        return sum(layer.params for layer in self.layers)

    @cached_property
    def peak_memory(self) -> int:
        """Bytes of float32 activations at the layer that needs most."""
        return max(layer.memory for layer in self.layers)

    @cached_property
    def butterfly_share(self) -> float:
        """The part, 0 to 1, of the MACs of all fusions that is spent in butterflies."""
        fusions = [layer for layer in self.layers if layer.fusion]
        total = sum(layer.macs for layer in fusions)
        return sum(layer.macs for layer in fusions if layer.plan) / total if total else 0.0


def cost(architecture: Architecture) -> Cost:
    """Count a network by the rule at the top of this module."""
    return Cost(tuple(_layers(architecture)))


def _layers(net: Architecture) -> Iterator[Layer]:
    yield from stem_layers(net.stem, net.in_channels, net.resolution)
    for i, row in enumerate(net.walk()):
        for layer in row.block.layers(row.in_channels, row.size):
            yield Layer._make((f"blocks.{i}.{layer.name}", *layer[1:]))
    yield from head_layers(net.head, row.block.channels, row.end, net.classes)


def stem_layers(stem: Stem, in_channels: int, resolution: int) -> Iterator[Layer]:
    """The layers before the blocks, for images of ``resolution`` x ``resolution`` pixels."""
    end, affine = halved(resolution, stem.stride), 2 + learned(stem.activation)
    if not stem.factorised:
        yield Layer(
            *("stem.conv", in_channels, stem.channels, end, stem.kernel), affine=affine, in_size=resolution
        )
        return
    middle = stem.middle
    # Each layer strides along its own kernel: what is between them is wide where images are halved.
    yield Layer(
        *("stem.down", in_channels, middle, end, stem.kernel),
        affine=2, in_size=resolution, lying=False, width=resolution,
    )  # fmt: skip
    yield Layer(
        *("stem.conv", middle, stem.channels, end, stem.kernel, middle),
        affine=affine, in_size=end, lying=True, in_width=resolution,
    )  # fmt: skip


def head_layers(head: Head, in_channels: int, size: int, classes: int) -> Iterator[Layer]:
    """The layers behind the blocks."""
    learns = learned(head.activation)
    if head.channels:
        yield Layer(
            *("head.conv", in_channels, head.channels, size),
            fusion=head.fusion, affine=2 + learns, in_size=size,
        )  # fmt: skip
        in_channels = head.channels
    if head.hidden:
        yield Layer("head.hidden", in_channels, head.hidden, 1, affine=1 + learns, in_size=1)
        in_channels = head.hidden
    yield Layer("classifier", in_channels, classes, 1, affine=1, in_size=1)
