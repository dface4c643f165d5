"""What runs on a GPU, where there is one; and the benchmark of it, which runs everywhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bft_nas.butterfly import ButterflyTransform
from bft_nas.butterfly.forms import Form
from bft_nas.data.dataset import load_dataset
from bft_nas.data.images import Images
from bft_nas.network.references import widest
from bft_nas.training.loop import build_and_train
from bft_nas.training.protocol import Protocol

BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "gpu.py"
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")


@needs_gpu
@pytest.mark.parametrize("form", ["auto", "structured", "composed"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_transform_is_the_same_on_the_gpu(form: Form, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    layer = ButterflyTransform(96, 160, radix=4, form=form)
    x = torch.randn(3, 96, 7, 5).to(memory_format=layout)
    expected = layer(x)
    expected.square().sum().backward()
    gradients = [parameter.grad for parameter in layer.parameters()]
    layer.zero_grad()
    there = layer.cuda()
    found = there(x.cuda())
    found.square().sum().backward()
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-3, atol=1e-3)
    for parameter, gradient in zip(there.parameters(), gradients, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad.cpu(), gradient, rtol=1e-2, atol=1e-2)


@needs_gpu
@pytest.mark.parametrize("name", ["mobilenet_v3_small_bft", "shufflenet_v2"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_network_learns_on_the_gpu(name: str, precision: str) -> None:
    found = widest(name, 10_000_000, resolution=128, classes=10)
    assert found is not None
    images = Images(load_dataset("fashion-mnist", size=32, images=2000), torch.device("cuda"))
    protocol = Protocol.of(images.dataset, 4, epochs=2, precision=precision)
    training = build_and_train(found[1], protocol, images)
    assert training.curve[-1].accuracy > 0.3
    assert all(value.device.type == "cpu" for value in training.weights.values())


def test_every_part_of_the_benchmark_of_a_gpu_runs() -> None:
    small = "--workers 2 --flops 15M --images 130 --each 1 --channels 32 --batch 2 --search"
    search = "--trials 1 --images 100 --epochs 1 --no-references --no-confirm --data fashion-mnist --resolution 128"
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), *small.split(), *search.split()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("device: ")
    assert "| network | 2 workers |" in done.stdout
    assert "| 32 | 8 |" in done.stdout
    assert "exit code 0" in done.stdout
