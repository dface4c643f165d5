"""Which form of each butterfly is the fastest in ONNX Runtime on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bft_nas.export.checks import FormTimes, LayerForm
from bft_nas.export.folded_butterfly import FoldedButterfly
from bft_nas.export.onnx_session import cpu_seconds, runner
from bft_nas.export.onnx_writer import IR_VERSION, OPSET, Writer
from bft_nas.export.runtimes.onnx_forms import OnnxForm, forms_of, write_butterfly

if TYPE_CHECKING:
    import onnx

ROUNDS = 5
BYTES = 4


def choose_forms(
    butterflies: Mapping[str, tuple[FoldedButterfly, int]],
) -> tuple[dict[str, OnnxForm], tuple[LayerForm, ...]]:
    """The fastest form of each butterfly by its layer's name, and what was measured of all of them.

    Each is timed between two depthwise convolutions with ReLU, as it stands in mobile networks, for one image and with
    one thread; layers of the same shape once.
    """
    timed: dict[tuple[Any, ...], dict[OnnxForm, float]] = {}
    chosen, layers = {}, []
    for name, (butterfly, side) in butterflies.items():
        shapes = tuple(tuple(stage.shape) for stage in butterfly.stages)
        shape = (butterfly.in_channels, butterfly.out_channels, side, shapes, butterfly.is_scaled)
        if shape not in timed:
            timed[shape] = _seconds(butterfly, side)
        seconds = timed[shape]
        chosen[name] = min(seconds, key=lambda form: seconds[form])
        pixels = side**2
        forms = [
            FormTimes(str(form), form.products * pixels, form.weights * BYTES, each)
            for form, each in sorted(seconds.items(), key=lambda item: item[1])
        ]
        layers.append(
            LayerForm(
                name, butterfly.in_channels, butterfly.out_channels, side, str(chosen[name]), tuple(forms)
            )
        )
    return chosen, tuple(layers)


def _seconds(butterfly: FoldedButterfly, side: int) -> dict[OnnxForm, float]:
    forms = {str(form): form for form in forms_of(butterfly)}
    if len(forms) == 1:
        return dict.fromkeys(forms.values(), 0.0)
    image = np.random.default_rng(0).standard_normal((1, butterfly.in_channels, side, side), np.float32)
    runs = {name: runner(_between(butterfly, form, side), image) for name, form in forms.items()}
    found = cpu_seconds(runs, ROUNDS)
    return {form: found[name] for name, form in forms.items()}


def _between(butterfly: FoldedButterfly, form: OnnxForm, side: int) -> onnx.ModelProto:
    """A butterfly between two depthwise convolutions of 3x3."""
    writer = Writer("layer")

    def depthwise(x: str, channels: int) -> str:
        weight = writer.weight(np.full((channels, 1, 3, 3), 0.1, np.float32))
        x = writer.node("Conv", x, weight, kernel_shape=[3, 3], pads=[1] * 4, group=channels)
        return writer.node("Relu", x)

    write_butterfly(writer, depthwise("x", butterfly.in_channels), form, butterfly, side, "y")
    z = depthwise(writer.node("Relu", "y"), butterfly.out_channels)
    return _model(writer, ("x", butterfly.in_channels), (z, butterfly.out_channels), side)


def _model(writer: Writer, given: tuple[str, int], made: tuple[str, int], side: int) -> onnx.ModelProto:
    import onnx

    def value(name: str, channels: int) -> onnx.ValueInfoProto:
        shape: list[str | int | None] = ["batch", channels, side, side]
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    graph = onnx.helper.make_graph(writer.nodes, "layer", [value(*given)], [value(*made)], writer.weights)
    opset = onnx.helper.make_opsetid("", OPSET)
    return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
