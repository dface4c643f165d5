"""Files for runtimes: each does what the trained network does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from bft_nas.butterfly import ButterflyTransform
from bft_nas.core.errors import UserError
from bft_nas.export.butterfly_convolutions import two_stages
from bft_nas.export.folded_butterfly import FoldedButterfly
from bft_nas.export.inference import inference_network
from bft_nas.export.runtimes import RUNTIMES, Deployment, checked_runtimes
from bft_nas.export.runtimes.phones import check_int8
from bft_nas.export.write import TOLERANCE
from tests.export.examples import CASES, Case, trained

INSTALLED = [name for name, each in RUNTIMES.items() if each.is_installed and each.runs_here]


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def batches(case: Case) -> list[torch.Tensor]:
    net = case.architecture
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(size, net.in_channels, net.resolution, net.resolution, generator=generator)
        for size in (1, 3)
    ]


def test_the_network_for_inference_has_no_norms_and_does_the_same(case: Case) -> None:
    network = trained(case.architecture)
    inference = inference_network(network, case.architecture)
    assert not any(isinstance(module, nn.BatchNorm2d | nn.Identity) for module in inference.modules())
    with torch.no_grad():
        for images in batches(case):
            expected = network(images)
            assert (inference(images) - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_dense_butterflies_do_the_same_as_structured_ones() -> None:
    case = CASES["inverted"]
    inference = inference_network(trained(case.architecture), case.architecture)
    images = batches(case)[1]
    with torch.no_grad():
        expected = inference(images)
        for module in inference.modules():
            if isinstance(module, FoldedButterfly):
                module.form = "dense"
        assert (inference(images) - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("ends", [(64, 64), (60, 24), (24, 72), (50, 20), (20, 50), (48, 192)])
def test_a_butterfly_of_two_grouped_convolutions_does_the_same(ends: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    scale, shift = (torch.rand(ends[1], generator=generator) + 0.5 for _ in range(2))
    butterfly = FoldedButterfly.of(ButterflyTransform(*ends, radix=4), scale, shift)
    grouped = two_stages(butterfly)
    assert grouped is not None
    assert len(grouped.stages) == 2
    images = torch.randn(2, ends[0], 5, 3, generator=generator)
    assert torch.allclose(grouped(images), butterfly(images), atol=1e-5)


@pytest.mark.parametrize("name", INSTALLED)
@pytest.mark.parametrize("kind", ["inverted", "low rank"])
def test_files_of_a_runtime_agree_with_the_network(name: str, kind: str, tmp_path: Path) -> None:
    case = CASES[kind]
    network = trained(case.architecture)
    images = batches(case)
    with torch.no_grad():
        expected = [network(batch) for batch in images]
    inference = inference_network(network, case.architecture)
    runtime = RUNTIMES[name]
    files = list(runtime.write(Deployment(inference, case.architecture, tmp_path, images, expected)))
    assert {file.name for file in files} <= set(runtime.files)
    assert {path.name for path in tmp_path.iterdir()} == {file.name for file in files}
    for file in files:
        assert file.difference is not None
        assert file.difference <= TOLERANCE
        logits = runtime.open_file(tmp_path / file.name)(images[0].numpy())
        assert torch.allclose(torch.from_numpy(logits), expected[0], atol=TOLERANCE)


def test_outputs_that_were_not_trained_are_no_disagreement_of_an_int8_file(tmp_path: Path) -> None:
    case = CASES["inverted"]
    network = inference_network(trained(case.architecture), case.architecture)

    def session(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        with torch.no_grad():
            logits: npt.NDArray[np.float32] = network(torch.from_numpy(images)).numpy()
        logits[:, 5] += 100
        return logits

    path = tmp_path / "int8"
    path.touch()
    held_out = batches(case)[1]
    for classes, said in ((5, "100.0% of 3 training images"), (6, "0.0% of 3 training images")):
        names = [str(name) for name in range(classes)]
        deployment = Deployment(network, case.architecture, tmp_path, [], [], labels={"classes": names})
        (note,) = check_int8(deployment, path, session, held_out).notes
        assert note.startswith(said)


def test_a_runtime_that_there_is_not_is_named_with_those_that_there_are() -> None:
    with pytest.raises(UserError, match=r"for: expected onnxruntime.*, got 'tensorrt'"):
        checked_runtimes(["tensorrt"])
