"""The forms that a butterfly has in an ONNX graph, and a graph whose dense butterflies are replaced by them.

Forms are written for ONNX Runtime's CPU provider: it keeps images in blocks of channels between convolutions, runs a
transposition of leading axes as a strided matrix product, and adds and activates behind a convolution at no cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from bft_nas.butterfly.plan import cuts
from bft_nas.export.folded_butterfly import FoldedButterfly
from bft_nas.export.onnx_writer import StagedKind, Writer

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class OnnxForm:
    """One way to write a butterfly.

    ``dense`` is a 1x1 convolution by the whole matrix, ``matmul`` a batched matrix product for each stage, and
    ``grouped`` a grouped 1x1 convolution for each, with what shuffles the channels between.
    """

    kind: Literal["dense"] | StagedKind
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


def _form(butterfly: FoldedButterfly, kind: StagedKind, cut: tuple[int, ...]) -> OnnxForm:
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


def write_butterfly(
    writer: Writer, x: str, form: OnnxForm, butterfly: FoldedButterfly, side: int, output: str
) -> None:
    """A butterfly of images ``x``, (N, in, side, side), in one of its forms."""
    bias = butterfly.bias.numpy()
    if form.kind == "dense":
        weights = writer.weight(butterfly.matrix.numpy()[:, :, None, None]), writer.weight(bias)
        writer.node("Conv", x, *weights, output=output, kernel_shape=[1, 1])
        return
    stages = [stage.numpy() for stage in butterfly.merged(form.cut)]
    scale = butterfly.residual_scale.numpy()
    writer.staged(form.kind, x, butterfly.plan, stages, scale, bias, side, output)


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
        write_butterfly(writer, node.input[0], forms[name], butterfly, side, node.output[0])
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
