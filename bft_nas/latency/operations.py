"""What a runtime executes of a network: its layers, and what lies between them, in order. Needs no torch.

One description of each kind of block, for whoever adds up milliseconds and for whoever writes a graph to be measured:
`run_network` calls a function with each operation and its inputs, and passes on what that returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from bft_nas.network.architecture import Architecture, Head, Stem
from bft_nas.network.blocks.fused import FusedBlock
from bft_nas.network.blocks.ghost import GhostBlock
from bft_nas.network.blocks.inverted import InvertedBlock
from bft_nas.network.blocks.residual import ResidualBlock
from bft_nas.network.blocks.separable import SeparableBlock
from bft_nas.network.blocks.shuffle import ShuffleBlock
from bft_nas.network.blocks.universal import UniversalBlock
from bft_nas.network.fusion import Fusion
from bft_nas.network.layer import halved
from bft_nas.network.low_rank import low_rank_plan


class Operation(NamedTuple):
    """One step of a runtime, for one image."""

    kind: str
    """``conv``, ``butterfly``, ``linear``, ``squeeze_excite`` (whole, with what it scales), ``column`` and ``row`` of a
    factorised stem, or what is no layer."""
    in_channels: int
    out_channels: int
    side: int
    """Height and width of the output."""
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    radix: int = 0
    squeeze: int = 0
    """Channels in the middle of a squeeze-excite."""
    activation: str = ""
    """Which one, of an operation that is one."""
    flat: bool = False
    """Whether an activation is behind the mean, where a value has no height and width."""

    @property
    def is_depthwise(self) -> bool:
        """Whether it convolves each channel by itself."""
        return self.kind == "conv" and 1 < self.groups == self.in_channels == self.out_channels


Run = Callable[..., Any]
"""Takes an operation and its inputs, and returns its output: two of them for ``split``."""


def operations(net: Architecture) -> list[Operation]:
    """Those of a network, in order."""
    found: list[Operation] = []

    def run(operation: Operation, *inputs: Any) -> Any:
        found.append(operation)
        return (None, None) if operation.kind == "split" else None

    run_network(net, run, None)
    return found


def run_network(net: Architecture, run: Run, images: Any) -> Any:
    """Run a network on images, and return the output of its last operation."""
    x = _run_stem(net.stem, net.in_channels, net.resolution, run, images)
    for block, in_channels, size in net.walk():
        x = BLOCK_RUNS[block.kind](block, in_channels, size, run, x)
    last = net.blocks[-1].channels
    return _run_head(net.head, last, list(net.walk())[-1].end, net.classes, run, x)


def _run_stem(stem: Stem, in_channels: int, resolution: int, run: Run, x: Any) -> Any:
    channels, side = stem.channels, halved(resolution, stem.stride)
    if stem.factorised:
        middle = stem.middle
        x = run(Operation("column", in_channels, middle, side, stem.kernel, stem.stride), x)
        x = run(Operation("row", middle, channels, side, stem.kernel, stem.stride, middle), x)
    else:
        x = run(Operation("conv", in_channels, channels, side, stem.kernel, stem.stride), x)
    x = _activated(run, x, channels, side, stem.activation)
    if stem.factorised:
        x = run(Operation("channel_shuffle", channels, channels, side, groups=stem.middle), x)
    if stem.pool:
        x = run(Operation("max_pool", channels, channels, halved(side, 2), 3, 2), x)
    return x


def _run_head(head: Head, channels: int, side: int, classes: int, run: Run, x: Any) -> Any:
    if head.channels:
        x = _fused(run, x, channels, head.channels, side, head.fusion)
        x = _activated(run, x, head.channels, side, head.activation)
        channels = head.channels
    x = run(Operation("mean", channels, channels, side), x)
    if head.hidden:
        x = run(Operation("linear", channels, head.hidden, 1), x)
        channels = head.hidden
        x = run(Operation("activation", channels, channels, 1, activation=head.activation, flat=True), x)
    return run(Operation("linear", channels, classes, 1), x)


def _activated(run: Run, x: Any, channels: int, side: int, activation: str) -> Any:
    return run(Operation("activation", channels, channels, side, activation=activation), x)


def _depthwise(run: Run, x: Any, channels: int, side: int, kernel: int, stride: int = 1) -> Any:
    return run(Operation("conv", channels, channels, side, kernel, stride, channels), x)


def _fused(run: Run, x: Any, in_channels: int, out_channels: int, side: int, fusion: Fusion) -> Any:
    if fusion.radix:
        return run(Operation("butterfly", in_channels, out_channels, side, radix=fusion.radix), x)
    if fusion.narrowing:
        plan = low_rank_plan(in_channels, out_channels, fusion.narrowing)
        x = run(Operation("conv", in_channels, plan.rank, side, groups=plan.first), x)
        x = run(Operation("channel_shuffle", plan.rank, plan.rank, side, groups=plan.first), x)
        return run(Operation("conv", plan.rank, out_channels, side, groups=plan.second), x)
    return run(Operation("conv", in_channels, out_channels, side, groups=fusion.groups), x)


def _interleaved(run: Run, x: Any, channels: int, side: int, *fusions: Fusion) -> Any:
    groups = next((fusion.groups for fusion in fusions if fusion.groups > 1), 1)
    if groups == 1:
        return x
    return run(Operation("channel_shuffle", channels, channels, side, groups=groups), x)


def _excited(run: Run, x: Any, channels: int, side: int, squeeze: int) -> Any:
    if not squeeze:
        return x
    return run(Operation("squeeze_excite", channels, channels, side, squeeze=squeeze), x)


def _separable(block: SeparableBlock, channels: int, size: int, run: Run, x: Any) -> Any:
    end, out = halved(size, block.stride), block.channels
    x = _interleaved(run, x, channels, size, block.fusion)
    y = _depthwise(run, x, channels, end, block.kernel, block.stride)
    if block.depthwise_form != "linear":
        y = _activated(run, y, channels, end, block.activation)
    if block.depthwise_form == "residual":
        y = run(Operation("add", channels, channels, end), x, y)
    y = _excited(run, y, channels, end, block.squeeze)
    y = _fused(run, y, channels, out, end, block.fusion)
    return _activated(run, y, out, end, block.activation)


def _expanded_at_once(block: FusedBlock, channels: int, size: int, run: Run, x: Any) -> Any:
    end, wide, out = halved(size, block.stride), block.expanded, block.channels
    y = run(Operation("conv", channels, wide, end, block.kernel, block.stride), x)
    y = _activated(run, y, wide, end, block.activation)
    y = _excited(run, y, wide, end, block.squeeze)
    y = _fused(run, y, wide, out, end, block.fusion)
    if not block.linear:
        return _activated(run, y, out, end, block.activation)
    if block.stride > 1 or channels != out:
        return y
    return run(Operation("add", out, out, end), x, y)


def _inverted(block: InvertedBlock, channels: int, size: int, run: Run, x: Any) -> Any:
    end, wide, y = halved(size, block.stride), block.expanded, x
    if wide != channels:
        y = _fused(run, y, channels, wide, size, block.expand_fusion)
        y = _activated(run, y, wide, size, block.activation)
    y = _interleaved(run, y, wide, size, block.fusion, block.expand_fusion)
    y = _depthwise(run, y, wide, end, block.kernel, block.stride)
    y = _activated(run, y, wide, end, block.activation)
    y = _excited(run, y, wide, end, block.squeeze)
    y = _fused(run, y, wide, block.channels, end, block.fusion)
    if block.stride > 1 or channels != block.channels:
        return y
    return run(Operation("add", channels, channels, end), x, y)


def _universal(block: UniversalBlock, channels: int, size: int, run: Run, x: Any) -> Any:
    end, wide, y = halved(size, block.stride), block.expanded, x
    middle = size if block.kernel else end
    if block.start_kernel:
        y = _depthwise(run, y, channels, middle, block.start_kernel, 1 if block.kernel else block.stride)
    y = _fused(run, y, channels, wide, middle, block.expand_fusion)
    y = _activated(run, y, wide, middle, block.activation)
    y = _interleaved(run, y, wide, middle, block.fusion, block.expand_fusion)
    if block.kernel:
        y = _depthwise(run, y, wide, end, block.kernel, block.stride)
        y = _activated(run, y, wide, end, block.activation)
    y = _excited(run, y, wide, end, block.squeeze)
    y = _fused(run, y, wide, block.channels, end, block.fusion)
    if block.stride > 1 or channels != block.channels:
        return y
    return run(Operation("add", channels, channels, end), x, y)


def _shuffle(block: ShuffleBlock, channels: int, size: int, run: Run, x: Any) -> Any:
    end, half, fusion, kernel = halved(size, block.stride), block.channels // 2, block.fusion, block.kernel
    if block.stride > 1:
        left = _depthwise(run, x, channels, end, kernel, block.stride)
        left = _fused(run, left, channels, half, end, fusion)
        left, right = _activated(run, left, half, end, block.activation), x
    else:
        left, right = run(Operation("split", channels, half, size), x)
    right = _fused(run, right, channels if block.stride > 1 else half, half, size, fusion)
    right = _activated(run, right, half, size, block.activation)
    right = _interleaved(run, right, half, size, fusion)
    right = _depthwise(run, right, half, end, kernel, block.stride)
    right = _excited(run, right, half, end, block.squeeze)
    right = _fused(run, right, half, half, end, fusion)
    right = _activated(run, right, half, end, block.activation)
    return run(Operation("interleave", half, block.channels, end), left, right)


def _ghost(block: GhostBlock, channels: int, size: int, run: Run, x: Any) -> Any:
    end, wide, out, cheap = halved(size, block.stride), block.expanded, block.channels, block.cheap_kernel
    # What is added to its own input is one layer by then.
    parts = 1 if block.cheap_form == "added" else 2
    made = wide // parts
    y = _fused(run, x, channels, made, size, block.expand_fusion)
    y = _activated(run, y, made, size, block.activation)
    copies = _depthwise(run, y, made, size, cheap)
    copies = _activated(run, copies, made, size, block.activation)
    y = copies if parts == 1 else run(Operation("concat", made, wide, size), y, copies)
    y = _interleaved(run, y, wide, size, block.fusion, block.expand_fusion)
    if block.stride > 1:
        y = _depthwise(run, y, wide, end, block.kernel, block.stride)
    y = _excited(run, y, wide, end, block.squeeze)
    made = out // parts
    y = _fused(run, y, wide, made, end, block.fusion)
    copies = _depthwise(run, y, made, end, cheap)
    y = copies if parts == 1 else run(Operation("concat", made, out, end), y, copies)
    if block.stride > 1 or channels != out:
        x = _depthwise(run, x, channels, end, block.kernel, block.stride)
        x = run(Operation("conv", channels, out, end), x)
    return run(Operation("add", out, out, end), x, y)


def _residual(block: ResidualBlock, channels: int, size: int, run: Run, x: Any) -> Any:
    end, out = halved(size, block.stride), block.channels
    y = run(Operation("conv", channels, out, end, block.kernel, block.stride), x)
    y = _activated(run, y, out, end, block.activation)
    y = run(Operation("conv", out, out, end, block.kernel), y)
    y = _excited(run, y, out, end, block.squeeze)
    if block.stride > 1 or channels != out:
        if block.stride > 1:
            x = run(Operation("subsample", channels, channels, end, stride=block.stride), x)
        x = _fused(run, x, channels, out, end, block.fusion)
    y = run(Operation("add", out, out, end), x, y)
    return _activated(run, y, out, end, block.activation)


BLOCK_RUNS: Mapping[str, Callable[[Any, int, int, Run, Any], Any]] = {
    SeparableBlock.kind: _separable,
    FusedBlock.kind: _expanded_at_once,
    InvertedBlock.kind: _inverted,
    UniversalBlock.kind: _universal,
    ShuffleBlock.kind: _shuffle,
    GhostBlock.kind: _ghost,
    ResidualBlock.kind: _residual,
}
"""How a block of each kind runs, given its row, the channels and the size of its input, and that input."""
