"""Networks and single operations as ONNX graphs of random weights, to be timed: a hundred times as fast as an export.

The nodes are those that ``bft_nas.export`` writes, which what ONNX Runtime makes of a graph depends on; one function
writes the butterflies of both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bft_nas.butterfly.plan import ButterflyPlan
from bft_nas.export.onnx_writer import IR_VERSION, OPSET, Values, Writer
from bft_nas.latency.butterfly_forms import DENSE_FORM, Form
from bft_nas.latency.operations import Operation, run_network
from bft_nas.network.architecture import Architecture

FormOf = Callable[[Operation], Form]
"""In which form a butterfly runs."""


def network_graph(net: Architecture, form_of: FormOf) -> bytes:
    """A whole network as an ONNX model of one image, from ``images`` to ``logits``."""
    graph = Graph((net.in_channels, net.resolution, net.resolution), form_of)
    return graph.model(run_network(net, graph.run, "images"))


class Graph:
    """An ONNX graph that grows by `run`: see `bft_nas.latency.operations.run_network`."""

    def __init__(self, images: Sequence[int], form_of: FormOf = lambda operation: DENSE_FORM) -> None:
        self._images = (1, *images)
        self._form_of = form_of
        self._writer = Writer("network")
        self._node = self._writer.node
        self._random = np.random.default_rng(0)

    def model(self, output: str) -> bytes:
        """The whole, serialised."""
        from onnx import TensorProto, helper

        images = helper.make_tensor_value_info("images", TensorProto.FLOAT, self._images)
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)
        self._node("Identity", output, output="logits")
        graph = helper.make_graph(self._writer.nodes, "network", [images], [logits], self._writer.weights)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        content: bytes = model.SerializeToString()
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

    def _column(self, operation: Operation, x: str) -> str:
        weight = self._weight(operation.out_channels, operation.in_channels, operation.kernel, 1)
        pad = operation.kernel // 2
        return self._node("Conv", x, weight, pads=[pad, 0, pad, 0], strides=[operation.stride, 1])

    def _row(self, operation: Operation, x: str) -> str:
        weight = self._weight(operation.out_channels, 1, 1, operation.kernel)
        pad, groups = operation.kernel // 2, operation.groups
        return self._node(
            "Conv", x, weight, group=groups, pads=[0, pad, 0, pad], strides=[1, operation.stride]
        )

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
        form = self._form_of(operation)
        if form.kind == "dense":
            return self._conv(operation, x)
        plan = ButterflyPlan(operation.in_channels, operation.out_channels, operation.radix)
        return self.staged(x, plan, operation.side, form)

    def staged(self, x: str, plan: ButterflyPlan, side: int, form: Form) -> str:
        """A butterfly stage by stage, whatever the product of its stages is."""
        size, copies, chunks = plan.size, plan.copies, plan.chunks
        leaving = copies * size if plan.n_in < plan.n_out else size
        last = len(form.factors) - 1
        stages = []
        for place, factor in enumerate(form.factors):
            rows = factor * (leaving // size if place == 0 else 1)
            columns = factor * (chunks if place == last else 1)
            groups = copies * size * factor // (rows * columns)
            stages.append(self._values(groups, rows, columns, fan_in=columns))
        scale, bias = np.ones(leaving, np.float32), self._values(plan.n_out, fan_in=1)
        return self._writer.staged(form.kind, x, plan, stages, scale, bias, side)

    # What is no layer

    def _activation(self, operation: Operation, x: str) -> str:
        if operation.activation == "hard_swish":
            return self._node("HardSwish", x)
        if operation.activation == "silu":
            return self._node("Mul", x, self._node("Sigmoid", x))
        if operation.activation == "acon_c":
            return self._acon_c(operation, x)
        return self._node("Relu", x)

    def _acon_c(self, operation: Operation, x: str) -> str:
        pixels = () if operation.flat else (1, 1)
        slopes, others, sharpness = (self._weight(operation.in_channels, *pixels, fan_in=2) for _ in range(3))
        difference = self._node("Mul", slopes, x)
        switch = self._node("Sigmoid", self._node("Mul", sharpness, difference))
        return self._node("Add", self._node("Mul", difference, switch), self._node("Mul", others, x))

    def _add(self, operation: Operation, x: str, y: str) -> str:
        return self._node("Add", x, y)

    def _concat(self, operation: Operation, x: str, y: str) -> str:
        return self._node("Concat", x, y, axis=1)

    def _split(self, operation: Operation, x: str) -> tuple[str, str]:
        half = operation.out_channels
        left, right = self._writer.split(x, half, half)
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

    # Weights

    def _weight(self, *shape: int, fan_in: int = 0) -> str:
        return self._writer.weight(self._values(*shape, fan_in=fan_in))

    def _values(self, *shape: int, fan_in: int = 0) -> Values:
        """Random ones, which keep what flows through a network from becoming so small that it takes longer."""
        deviation = math.sqrt(2 / (fan_in or math.prod(shape[1:])))
        return self._random.standard_normal(shape, np.float32) * np.float32(deviation)

    def _integers(self, *values: int) -> str:
        return self._writer.weight(np.array(values, np.int64))
