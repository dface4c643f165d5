"""One layer of a network and what it costs, by the rule in `bft_nas.network.cost`. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from bft_nas.butterfly.plan import ButterflyPlan, butterfly_macs
from bft_nas.network.fusion import Fusion
from bft_nas.network.low_rank import low_rank_plan

if TYPE_CHECKING:
    import numpy as np

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"
Size = TypeVar("Size", int, Array)

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
    fusion: Fusion | None = None
    """What mixes channels in a pointwise layer; None in every other layer."""
    affine: int = 0
    """Learned values per output channel beside the weights: 2 with batch norm, 1 with a bias, and what the activation
    behind it has."""
    in_size: int = 0
    held: int = 0
    """Activations kept meanwhile for a skip connection or another branch, besides the input."""
    lying: bool | None = None
    """Whether the kernel is a row of pixels, or else a column; None: it is a square."""
    width: int = 0
    """Of the output, where it is not its height."""
    in_width: int = 0
    """Of the input, where it is not its height."""

    @property
    def plan(self) -> ButterflyPlan | None:
        """The stages of a butterfly; None in any other layer."""
        radix = None if self.fusion is None else self.fusion.radix
        return None if radix is None else ButterflyPlan(self.in_channels, self.out_channels, radix)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        fusion = self.fusion
        if fusion is not None and fusion.radix is not None:
            each = butterfly_macs(self.in_channels, self.out_channels, fusion.radix)
        else:
            each = self.products
        return each * self.size * (self.width or self.size)

    @property
    def weights(self) -> int:
        """Learned weights, without bias and batch norm."""
        plan = self.plan
        return self.products if plan is None else plan.weights

    @property
    def products(self) -> int:
        """Weights of a convolution or linear layer, each of them multiplied once a pixel."""
        fusion = self.fusion
        if fusion is not None and fusion.narrowing:
            return low_rank_plan(self.in_channels, self.out_channels, fusion.narrowing).weights
        groups = self.groups if fusion is None else fusion.groups
        height, width = self.window
        return height * width * self.in_channels // groups * self.out_channels

    @property
    def window(self) -> tuple[int, int]:
        """Height and width of the kernel."""
        if self.lying is None:
            return self.kernel, self.kernel
        return (1, self.kernel) if self.lying else (self.kernel, 1)

    @property
    def params(self) -> int:
        """Learned values, those of the batch norm or bias included."""
        return self.weights + self.affine * self.out_channels

    @property
    def memory(self) -> int:
        """Bytes of float32 activations alive while the layer runs on one image: input, output, what is held."""
        entering = self.in_channels * self.in_size * (self.in_width or self.in_size)
        leaving = self.out_channels * self.size * (self.width or self.size)
        return BYTES_PER_ACTIVATION * (entering + leaving + self.held)


def learned(activation: str) -> int:
    """Learned values per channel of an activation."""
    return 3 if activation == "acon_c" else 0


def squeezing(channels: int, squeeze: int, held: int) -> Iterator[Layer]:
    """The layers of a squeeze-excite ``se`` of some channels, none where it has none in the middle.

    Args:
        channels: that it scales.
        squeeze: in its middle.
        held: activations kept meanwhile, those that are scaled among them.
    """
    if squeeze:
        yield Layer("se.reduce", channels, squeeze, 1, affine=1, in_size=1, held=held)
        yield Layer("se.expand", squeeze, channels, 1, affine=1, in_size=1, held=held)


def halved(size: Size, stride: int) -> Size:
    """Height or width behind a layer of that stride, or those of many."""
    return -(-size // stride)
