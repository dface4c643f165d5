"""Nodes and weights of ONNX graphs, and butterflies in them. Needs no torch: what is only timed has no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from bft_nas.butterfly.plan import ButterflyPlan

if TYPE_CHECKING:
    import onnx

OPSET, IR_VERSION = 20, 10
"""As torch's exporter writes them."""

Values = npt.NDArray[np.float32]
StagedKind = Literal["matmul", "grouped"]
"""``matmul`` is a batched matrix product for each stage, ``grouped`` a grouped 1x1 convolution for each."""


@dataclass(frozen=True)
class _Residual:
    """What is added to the output of a butterfly's stages."""

    x: str
    """(N, size, side, side), or (N, chunks, size, pixels) where there are several."""
    size: int
    chunks: int
    scale: Values
    bias: Values
    side: int

    @property
    def copies(self) -> int:
        return len(self.scale) // self.size

    @property
    def is_scaled(self) -> bool:
        return bool((self.scale != 1).any())


class Writer:
    """Nodes and weights, whose names begin with that of a layer."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, values: npt.NDArray[Any]) -> str:
        """A constant."""
        import onnx

        name = f"{self.prefix}/weight{len(self.weights)}"
        self.weights.append(onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """One node, and the name of its output."""
        import onnx

        name = f"{self.prefix}/{len(self.nodes)}"
        output = output or f"{name}/{kind}"
        self.nodes.append(onnx.helper.make_node(kind, inputs, [output], name, **attributes))
        return output

    def split(self, x: str, *sizes: int) -> list[str]:
        """Channels in parts."""
        import onnx

        name = f"{self.prefix}/{len(self.nodes)}"
        parts = [f"{name}/Split{place}" for place in range(len(sizes))]
        inputs = [x, self.weight(np.array(sizes))]
        self.nodes.append(onnx.helper.make_node("Split", inputs, parts, name, axis=1))
        return parts

    def shaped(self, x: str, *shape: int) -> str:
        """(N, ...): 0 keeps an axis, of which ONNX Runtime then knows that it is the same, and so what it can fuse."""
        return self.node("Reshape", x, self.weight(np.array([0, *shape])))

    def staged(
        self,
        kind: str,
        x: str,
        plan: ButterflyPlan,
        stages: Sequence[Values],
        scale: Values,
        bias: Values,
        side: int,
        output: str = "",
    ) -> str:
        """A butterfly of images ``x``, (N, in, side, side), stage by stage.

        Args:
            kind: how stages are written: a `StagedKind`.
            plan: its channels.
            stages: (groups, outputs, inputs) each; some may be products of neighbours.
            scale: of the residual, for each output of the last stage, of which some may be left over.
            bias: of the butterfly's outputs.
            output: the name of the output, where it is to have one.
        """
        size, chunks, pixels, leaving = plan.size, plan.chunks, side * side, len(scale)
        if chunks * size > plan.n_in:
            x = self.node("Pad", x, self.weight(np.array([0, 0, 0, 0, 0, chunks * size - plan.n_in, 0, 0])))
        h = x
        if chunks > 1:
            x = self.shaped(x, chunks, size, pixels)
            h = self.node("Transpose", x, perm=[0, 2, 1, 3])
        residual = _Residual(x, size, chunks, scale, np.pad(bias, (0, leaving - plan.n_out)), side)
        write = self._multiplied if kind == "matmul" else self._grouped
        if leaving == plan.n_out:
            return write(h, stages, residual, output)
        y = write(h, stages, residual, "")
        return self.node(
            "Slice", y, *(self.weight(np.array([at])) for at in (0, plan.n_out, 1)), output=output
        )

    def _multiplied(self, h: str, stages: Sequence[Values], residual: _Residual, output: str) -> str:
        size, side, pixels = residual.size, residual.side, residual.side**2
        for weight in stages:
            groups, _, columns = weight.shape
            h = self.shaped(h, columns, groups, pixels)
            # Leading axes transposed: it becomes a part of the product.
            h = self.node("MatMul", self.weight(weight), self.node("Transpose", h, perm=[0, 2, 1, 3]))
        if residual.chunks > 1:
            added = self.node("ReduceSum", residual.x, self.weight(np.array([1])), keepdims=1)
        else:
            added = self.shaped(residual.x, 1, size, pixels)
        if residual.is_scaled:
            added = self.node("Mul", added, self.weight(residual.scale.reshape(-1, size, 1)))
        y = self.node("Add", self.shaped(h, residual.copies, size, pixels), added)
        y = self.node("Add", y, self.weight(residual.bias.reshape(-1, size, 1)))
        shape = self.weight(np.array([0, len(residual.scale), side, side]))
        return self.node("Reshape", y, shape, output=output)

    def _grouped(self, h: str, stages: Sequence[Values], residual: _Residual, output: str) -> str:
        size, chunks, side, pixels = residual.size, residual.chunks, residual.side, residual.side**2
        added = self.shaped(h, size * chunks, side, side) if chunks > 1 else residual.x
        for weight in stages:
            groups, rows, columns = weight.shape
            if groups > 1:
                h = self.shaped(h, columns, groups, pixels)
                h = self.node("Transpose", h, perm=[0, 2, 1, 3])
            inputs = [self.shaped(h, groups * columns, side, side)]
            inputs.append(self.weight(weight.reshape(groups * rows, columns, 1, 1)))
            if weight is stages[-1]:
                inputs.append(self.weight(residual.bias))
            h = self.node("Conv", *inputs, kernel_shape=[1, 1], group=groups)
        if residual.copies > 1:
            added = self.node("Concat", *[added] * residual.copies, axis=1)
        if chunks > 1 or residual.is_scaled:
            weight = np.repeat(residual.scale[:, None, None, None], chunks, axis=1)
            added = self.node("Conv", added, self.weight(weight), kernel_shape=[1, 1], group=len(weight))
        return self.node("Add", h, added, output=output)
