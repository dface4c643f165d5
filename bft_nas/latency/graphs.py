"""Networks and single operations as ONNX graphs of random weights, to be timed: a hundred times as fast as an export.

The nodes are those that ``bft_nas.export`` writes, which what ONNX Runtime makes of a graph depends on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bft_nas.butterfly.plan import ButterflyPlan
from bft_nas.latency.operations import Operation, run_network
from bft_nas.network.architecture import Architecture

FormOf = Callable[[Operation], str]
"""In which form a butterfly runs."""

OPSET = 20


def network_graph(net: Architecture, form_of: FormOf) -> bytes:
    """A whole network as an ONNX model of one image, from ``images`` to ``logits``."""
    graph = Graph((net.in_channels, net.resolution, net.resolution), form_of)
    return graph.model(run_network(net, graph.run, "images"))


class Graph:
    """An ONNX graph that grows by `run`: see `bft_nas.latency.operations.run_network`."""

    def __init__(self, images: Sequence[int], form_of: FormOf = lambda operation: "dense") -> None:
        self._images = (1, *images)
        self._form_of = form_of
        self._nodes: list[Any] = []
        self._initializers: list[Any] = []
        self._random = np.random.default_rng(0)
        self._names = 0

    def model(self, output: str) -> bytes:
        """The whole, serialised."""
        from onnx import TensorProto, helper

        images = helper.make_tensor_value_info("images", TensorProto.FLOAT, self._images)
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)
        self._nodes.append(helper.make_node("Identity", [output], ["logits"]))
        graph = helper.make_graph(self._nodes, "network", [images], [logits], self._initializers)
        opsets = [helper.make_opsetid("", OPSET)]
        content: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
        return content

    def run(self, operation: Operation, *inputs: str) -> Any:
        """Add an operation, and return the name of its output."""
        written: Any = getattr(self, f"_{operation.kind}")(operation, *inputs)
        return written

    # Layers

    def _conv(self, operation: Operation, x: str) -> str:
        inputs, outputs, groups, kernel = (
            operation.in_channels,
            operation.out_channels,
            operation.groups,
            operation.kernel,
        )
        weight = self._weight(outputs, inputs // groups, kernel, kernel)
        pads, strides = [kernel // 2] * 4, [operation.stride] * 2
        return self._node(
            "Conv",
            *(x, weight, self._weight(outputs, fan_in=inputs)),
            group=groups, kernel_shape=[kernel] * 2, pads=pads, strides=strides,
        )  # fmt: skip

    def _linear(self, operation: Operation, x: str) -> str:
        weight = self._weight(operation.out_channels, operation.in_channels)
        bias = self._weight(operation.out_channels, fan_in=operation.in_channels)
        return self._node("Gemm", x, weight, bias, transB=1)

    def _squeeze_excite(self, operation: Operation, x: str) -> str:
        channels, squeeze = operation.in_channels, operation.squeeze
        scale = self._node("ReduceMean", x, self._integers(2, 3), keepdims=1)
        scale = self._node("Relu", self._conv(Operation("conv", channels, squeeze, 1), scale))
        scale = self._conv(Operation("conv", squeeze, channels, 1), scale)
        return self._node("Mul", x, self._node("HardSigmoid", scale, alpha=1 / 6, beta=0.5))

    def _butterfly(self, operation: Operation, x: str) -> str:
        if self._form_of(operation) == "dense":
            return self._conv(operation, x)
        plan = ButterflyPlan(operation.in_channels, operation.out_channels, operation.radix)
        return self.staged(x, plan, operation.side)

    def staged(self, x: str, plan: ButterflyPlan, side: int, factors: Sequence[int] = ()) -> str:
        """A butterfly as `bft_nas.export.folded_butterfly.FoldedButterfly` has it, by other stages where given."""
        pixels, size, copies = side * side, plan.size, plan.copies
        factors = factors or plan.factors
        shrinks, grows = plan.n_in > plan.n_out, plan.n_in < plan.n_out
        x = self._node("Transpose", x, perm=[1, 0, 2, 3])
        x = self._node("Reshape", x, self._integers(plan.n_in, pixels))
        if plan.n_in < size * copies and shrinks:
            x = self._node("Pad", x, self._integers(0, 0, size * copies - plan.n_in, 0))
        residual = h = x
        if shrinks:
            x = self._node("Reshape", x, self._integers(copies, size, pixels))
            residual = self._node("ReduceSum", x, self._integers(0), keepdims=0)
            h = self._node("Reshape", self._node("Transpose", x, perm=[1, 0, 2]), self._integers(-1, pixels))
        last = len(factors) - 1
        for stage, factor in enumerate(factors):
            rows = factor * (copies if grows and stage == 0 else 1)
            columns = factor * (copies if shrinks and stage == last else 1)
            groups = copies * size * factor // (rows * columns)
            h = self._node("Reshape", h, self._integers(columns, groups, pixels))
            h = self._node("Transpose", h, perm=[1, 0, 2])
            h = self._node("MatMul", self._weight(groups, rows, columns), h)
            h = self._node("Reshape", h, self._integers(groups * rows, pixels))
        outputs = copies * size if grows else size
        scaled = self._node("Mul", self._weight(outputs // size, size, 1, fan_in=1), residual)
        h = self._node("Add", self._node("Reshape", h, self._integers(-1, size, pixels)), scaled)
        h = self._node("Reshape", h, self._integers(outputs, pixels))
        if outputs > plan.n_out:
            h = self._node("Slice", h, self._integers(0), self._integers(plan.n_out), self._integers(0))
        h = self._node("Add", h, self._weight(plan.n_out, 1, fan_in=1))
        h = self._node("Reshape", h, self._integers(plan.n_out, 1, side, side))
        return self._node("Transpose", h, perm=[1, 0, 2, 3])

    # What is no layer

    def _activation(self, operation: Operation, x: str) -> str:
        if operation.activation == "hard_swish":
            return self._node("HardSwish", x)
        if operation.activation == "silu":
            return self._node("Mul", x, self._node("Sigmoid", x))
        return self._node("Relu", x)

    def _add(self, operation: Operation, x: str, y: str) -> str:
        return self._node("Add", x, y)

    def _concat(self, operation: Operation, x: str, y: str) -> str:
        return self._node("Concat", x, y, axis=1)

    def _split(self, operation: Operation, x: str) -> tuple[str, str]:
        half = operation.out_channels
        left, right = self._nodes_of(2, "Split", x, self._integers(half, half), axis=1)
        return left, right

    def _interleave(self, operation: Operation, x: str, y: str) -> str:
        two, side = self._integers(2), operation.side
        stacked = self._node(
            "Concat", self._node("Unsqueeze", x, two), self._node("Unsqueeze", y, two), axis=2
        )
        return self._node("Reshape", stacked, self._integers(1, operation.out_channels, side, side))

    def _channel_shuffle(self, operation: Operation, x: str) -> str:
        channels, groups, side = operation.in_channels, operation.groups, operation.side
        x = self._node("Reshape", x, self._integers(1, groups, channels // groups, side, side))
        x = self._node("Transpose", x, perm=[0, 2, 1, 3, 4])
        return self._node("Reshape", x, self._integers(1, channels, side, side))

    def _subsample(self, operation: Operation, x: str) -> str:
        start, end, step = self._integers(0, 0), self._integers(2**31, 2**31), self._integers(2, 2)
        return self._node("Slice", x, start, end, self._integers(2, 3), step)

    def _max_pool(self, operation: Operation, x: str) -> str:
        kernel, stride = operation.kernel, operation.stride
        pads = [kernel // 2] * 4
        return self._node("MaxPool", x, kernel_shape=[kernel] * 2, pads=pads, strides=[stride] * 2)

    def _mean(self, operation: Operation, x: str) -> str:
        return self._node("ReduceMean", x, self._integers(2, 3), keepdims=0)

    # Nodes

    def _node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        return self._nodes_of(1, kind, *inputs, **attributes)[0]

    def _nodes_of(self, outputs: int, kind: str, *inputs: str, **attributes: Any) -> tuple[str, ...]:
        from onnx import helper

        names = tuple(self._name() for _ in range(outputs))
        self._nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names

    def _weight(self, *shape: int, fan_in: int = 0) -> str:
        """Random values, which keep what flows through a network from becoming so small that it takes longer."""
        deviation = math.sqrt(2 / (fan_in or math.prod(shape[1:])))
        return self._constant(self._random.standard_normal(shape, np.float32) * np.float32(deviation))

    def _integers(self, *values: int) -> str:
        return self._constant(np.array(values, np.int64))

    def _constant(self, values: npt.NDArray[Any]) -> str:
        from onnx import numpy_helper

        name = self._name()
        self._initializers.append(numpy_helper.from_array(values, name))
        return name

    def _name(self) -> str:
        self._names += 1
        return f"v{self._names}"
