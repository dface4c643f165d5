"""Butterflies in ONNX graphs: every form does what the dense matrix does."""

from __future__ import annotations

from dataclasses import replace

import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bft_nas.butterfly import ButterflyTransform
from bft_nas.export.folded_butterfly import FoldedButterfly
from bft_nas.export.inference import inference_network
from bft_nas.export.onnx_writer import IR_VERSION, OPSET, Writer
from bft_nas.export.residual_scale import absorb_scales
from bft_nas.export.runtimes import onnx_choice
from bft_nas.export.runtimes.onnx_choice import choose_forms
from bft_nas.export.runtimes.onnx_forms import OnnxForm, forms_of, replaced, structured_form, write_butterfly
from bft_nas.network import butterfly_fusion
from bft_nas.network.blocks.separable import SeparableBlock
from tests.export.examples import CASES, SEPARABLE, trained

SIDE = 3
ARCHITECTURES = {name: CASES[name].architecture for name in ("separable", "shuffle", "inverted")}
SQUARE = SeparableBlock(8, fusion=butterfly_fusion(4))
ARCHITECTURES["square"] = replace(SEPARABLE, blocks=(SQUARE, *SEPARABLE.blocks))


def folded(n_in: int, n_out: int, radix: int, *, plain: bool = False) -> FoldedButterfly:
    torch.manual_seed(0)
    transform = ButterflyTransform(n_in, n_out, radix)
    return FoldedButterfly.of(transform, *([] if plain else [torch.randn(n_out), torch.randn(n_out)]))


def run(butterfly: FoldedButterfly, form: OnnxForm, images: torch.Tensor) -> torch.Tensor:
    writer = Writer("layer")
    write_butterfly(writer, "x", form, butterfly, SIDE, "y")
    shapes = {"x": butterfly.in_channels, "y": butterfly.out_channels}
    values = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", channels, SIDE, SIDE])
        for name, channels in shapes.items()
    ]
    graph = onnx.helper.make_graph(writer.nodes, "layer", values[:1], values[1:], writer.weights)
    opset = onnx.helper.make_opsetid("", OPSET)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"x": images.numpy()})[0])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 48), st.integers(1, 48), st.integers(2, 6), st.booleans())
def test_every_form_of_any_shape_is_the_dense_matrix(n_in: int, n_out: int, radix: int, plain: bool) -> None:
    butterfly = folded(n_in, n_out, radix, plain=plain)
    images = torch.randn(2, n_in, SIDE, SIDE)
    expected = torch.einsum("oi,nihw->nohw", butterfly.matrix, images) + butterfly.bias[:, None, None]
    tolerance = 1e-5 * max(1.0, expected.abs().max().item())
    for form in {*forms_of(butterfly), structured_form(butterfly)}:
        assert (run(butterfly, form, images) - expected).abs().max() <= tolerance, str(form)


def test_forms_are_merged_neighbours_with_fewer_macs_than_the_matrix() -> None:
    merged = [f"{kind} {sizes}" for sizes in ("16*4", "4*16", "4*4*4") for kind in ("matmul", "grouped")]
    assert {str(form) for form in forms_of(folded(64, 64, 4))} == {"dense", *merged}
    counted = structured_form(folded(64, 96, 4))
    assert (counted.products, counted.weights) == (1664, 1536)  # as `ButterflyPlan` counts
    assert [str(form) for form in forms_of(folded(47, 47, 4))] == ["dense"]


@pytest.mark.parametrize("kind", list(ARCHITECTURES))
@pytest.mark.parametrize("sign", [1, -1])
def test_scales_go_where_a_neighbour_takes_them_and_the_network_stays(kind: str, sign: int) -> None:
    net = ARCHITECTURES[kind]
    network = trained(net)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.copy_(sign * (0.5 + torch.rand_like(norm.weight)))
    inference = inference_network(network, net)
    images = torch.randn(2, net.in_channels, net.resolution, net.resolution)
    before = inference(images)
    absorb_scales(inference)
    assert (inference(images) - before).abs().max() <= 1e-5 * before.abs().max()
    butterflies = [module for module in inference.modules() if isinstance(module, FoldedButterfly)]
    scaled = sum(module.is_scaled for module in butterflies)
    # No negative scale goes through a ReLU; that of a projection without one goes into the next convolution.
    absorbed = {
        ("square", 1): 2,
        ("separable", 1): 1,
        ("shuffle", 1): 2,
        ("shuffle", -1): 1,
        ("inverted", 1): 1,
        ("inverted", -1): 1,
    }
    assert len(butterflies) - scaled == absorbed.get((kind, sign), 0)


def test_the_fastest_form_of_each_layer_is_chosen_and_all_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[int] = []

    def seconds(butterfly: FoldedButterfly, side: int) -> dict[OnnxForm, float]:
        timed.append(butterfly.in_channels)
        forms = forms_of(butterfly)
        return {form: 1.0 + abs(at - 2) for at, form in enumerate(forms)}

    monkeypatch.setattr(onnx_choice, "_seconds", seconds)
    wide, narrow = folded(64, 64, 4), folded(24, 96, 4)
    chosen, layers = choose_forms({"a": (wide, 7), "b": (narrow, 14), "c": (folded(64, 64, 4), 7)})
    assert timed == [64, 24], "a shape is timed once"
    assert chosen["a"] == chosen["c"] == forms_of(wide)[2]
    assert [(layer.name, layer.form) for layer in layers] == [
        (name, str(form)) for name, form in chosen.items()
    ]
    dense = next(each for each in layers[1].forms if each.form == "dense")
    assert (dense.macs, dense.size) == (24 * 96 * 14**2, 24 * 96 * 4)
    assert [each.seconds for each in layers[0].forms] == sorted(each.seconds for each in layers[0].forms)


def test_a_layer_is_replaced_by_its_form_and_no_other_is() -> None:
    butterfly = folded(12, 12, 4)
    writer = Writer("other")
    write_butterfly(writer, "x", forms_of(butterfly)[0], butterfly, SIDE, "y")
    matrix = onnx.numpy_helper.from_array(butterfly.matrix.numpy()[:, :, None, None], "layer.weight")
    bias = onnx.numpy_helper.from_array(butterfly.bias.numpy(), "layer.bias")
    nodes = [*writer.nodes, onnx.helper.make_node("Conv", ["y", "layer.weight", "layer.bias"], ["z"])]
    graph = onnx.helper.make_graph(nodes, "two", [], [], [*writer.weights, matrix, bias])
    model = onnx.helper.make_model(graph)
    changed = replaced(model, {"layer": (butterfly, SIDE)}, {"layer": forms_of(butterfly)[1]}).graph
    assert changed.node[0] == model.graph.node[0]
    assert "layer.weight" not in {weight.name for weight in changed.initializer}
    assert changed.node[-1].output[0] == "z"
    assert len(changed.node) > 2
    assert len(model.graph.node) == 2
