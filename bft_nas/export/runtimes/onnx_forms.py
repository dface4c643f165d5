"""The forms that a butterfly has in an ONNX graph, and a graph whose dense butterflies are replaced by them.

Forms are written for ONNX Runtime's CPU provider: it keeps images in blocks of channels between convolutions, runs a
transposition of leading axes as a strided matrix product, and adds and activates behind a convolution at no cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from bft_nas.butterfly.plan import cuts
from bft_nas.export.folded_butterfly import FoldedButterfly

if TYPE_CHECKING:
    import onnx

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class OnnxForm:
    """One way to write a butterfly.

    ``dense`` is a 1x1 convolution by the whole matrix, ``matmul`` a batched matrix product for each stage, and
    ``grouped`` a grouped 1x1 convolution for each, with what shuffles the channels between.
    """

    kind: Literal["dense", "matmul", "grouped"]
    cut: tuple[int, ...] = ()
    """How many neighbouring stages each stage is the product of; see `FoldedButterfly.merged`."""
    stages: tuple[tuple[int, int], ...] = ()
    """Rows and columns of each."""
    products: int = 0
    """MACs of a pixel, those of the residual included; as many weights but for these."""
    weights: int = 0

    def __str__(self) -> str:
        sizes = (str(rows) if rows == columns else f"{rows}x{columns}" for rows, columns in self.stages)
        return " ".join(filter(None, [self.kind, "*".join(sizes)]))


def dense_form(butterfly: FoldedButterfly) -> OnnxForm:
    """The whole matrix."""
    weights = butterfly.in_channels * butterfly.out_channels
    return OnnxForm("dense", products=weights, weights=weights)


def structured_form(butterfly: FoldedButterfly) -> OnnxForm:
    """Stage by stage, at the MACs that are counted; the whole matrix where there is one stage."""
    if len(butterfly.stages) == 1:
        return dense_form(butterfly)
    return _form(butterfly, "matmul", (1,) * len(butterfly.stages))


def forms_of(butterfly: FoldedButterfly) -> tuple[OnnxForm, ...]:
    """All that are worth timing, ``dense`` first: no more products than the whole matrix, and few stages."""
    dense = dense_form(butterfly)
    found = [dense]
    for cut in cuts(len(butterfly.stages)):
        found += [_form(butterfly, kind, cut) for kind in ("matmul", "grouped")]
    return tuple(form for form in found if form is dense or form.products < dense.products)


def grouped_form(butterfly: FoldedButterfly, form: OnnxForm) -> OnnxForm:
    """The same stages as convolutions, which can be quantised."""
    return _form(butterfly, "grouped", form.cut) if form.kind == "matmul" else form


def _form(butterfly: FoldedButterfly, kind: Literal["matmul", "grouped"], cut: tuple[int, ...]) -> OnnxForm:
    stages, total, weights = [], butterfly.chunks * butterfly.size, 0
    first = 0
    for count in cut:
        shapes = [stage.shape for stage in butterfly.stages[first : first + count]]
        rows = int(np.prod([shape[1] for shape in shapes]))
        columns = int(np.prod([shape[2] for shape in shapes]))
        stages.append((rows, columns))
        weights += total * rows
        total = total // columns * rows
        first += count
    return OnnxForm(kind, cut, tuple(stages), weights + total, weights)


class Writer:
    """Nodes and weights of one layer, whose names begin with the layer's."""

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

    def shaped(self, x: str, *shape: int) -> str:
        """(N, ...): 0 keeps an axis, of which ONNX Runtime then knows that it is the same, and so what it can fuse."""
        return self.node("Reshape", x, self.weight(np.array([0, *shape])))

    def butterfly(self, x: str, form: OnnxForm, butterfly: FoldedButterfly, side: int, output: str) -> None:
        """A butterfly of images ``x``, (N, in, side, side)."""
        if form.kind == "dense":
            matrix = butterfly.matrix.numpy()[:, :, None, None]
            weights = self.weight(matrix), self.weight(butterfly.bias.numpy())
            self.node("Conv", x, *weights, output=output, kernel_shape=[1, 1])
            return
        n_in, n_out, pixels = butterfly.in_channels, butterfly.out_channels, side * side
        size, chunks, padded = butterfly.size, butterfly.chunks, len(butterfly.residual_scale)
        if n_in % size:
            x = self.node("Pad", x, self.weight(np.array([0, 0, 0, 0, 0, chunks * size - n_in, 0, 0])))
        if chunks > 1:
            x = self.shaped(x, chunks, size, pixels)
            h = self.node("Transpose", x, perm=[0, 2, 1, 3])
        else:
            h = x
        bias = np.zeros(padded, np.float32)
        bias[:n_out] = butterfly.bias.numpy()
        residual = _Residual(x, size, chunks, butterfly.residual_scale.numpy(), bias, side)
        end = output if padded == n_out else ""
        stages = [stage.numpy() for stage in butterfly.merged(form.cut)]
        if form.kind == "grouped":
            y = self._grouped(h, stages, residual, end)
        else:
            y = self._multiplied(h, stages, residual, end)
        if not end:
            self.node("Slice", y, *(self.weight(np.array([at])) for at in (0, n_out, 1)), output=output)

    def _multiplied(self, h: str, stages: list[Values], residual: _Residual, output: str) -> str:
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

    def _grouped(self, h: str, stages: list[Values], residual: _Residual, output: str) -> str:
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


def replaced(
    model: onnx.ModelProto,
    butterflies: Mapping[str, tuple[FoldedButterfly, int]],
    forms: Mapping[str, OnnxForm],
) -> onnx.ModelProto:
    """A copy of a model in which each layer that has a form is written in it.

    Args:
        model: each butterfly is a convolution by its matrix, whose weight is called ``LAYER.weight``.
        butterflies: by the name of their layer, each with the height and width of its images.
        forms: by the name of their layer.
    """
    import onnx

    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    layers = {f"{name}.weight": name for name, form in forms.items() if form.kind != "dense"}
    nodes: list[onnx.NodeProto] = []
    gone: set[str] = set()
    for node in model.graph.node:
        name = layers.get(node.input[1]) if node.op_type == "Conv" else None
        if name is None:
            nodes.append(node)
            continue
        butterfly, side = butterflies[name]
        writer = Writer(name)
        writer.butterfly(node.input[0], forms[name], butterfly, side, node.output[0])
        nodes += writer.nodes
        graph.initializer.extend(writer.weights)
        gone.update(node.input[1:])
    # Layers whose biases are equal may share one.
    gone.difference_update(name for node in nodes for name in node.input)
    kept = [weight for weight in graph.initializer if weight.name not in gone]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    return changed
