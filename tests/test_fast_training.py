"""A training step that is faster and computes the same."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bft_nas.fast_training import trained_fast
from bft_nas.network import build, reference

CLASSES = 10


def gradients(model: nn.Module, x: Tensor, *, fast: bool) -> dict[str, Tensor]:
    model.zero_grad()
    with trained_fast(model, CLASSES) if fast else nullcontext():
        loss = F.cross_entropy(model(x)[:, :CLASSES], torch.arange(len(x)) % CLASSES)
        loss.backward()  # type: ignore[no-untyped-call]
    found = {name: weight.grad for name, weight in model.named_parameters()}
    return {name: gradient.clone() for name, gradient in found.items() if gradient is not None}


@pytest.mark.parametrize("name", ["mobilenet_v1_bft", "mobilenet_v3_small", "fbnet_a", "shufflenet_v2"])
def test_a_network_has_the_same_gradients(name: str) -> None:
    torch.manual_seed(0)
    model = build(reference(name, width=0.5, resolution=128)).double()
    x = torch.randn(16, 3, 32, 32, dtype=torch.float64)
    exact = gradients(model, x, fast=False)
    model.float()
    found = gradients(model, x.float(), fast=True)
    assert found.keys() == exact.keys() == {name for name, _ in model.named_parameters()}
    # Of many layers of batch norm over 16 images the gradients come out by two or three digits in float32.
    plain = gradients(model, x.float(), fast=False)
    for layer, of_layer in exact.items():
        scale = float(of_layer.abs().max())
        error, of_plain = (float((other[layer] - of_layer).abs().max()) for other in (found, plain))
        assert error <= max(1e-4 * scale, 4 * of_plain), layer


def test_logits_that_nobody_reads_are_not_computed_and_get_no_gradient() -> None:
    model = build(reference("mobilenet_v1", width=0.25, resolution=128))
    x = torch.randn(4, 3, 32, 32)
    assert model(x).shape == (4, 1000)
    with trained_fast(model, CLASSES):
        assert model(x).shape == (4, CLASSES)
    of_classifier = gradients(model, x, fast=True)["classifier.weight"]
    assert of_classifier[:CLASSES].ne(0).any()
    assert of_classifier[CLASSES:].eq(0).all()


def test_a_model_is_itself_again_afterwards_even_after_a_failure() -> None:
    model = build(reference("mobilenet_v1", width=0.25, resolution=128))
    with pytest.raises(RuntimeError, match="channels"), trained_fast(model, CLASSES):
        model(torch.randn(1, 7, 32, 32))
    assert not any("forward" in vars(module) for module in model.modules())


def test_without_the_kernel_a_network_trains_as_torch_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bft_nas.fast_training.kernel_available", lambda: False)
    layer = nn.Conv2d(32, 32, 5, padding=2, groups=32, bias=False)
    with trained_fast(layer, CLASSES):
        assert "forward" not in vars(layer)


def test_a_model_without_a_classifier_is_left_alone() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten())
    with trained_fast(model, CLASSES):
        assert model(torch.randn(1, 3, 4, 4)).shape == (1, 32)
