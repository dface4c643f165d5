"""The graph of a network as the steps of a program: calls of kernels, with what follows a layer fused into it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import fx, nn

from bft_nas.export.c_program.transform import Transform, worth_structure
from bft_nas.export.checks import ExportError
from bft_nas.export.folded_butterfly import FoldedButterfly
from bft_nas.network.modules.layers import AconC

LANES = 16
"""Planes are padded to whole vectors of so many elements, the most that a kernel has."""


@dataclass(frozen=True)
class Buffer:
    """Planes in the arena, one behind the other."""

    number: int
    planes: int
    step: int
    """Elements from one plane to the next; 1 for what has a single pixel and is read as one vector."""


@dataclass(frozen=True)
class Value:
    """An image or vector of a graph: where its channels are. Views and shuffles of channels are other such lists."""

    planes: tuple[tuple[Buffer, int], ...]
    """For each channel the buffer and the plane of it."""
    height: int
    width: int

    @property
    def buffers(self) -> set[Buffer]:
        return {buffer for buffer, _ in self.planes}

    @property
    def pixels(self) -> int:
        return self.height * self.width

    def __len__(self) -> int:
        return len(self.planes)

    def of(self, channels: Sequence[int]) -> Value:
        """Some of its channels, in that order; -1 is a plane of zeros."""
        return replace(self, planes=tuple((ZEROS, 0) if c < 0 else self.planes[c] for c in channels))


IMAGE, ZEROS = -1, Buffer(-2, 1, 0)
"""The number of the buffer that is the image given, and a plane that is never written."""


@dataclass(frozen=True)
class Step:
    """A call of a kernel that writes ``y``."""

    kernel: str
    name: str
    """Of the layer."""
    x: Value
    y: Value
    activation: str = "NO_ACTIVATION"
    other: Value | None = None
    """What is added, or the factors of a scale."""
    layer: nn.Module | None = None

    @property
    def reads(self) -> set[Buffer]:
        return self.x.buffers | (self.other.buffers if self.other else set())


def steps_of(network: fx.GraphModule) -> tuple[list[Step], Value]:
    """The steps in their order, and the logits. ExportError where a layer has no kernel."""
    reader = _Reader(network)
    reader.read()
    output = next(node for node in network.graph.nodes if node.op == "output")
    return reader.steps, reader.values[output]


ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.ReLU: "RELU",
    nn.Hardswish: "HARD_SWISH",
    nn.Hardsigmoid: "HARD_SIGMOID",
    nn.SiLU: "SILU",
}
ADDS_A_SKIP = {"pointwise", "convolution", "butterfly"}
ACTIVATES = {"pointwise", "convolution", "butterfly", "depthwise", "linear", "add"}


def plane_step(height: int, width: int) -> int:
    """Elements from plane to plane: the last vector of its last row fits, and planes do not share sets of the L1."""
    step = _rounded((height - 1) * width + _rounded(width))
    return step + LANES if step % 256 == 0 else step


def _rounded(count: int) -> int:
    return -(-count // LANES) * LANES


@dataclass
class _Reader:
    network: fx.GraphModule
    steps: list[Step] = field(default_factory=list)
    values: dict[fx.Node, Any] = field(default_factory=dict)
    made_by: dict[fx.Node, int] = field(default_factory=dict)
    """Of nodes whose value is all that a step writes, the number of the step."""
    buffers: int = 0

    def read(self) -> None:
        for node in self.network.graph.nodes:
            if node.op == "placeholder":
                _, channels, height, width = node.meta["tensor_meta"].shape
                image = Buffer(IMAGE, channels, height * width)
                self.values[node] = Value(tuple((image, c) for c in range(channels)), height, width)
            elif node.op == "output":
                self.values[node] = self.operand(node)
            else:
                self.values[node] = self._value(node)

    def _value(self, node: fx.Node) -> Any:
        if node.op == "call_module":
            layer = self.network.get_submodule(str(node.target))
            of_layer = _LAYERS.get(type(layer))
            if of_layer is None:
                raise ExportError(f"model.c: {node.target}: there is no kernel for {type(layer).__name__}")
            return of_layer(self, node, layer)
        of_function = _FUNCTIONS.get(node.target)
        if of_function is None:
            raise ExportError(f"model.c: {node.name}: there is no kernel for {node.target}")
        return of_function(self, node)

    def operand(self, node: fx.Node, position: int = 0) -> Any:
        """The value, or values, of an argument."""
        argument: Any = node.args[position]
        return self.values[argument]

    def step(self, node: fx.Node, kernel: str, **parts: Any) -> Value:
        """A step that writes the value of a node to a buffer of its own."""
        shape = node.meta["tensor_meta"].shape
        height, width = shape[2:] if len(shape) == 4 else (1, 1)
        vector = kernel in {"mean", "linear"} or len(shape) == 2
        step = 1 if vector else plane_step(height, width)
        planes = shape[1]
        if kernel == "butterfly":
            planes = Transform.of(parts["layer"]).stored_rows
        buffer = Buffer(self.buffers, planes, step)
        self.buffers += 1
        value = Value(tuple((buffer, c) for c in range(shape[1])), height, width)
        self.made_by[node] = len(self.steps)
        self.steps.append(Step(kernel, str(node.target), self.operand(node), value, **parts))
        return value

    def fuse(self, node: fx.Node, before: fx.Node, kernels: set[str], **parts: Any) -> Value | None:
        """What a node does, done by the step before it, if that has no other reader and can."""
        number = self.made_by.get(before)
        if number is None or len(before.users) > 1:
            return None
        step = self.steps[number]
        if step.kernel not in kernels or step.activation != "NO_ACTIVATION":
            return None
        self.steps[number] = replace(step, **parts)
        self.made_by[node] = number
        return step.y

    def written_before(self, value: Value, number: int) -> bool:
        later = {buffer for step in self.steps[number:] for buffer in step.y.buffers}
        return not value.buffers & later


def _activation(reader: _Reader, node: fx.Node, layer: nn.Module) -> Value:
    name = ACTIVATIONS[type(layer)]
    before = node.args[0]
    assert isinstance(before, fx.Node)
    fused = reader.fuse(node, before, ACTIVATES, activation=name)
    return fused or reader.step(node, "activate", activation=name)


def _convolution(reader: _Reader, node: fx.Node, layer: nn.Module) -> Value:
    assert isinstance(layer, nn.Conv2d)
    x = reader.operand(node)
    (kernel, columns), (stride, across), groups = layer.kernel_size, layer.stride, layer.groups
    if all(buffer.step == 1 for buffer in x.buffers):
        return reader.step(node, "linear", layer=layer)
    square = kernel == columns and stride == across
    same = square and layer.padding == (kernel // 2, kernel // 2)
    if groups == layer.in_channels == layer.out_channels and same and kernel in {3, 5, 7} and stride <= 2:
        return reader.step(node, "depthwise", layer=layer)
    if square and (kernel, stride, layer.padding) == (1, 1, (0, 0)) and x.buffers.isdisjoint({IMAGE}):
        return reader.step(node, "pointwise", layer=layer)
    return reader.step(node, "convolution", layer=layer)


def _max_pool(reader: _Reader, node: fx.Node, layer: nn.Module) -> Value:
    assert isinstance(layer, nn.MaxPool2d)
    if (layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode) != (3, 2, 1, False):
        raise ExportError(f"model.c: {node.target}: there is no kernel for {layer}")
    return reader.step(node, "max_pool", layer=layer)


def _shuffle(reader: _Reader, node: fx.Node, layer: nn.Module) -> Value:
    assert isinstance(layer, nn.ChannelShuffle)
    value: Value = reader.operand(node)
    each = len(value) // layer.groups
    return value.of([g * each + c for c in range(each) for g in range(layer.groups)])


def _butterfly(reader: _Reader, node: fx.Node, layer: nn.Module) -> Value:
    assert isinstance(layer, FoldedButterfly)
    structured = layer.form == "structured" and worth_structure(layer)
    return reader.step(node, "butterfly" if structured else "pointwise", layer=layer)


def _layer(kernel: str, reader: _Reader, node: fx.Node, layer: nn.Module) -> Value:
    return reader.step(node, kernel, layer=layer)


def _add(reader: _Reader, node: fx.Node) -> Value:
    first, second = node.args
    for before, other in ((second, first), (first, second)):
        assert isinstance(before, fx.Node)
        assert isinstance(other, fx.Node)
        number, skip = reader.made_by.get(before), reader.values[other]
        if number is None or reader.steps[number].other or not reader.written_before(skip, number):
            continue
        fused = reader.fuse(node, before, ADDS_A_SKIP, other=skip)
        if fused:
            return fused
    return reader.step(node, "add", other=reader.operand(node, 1))


def _multiply(reader: _Reader, node: fx.Node) -> Value:
    return reader.step(node, "scale", other=reader.operand(node, 1))


def _item(reader: _Reader, node: fx.Node) -> Any:
    value, at = reader.operand(node), node.args[1]
    if isinstance(at, int):
        return value[at]
    assert isinstance(at, tuple)
    steps = {part.step or 1 for part in at[2:] if isinstance(part, slice)}
    if len(steps) != 1 or any(part != slice(None) for part in at[:2]):
        raise ExportError(f"model.c: {node.name}: there is no kernel for [{at}]")
    return value if steps == {1} else reader.step(node, "subsample")


def _chunk(reader: _Reader, node: fx.Node) -> list[Value]:
    value: Value = reader.operand(node)
    count = node.args[1]
    assert isinstance(count, int)
    channels, each = range(len(value)), -(-len(value) // count)
    return [value.of(channels[first : first + each]) for first in range(0, len(value), each)]


def _parts(reader: _Reader, node: fx.Node) -> list[Value]:
    parts: Any = node.args[0]
    return [reader.values[part] for part in parts]


def _cat(reader: _Reader, node: fx.Node) -> Value:
    parts = _parts(reader, node)
    return replace(parts[0], planes=tuple(plane for part in parts for plane in part.planes))


def _flatten(reader: _Reader, node: fx.Node) -> Value:
    """Of what was stacked behind each channel."""
    parts: list[Value] = reader.operand(node)
    planes = zip(*(part.planes for part in parts), strict=True)
    return replace(parts[0], planes=tuple(plane for each in planes for plane in each))


def _mean(reader: _Reader, node: fx.Node) -> Value:
    return reader.step(node, "mean")


_LAYERS: dict[type[nn.Module], Callable[[_Reader, fx.Node, nn.Module], Any]] = {
    nn.Conv2d: _convolution,
    FoldedButterfly: _butterfly,
    nn.Linear: partial(_layer, "linear"),
    nn.MaxPool2d: _max_pool,
    nn.ChannelShuffle: _shuffle,
    AconC: partial(_layer, "acon"),
    **dict.fromkeys(ACTIVATIONS, _activation),
}
_FUNCTIONS: dict[Any, Callable[[_Reader, fx.Node], Any]] = {
    operator.add: _add,
    operator.mul: _multiply,
    operator.getitem: _item,
    torch.cat: _cat,
    torch.stack: _parts,
    "chunk": _chunk,
    "flatten": _flatten,
    "mean": _mean,
}
