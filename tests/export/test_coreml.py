"""A file for Core ML does what the trained network does, as far as can be told without an Apple system."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bft_nas.api.latency import measure_latency
from bft_nas.core.errors import UserError
from bft_nas.export.inference import inference_network
from bft_nas.export.runtimes import RUNTIMES, Deployment
from bft_nas.export.write import export
from tests.export.examples import CASES, trained
from tests.export.mil import run_mil

pytest.importorskip("coremltools")

HALF = 4e-3
"""Weights have ten bits in float16, of which errors add up from layer to layer."""
GREY, RGB = 10, 20
"""Of ``ImageFeatureType.ColorSpace`` in Core ML's FeatureTypes.proto."""
LEAST = 1e-5
"""Smaller numbers have fewer bits there."""


@pytest.mark.parametrize("kind", CASES)
def test_its_operations_make_the_networks_logits(kind: str, tmp_path: Path) -> None:
    architecture = CASES[kind].architecture
    network = trained(architecture)
    shape = (1, architecture.in_channels, architecture.resolution, architecture.resolution)
    image = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    inference = inference_network(network, architecture)
    with torch.no_grad():
        expected = network(image)
        (file,) = RUNTIMES["coreml"].write(Deployment(inference, architecture, tmp_path, [image], [expected]))
        found, _ = run_mil(tmp_path / file.name, image)
    assert (found - expected).abs().max() <= HALF * expected.abs().max() + LEAST


@pytest.mark.parametrize("kind", ["inverted", "dense"])
def test_with_classes_it_takes_an_image_and_says_their_probabilities(kind: str, tmp_path: Path) -> None:
    import coremltools

    architecture = CASES[kind].architecture
    channels, size = architecture.in_channels, architecture.resolution
    network = trained(architecture)
    classes = ["T-shirt/top", "shoe", "bag, open"]
    mean, std = [0.3, 0.5, 0.4][:channels], [0.2, 0.25, 0.3][:channels]
    report = export(
        architecture,
        network.state_dict(),
        tmp_path / "out",
        classes=classes,
        normalisation=(mean, std),
        runtimes=["coreml"],
    )
    (file,) = (each for each in report.files if each.name == "coreml.mlpackage")
    assert file.size > 1000
    assert "not run" in file.notes[0]
    path = tmp_path / "out" / file.name
    spec = coremltools.models.MLModel(str(path), skip_model_load=True).get_spec()
    (given,) = spec.description.input
    assert (given.name, given.type.imageType.width, given.type.imageType.height) == ("image", size, size)
    assert given.type.imageType.colorSpace == {1: GREY, 3: RGB}[channels]
    assert spec.description.predictedFeatureName == "classLabel"
    assert spec.description.metadata.userDefined["architecture"] == architecture.hash
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (1, channels, size, size), generator=generator).float()
    middle, spread = (torch.tensor(each).view(-1, 1, 1) for each in (mean, std))
    with torch.no_grad():
        expected = network((pixels / 255 - middle) / spread)[:, : len(classes)].softmax(1)
        found, named = run_mil(path, pixels)
    assert (found - expected).abs().max() < HALF
    assert named == classes


def test_it_is_written_over_a_previous_one(tmp_path: Path) -> None:
    architecture = CASES["inverted"].architecture
    state = trained(architecture).state_dict()
    for _ in range(2):
        export(architecture, state, tmp_path / "out", runtimes=["coreml"])
    assert (tmp_path / "out/coreml.mlpackage/Manifest.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_no_latency_can_be_measured_in_it() -> None:
    with pytest.raises(UserError, match=r"runtime: expected pytorch or .*, got 'coreml'"):
        measure_latency("winner", runtimes=["coreml"])
