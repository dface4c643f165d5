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
        found = run_mil(tmp_path / file.name, image)
    assert (found - expected).abs().max() <= HALF * expected.abs().max() + LEAST


def test_with_classes_it_takes_an_image_and_says_their_probabilities(tmp_path: Path) -> None:
    import coremltools

    architecture = CASES["inverted"].architecture
    network = trained(architecture)
    classes = ["shirt", "shoe", "bag"]
    mean, std = (0.3, 0.5, 0.4), (0.2, 0.25, 0.3)
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
    size = architecture.resolution
    assert (given.name, given.type.imageType.width, given.type.imageType.height) == ("image", size, size)
    assert spec.description.predictedFeatureName == "classLabel"
    assert spec.description.metadata.userDefined["architecture"] == architecture.hash
    pixels = torch.randint(0, 256, (1, 3, size, size), generator=torch.Generator().manual_seed(0)).float()
    tensors = (torch.tensor(each).view(3, 1, 1) for each in (mean, std))
    normalised = (pixels / 255 - next(tensors)) / next(tensors)
    with torch.no_grad():
        expected = network(normalised)[:, : len(classes)].softmax(1)
        found = run_mil(path, pixels)
    assert (found - expected).abs().max() < HALF


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
