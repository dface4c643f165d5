"""What a network costs: MACs, parameters and peak activation memory, layer by layer. Needs no torch.

The rule. A convolution or linear layer costs its multiply-accumulates. A butterfly costs, per pixel and square
transform of n channels, n * sum(factors), and n more accumulates for its residual. Bias, batch norm, activation,
pooling, the scaling of a squeeze-excite and the addition of a skip connection are not counted: this is what the
field's papers call FLOPs. Everything is for one image at the deployment resolution.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from bft_nas.butterfly.plan import ButterflyPlan, butterfly_macs
from bft_nas.network.architecture import Architecture, Block, fusion_groups, fusion_radix

BYTES_PER_ACTIVATION = 4


class Layer(NamedTuple):
    """One convolution, butterfly or linear layer, with the batch norm behind it when it has one."""

    name: str
    """Dotted name of the layer in the built network."""
    in_channels: int
    out_channels: int
    size: int
    """Height and width of the output."""
    kernel: int = 1
    groups: int = 1
    fusion: str | None = None
    """What mixes channels in a pointwise layer, as architectures name it; None in every other layer."""
    affine: int = 0
    """Learned values per output channel beside the weights: 2 with batch norm, 1 with a bias."""
    in_size: int = 0
    held: int = 0
    """Activations kept meanwhile for a skip connection or another branch."""

    @property
    def plan(self) -> ButterflyPlan | None:
        """The stages of a butterfly; None in any other layer."""
        radix = fusion_radix(self.fusion) if self.fusion else None
        return None if radix is None else ButterflyPlan(self.in_channels, self.out_channels, radix)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        radix = fusion_radix(self.fusion) if self.fusion else None
        each = self._products if radix is None else butterfly_macs(self.in_channels, self.out_channels, radix)
        return each * self.size * self.size

    @property
    def weights(self) -> int:
        """Learned weights, without bias and batch norm."""
        plan = self.plan
        return self._products if plan is None else plan.weights

    @property
    def _products(self) -> int:
        groups = fusion_groups(self.fusion) if self.fusion else self.groups
        return self.kernel * self.kernel * self.in_channels // groups * self.out_channels

    @property
    def params(self) -> int:
        """Learned values, those of the batch norm or bias included."""
        return self.weights + self.affine * self.out_channels

    @property
    def memory(self) -> int:
        """Bytes of float32 activations alive while the layer runs on one image: input, output, what is held."""
        values = self.in_channels * self.in_size**2 + self.out_channels * self.size**2 + self.held
        return BYTES_PER_ACTIVATION * values


@dataclass(frozen=True)
class Cost:
    """The cost of one network for one image.

    >>> from bft_nas.network import Architecture, Block, Head, Stem
    >>> net = Architecture("tiny", 32, Stem(16), (Block("separable", 32),), Head(), classes=10)
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
    stem = net.stem
    size = halved(net.resolution, stem.stride)
    yield Layer(
        "stem.conv", net.in_channels, stem.channels, size, stem.kernel, affine=2, in_size=net.resolution
    )
    size = halved(size, 2) if stem.pool else size
    channels = stem.channels
    for i, block in enumerate(net.blocks):
        for layer in block_layers(block, channels, size):
            yield layer._replace(name=f"blocks.{i}.{layer.name}")
        channels, size = block.channels, halved(size, block.stride)
    yield from head_layers(channels, size, net.head.channels, net.head.fusion, net.head.hidden, net.classes)


def halved(size: int, stride: int) -> int:
    """Height or width behind a layer of that stride."""
    return -(-size // stride)


def block_layers(block: Block, in_channels: int, size: int) -> Iterator[Layer]:
    """The layers of one block whose input is ``in_channels`` channels of ``size`` x ``size`` pixels."""
    out, kernel, end = block.channels, block.kernel, halved(size, block.stride)
    if block.kind == "separable":
        yield Layer("depthwise", in_channels, in_channels, end, kernel, in_channels, affine=2, in_size=size)
        yield Layer("pointwise", in_channels, out, end, fusion=block.fusion, affine=2, in_size=end)
    elif block.kind == "shuffle":
        half = out // 2
        mixes = block.fusion
        branch_in, held = half, half * size**2
        if block.stride > 1:
            branch_in, held = in_channels, half * end**2
            whole = in_channels * size**2
            yield Layer(
                "shortcut_depthwise",
                in_channels,
                in_channels,
                end,
                kernel,
                in_channels,
                affine=2,
                in_size=size,
            )
            yield Layer(
                "shortcut_pointwise", in_channels, half, end, fusion=mixes, affine=2, in_size=end, held=whole
            )
        yield Layer("expand", branch_in, half, size, fusion=mixes, affine=2, in_size=size, held=held)
        yield Layer("depthwise", half, half, end, kernel, half, affine=2, in_size=size, held=held)
        yield Layer("project", half, half, end, fusion=mixes, affine=2, in_size=end, held=held)
    else:
        wide = block.expanded
        skip = in_channels * size**2 if block.stride == 1 and in_channels == out else 0
        if wide != in_channels:
            yield Layer("expand", in_channels, wide, size, fusion=block.expand_fusion, affine=2, in_size=size)
        yield Layer("depthwise", wide, wide, end, kernel, wide, affine=2, in_size=size, held=skip)
        if block.squeeze:
            excited = wide * end**2 + skip
            yield Layer("se.reduce", wide, block.squeeze, 1, affine=1, in_size=1, held=excited)
            yield Layer("se.expand", block.squeeze, wide, 1, affine=1, in_size=1, held=excited)
        yield Layer("project", wide, out, end, fusion=block.fusion, affine=2, in_size=end, held=skip)


def head_layers(
    in_channels: int, size: int, channels: int, fusion: str, hidden: int, classes: int
) -> Iterator[Layer]:
    """The layers behind the blocks; see `Head` for what ``channels`` and ``hidden`` are."""
    if channels:
        yield Layer("head.conv", in_channels, channels, size, fusion=fusion, affine=2, in_size=size)
        in_channels = channels
    if hidden:
        yield Layer("head.hidden", in_channels, hidden, 1, affine=1, in_size=1)
        in_channels = hidden
    yield Layer("classifier", in_channels, classes, 1, affine=1, in_size=1)
