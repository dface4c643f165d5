"""A training step that is faster and computes the same."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bft_nas.kernels import depthwise, norm
from bft_nas.kernels.norm import is_usual
from bft_nas.network import DENSE, Fusion, build, butterfly_fusion, grouped_fusion, reference
from bft_nas.network.modules import MODULES, Head, Stem
from bft_nas.network.modules.inverted import Inverted
from bft_nas.network.modules.separable import Separable
from bft_nas.network.modules.shuffle import Shuffle
from bft_nas.network.walk import walk
from bft_nas.training.fast import trained_fast
from tests.network.rows import EXAMPLES, Rows

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
    # Of many layers of batch norm over 16 images the gradients come out by two digits in float32, where rounding takes
    # a pixel to the other side of an activation's kink, and by none where they all but cancel, to torch as well.
    plain = gradients(model, x.float(), fast=False)
    for layer, of_layer in exact.items():
        error, of_plain = (float((other[layer] - of_layer).norm()) for other in (found, plain))
        assert error <= max(0.03 * float(of_layer.norm()), 8 * of_plain), layer


def test_logits_that_nobody_reads_are_not_computed_and_get_no_gradient() -> None:
    model = build(reference("mobilenet_v1", width=0.25, resolution=128))
    x = torch.randn(4, 3, 32, 32)
    assert model(x).shape == (4, 1000)
    with trained_fast(model, CLASSES):
        assert model(x).shape == (4, CLASSES)
    of_classifier = gradients(model, x, fast=True)["classifier.weight"]
    assert of_classifier[:CLASSES].ne(0).any()
    assert of_classifier[CLASSES:].eq(0).all()


@pytest.mark.parametrize("name", ["mobilenet_v1", "shufflenet_v2"])
def test_a_model_is_itself_again_afterwards_even_after_a_failure(name: str) -> None:
    model = build(reference(name, width=0.5, resolution=128))
    with pytest.raises(RuntimeError, match="channels"), trained_fast(model, CLASSES):
        model(torch.randn(1, 7, 32, 32))
    assert not any({"forward", "join"} & vars(module).keys() for module in model.modules())


@pytest.mark.parametrize("fusion", [DENSE, butterfly_fusion(4)])
def test_images_stay_in_channels_last_through_shuffle_blocks(fusion: Fusion) -> None:
    blocks = nn.Sequential(*(Shuffle(32, 32, 3, 1, "relu", fusion, 0) for _ in range(2)))
    blocks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(3, 32, 8, 6).contiguous(memory_format=torch.channels_last).requires_grad_()
    expected = blocks(x)
    (of_x,) = torch.autograd.grad(expected.square().sum(), [x])
    with trained_fast(blocks, CLASSES):
        found = blocks(x)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(found, expected, atol=1e-4)
    (again,) = torch.autograd.grad(found.square().sum(), [x])
    assert (again - of_x).norm() <= 1e-3 * of_x.norm()


def test_without_the_kernel_a_network_trains_as_torch_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for kernel in (depthwise, norm):
        monkeypatch.setattr(kernel, "kernel_available", lambda: False)
    block = Separable(32, 32, 5, 1, "relu", DENSE, 0)
    with trained_fast(block, CLASSES):
        assert not any("forward" in vars(module) for module in block.modules())


def modules_of(rows: Rows) -> Iterator[tuple[int, nn.Module]]:
    for row in walk(rows.blocks, rows.in_channels, 9):
        yield row.in_channels, MODULES[row.block.kind](**row.block.arguments(row.in_channels))


BLOCKS_OF_EACH_KIND: list[tuple[int, nn.Module]] = [
    (3, Stem(3, 16, 3, 2, "hard_swish", pool=True)),
    (3, Stem(3, 64, 3, 2, "relu", pool=False, middle=16)),
    (16, Separable(16, 24, 3, 1, "relu", butterfly_fusion(4), 0)),
    (16, Separable(16, 24, 5, 2, "hard_swish", DENSE, 8)),
    (32, Shuffle(32, 64, 3, 2, "relu", DENSE, 0)),
    (32, Shuffle(32, 32, 3, 1, "hard_swish", DENSE, 0)),
    (16, Shuffle(16, 16, 3, 1, "relu", DENSE, 0)),
    (16, Inverted(16, 16, 5, 1, "hard_swish", DENSE, 48, DENSE, 8)),
    (16, Inverted(16, 24, 3, 2, "relu", grouped_fusion(2), 16, DENSE, 0)),
    (8, Inverted(8, 8, 3, 1, "relu", DENSE, 24, DENSE, 0)),
    (16, Head(16, 32, DENSE, 20, "hard_swish")),
    (16, Head(16, 0, DENSE, 20, "relu")),
    *(module for rows in EXAMPLES.values() for module in modules_of(rows)),
]


def test_every_kind_of_block_is_among_them_and_its_activations_run_with_their_norms() -> None:
    made = [block for _, block in BLOCKS_OF_EACH_KIND]
    assert {type(block) for block in made} == {Stem, Head, *MODULES.values()}
    for block in made:
        with trained_fast(block, CLASSES):
            fast = {name for name, child in block.named_children() if "forward" in vars(child)}
        activations = {
            name
            for name, child in block.named_children()
            if isinstance(child, nn.ReLU | nn.Hardswish)
            # Behind a linear layer, and behind a sum, there is no norm.
            and name not in {"hidden_activation", "sum_activation"}
        }
        norms = {name for name, child in block.named_children() if isinstance(child, nn.BatchNorm2d)}
        usual = {name for name in norms if is_usual(getattr(block, name))}
        followed = {name for name in activations if name.replace("activation", "norm") in usual}
        assert {name.replace("activation", "norm") for name in activations} <= norms
        assert followed | usual <= fast
        assert not fast & (activations - followed)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("channels", "block"),
    BLOCKS_OF_EACH_KIND,
    ids=[f"{type(block).__name__}{k}" for k, (_, block) in enumerate(BLOCKS_OF_EACH_KIND)],
)
@torch.no_grad()
def test_a_block_gives_the_same_and_its_statistics_move_the_same(
    channels: int, block: nn.Module, training: bool
) -> None:
    x = torch.randn(8, channels, 9, 9)
    fast, plain = (copy.deepcopy(block).train(training) for _ in range(2))
    with trained_fast(fast, CLASSES):
        found = fast(x)
    torch.testing.assert_close(found, plain(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(dict(fast.named_buffers()), dict(plain.named_buffers()), rtol=1e-5, atol=1e-6)


def test_a_model_without_a_classifier_is_left_alone() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten())
    with trained_fast(model, CLASSES):
        assert model(torch.randn(1, 3, 4, 4)).shape == (1, 32)
