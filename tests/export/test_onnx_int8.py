"""int8 for ONNX Runtime: what is quantised, what is left in float, and what is said of it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from bft_nas.api.evaluation import calibration_images
from bft_nas.core.errors import UserError
from bft_nas.export.checks import ExportedFile
from bft_nas.export.inference import inference_network
from bft_nas.export.runtimes import RUNTIMES, Deployment, onnx_int8, onnx_runtime
from bft_nas.export.runtimes.onnx_forms import forms_of
from bft_nas.export.runtimes.onnx_int8 import Quantiser
from bft_nas.record.run_file import DataFacts
from tests.data.samples import solid_png
from tests.export.examples import CASES, trained

CASE = replace(CASES["inverted"].architecture, resolution=32)


def images(count: int) -> torch.Tensor:
    """As those that `trained` has seen."""
    return 2 * torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(1)) + 1


def files_of(folder: Path, faster: str, slower: str, **labels: object) -> list[ExportedFile]:
    """Of a network with butterflies, as dense or as grouped convolutions, and squeeze-excites.

    What is called so is faster here, and so slower.
    """
    network = trained(CASE)
    batches = [images(1), images(3)]
    with torch.no_grad():
        expected = [network(batch) for batch in batches]
    deployment = Deployment(
        inference_network(network, CASE), CASE, folder, batches, expected, images(80), labels=labels
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            onnx_runtime,
            "choose_forms",
            lambda butterflies: (
                {name: forms_of(butterfly)[-1] for name, (butterfly, _) in butterflies.items()},
                (),
            ),
        )
        patch.setattr(
            onnx_int8,
            "cpu_seconds",
            lambda runs, rounds: {name: 2 - (faster in name) + 2 * (slower in name) for name in runs},
        )
        return list(RUNTIMES["onnxruntime"].write(deployment))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[ExportedFile]]:
    """Files with grouped convolutions and every layer in int8."""
    folder = tmp_path_factory.mktemp("int8")
    return folder, files_of(folder, "grouped", "in float")


def quantised_layers(model: onnx.ModelProto) -> set[str]:
    """Layers with weights of int8."""
    kinds = {weight.name: weight.data_type for weight in model.graph.initializer}
    names = {name for name, kind in kinds.items() if kind == onnx.TensorProto.INT8}
    return {
        name.partition("/")[0].removesuffix("_quantized").removesuffix(".weight")
        for name in names
        if "zero_point" not in name
    }


def test_every_layer_is_quantised_butterflies_as_grouped_convolutions_too(
    written: tuple[Path, list[ExportedFile]],
) -> None:
    folder, files = written
    assert [file.name for file in files] == ["onnxruntime.onnx", "onnxruntime-int8.onnx"]
    model = onnx.load(folder / "onnxruntime-int8.onnx")
    layers = quantised_layers(model)
    assert {"stem.conv", "classifier", "blocks.0.se.reduce", "blocks.1.depthwise"} <= layers
    assert {"head.conv", "blocks.0.project", "blocks.1.project", "blocks.2.expand"} <= layers
    groups = {
        attribute.i
        for node in model.graph.node
        if node.op_type == "Conv" and "head.conv" in node.name
        for attribute in node.attribute
        if attribute.name == "group"
    }
    assert max(groups) > 1


def test_what_it_is_worth_is_said_and_true(written: tuple[Path, list[ExportedFile]]) -> None:
    folder, files = written
    assert files[1].difference is None, "it is not held to the tolerance of float files"
    agreement, speed, how = files[1].notes
    held_out = images(80)[40:].numpy()
    sessions = [RUNTIMES["onnxruntime"].open_file(folder / file.name) for file in files]
    logits = [np.concatenate([session(image[None]) for image in held_out]) for session in sessions]
    agreed = (logits[0].argmax(1) == logits[1].argmax(1)).mean()
    assert agreed >= 0.9
    assert f"{agreed:.1%} of 40 training images" in agreement
    assert "of onnxruntime.onnx" in speed
    assert "butterflies grouped" in how
    assert "left in float: no layer" in how or agreed < 0.99


def test_layers_with_few_products_stay_in_float_where_that_is_faster(tmp_path: Path) -> None:
    file = files_of(tmp_path, "grouped, depthwise layers and squeeze-excites in float", "none")[1]
    assert "left in float: depthwise layers and squeeze-excites" in file.notes[-1]
    left = quantised_layers(onnx.load(tmp_path / file.name))
    assert {"stem.conv", "classifier", "blocks.0.project", "blocks.1.project"} <= left
    assert not {layer for layer in left if "depthwise" in layer or ".se." in layer}


def test_outputs_of_no_class_do_not_count(written: tuple[Path, list[ExportedFile]], tmp_path: Path) -> None:
    model = copy.deepcopy(onnx.load(written[0] / "onnxruntime.onnx"))
    for weight in model.graph.initializer:
        if weight.name == "classifier.bias":
            values = onnx.numpy_helper.to_array(weight).copy()
            values[5:] += 100.0
            weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    assert len(np.unique(Quantiser(model, images(80).numpy()).expected.argmax(1))) == 1
    assert Quantiser(model, images(80).numpy(), classes=5).expected.shape == (40, 5)
    labels = {"classes": [f"class {k}" for k in range(5)]}
    seen: list[int] = []

    class Watched(Quantiser):
        def __init__(self, model: onnx.ModelProto, pixels: onnx_int8.Inputs, classes: int = 0) -> None:
            seen.append(classes)
            super().__init__(model, pixels, classes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_int8, "Quantiser", Watched)
        files_of(tmp_path, "grouped", "in float", **labels)
    assert set(seen) == {5}


def test_the_layer_that_costs_most_is_left_in_float_as_a_squeeze_excite_is_as_a_whole(
    written: tuple[Path, list[ExportedFile]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = written
    model = copy.deepcopy(onnx.load(folder / "onnxruntime.onnx"))
    # A channel in which nothing happens has huge weights: with one scale for all, the others' are zeros.
    for weight in model.graph.initializer:
        if weight.name.startswith(("blocks.1.expand", "blocks.1.depthwise.weight")):
            values = onnx.numpy_helper.to_array(weight).copy()
            values[3] = 30.0 if "depthwise" in weight.name else 0.0
            weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    quantiser = Quantiser(model, images(80).numpy())
    nodes = {node.name: node.op_type for node in model.graph.node}
    gate = [nodes[name] for name in quantiser.layers["blocks.0.se"]]
    assert gate == ["Conv", "Conv", "HardSigmoid", "Mul"]
    assert next(iter(quantiser.layers)) == "stem.conv"
    poor = quantiser.quantised(per_channel=False)
    monkeypatch.setattr(onnx_int8, "ENOUGH", 1.1)
    better = quantiser.improved(poor)
    assert better.in_float[0] == "blocks.1.depthwise"
    assert better.error < 0.5 * poor.error
    assert "blocks.1.depthwise" not in quantised_layers(better.model)
    assert quantiser.best().per_channel
    monkeypatch.setattr(onnx_int8, "SECONDS", -1.0)
    assert quantiser.improved(poor).in_float == (), "no time, nothing tried"


def test_without_sums_of_int8_products_weights_of_7_bits_are_tried(
    written: tuple[Path, list[ExportedFile]], monkeypatch: pytest.MonkeyPatch
) -> None:
    quantiser = Quantiser(onnx.load(written[0] / "onnxruntime.onnx"), images(8).numpy())
    tried = []
    whole = quantiser.quantised(per_channel=True)

    def quantised(*, per_channel: bool, reduce_range: bool, in_float: Sequence[str]) -> onnx_int8.Quantised:
        tried.append((per_channel, reduce_range))
        return replace(whole, error=-float(reduce_range), reduce_range=reduce_range)

    monkeypatch.setattr(quantiser, "quantised", quantised)
    monkeypatch.setattr(onnx_int8, "has_int8_products", lambda: False)
    assert str(quantiser.best()) == "weights scaled per channel in 7 bits"
    assert len(set(tried)) == 4


def test_ranges_are_of_normalised_training_images_and_data_that_is_gone_is_named() -> None:
    facts = DataFacts(("a",), (0.286,) * 3, (0.353,) * 3)
    found = calibration_images("fashion-mnist", 32, facts)
    assert found.shape == (400, 3, 32, 32)
    assert abs(found.mean().item()) < 0.1
    assert abs(found.std().item() - 1) < 0.1
    with pytest.raises(UserError, match=r"int8: no data at /nowhere any more; expected the images of the"):
        calibration_images("/nowhere", 32, facts)


@pytest.mark.parametrize("classes", [4, 401])
def test_each_half_of_the_images_of_a_folder_has_those_of_all_classes(classes: int, tmp_path: Path) -> None:
    # Of one grey each, the class's.
    shades = np.linspace(0, 255, classes).round().astype(np.uint8)
    for label, shade in enumerate(shades):
        for number in range(4 if classes > 100 else 20):
            solid_png(tmp_path / f"{label:03}" / f"{number}.png", (int(shade),) * 3)
    facts = DataFacts(tuple(f"{label:03}" for label in range(classes)), (0.5,) * 3, (0.25,) * 3)
    found = calibration_images(str(tmp_path), 32, facts)[:, 0, 0, 0]
    for half in found.chunk(2):
        assert len(set(half.tolist())) > 0.6 * min(classes, 256)
        assert abs(half.mean() - found.mean()) < 0.3
