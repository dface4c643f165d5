"""Batch norm and its activation in few passes: what torch computes, but for the order of sums."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bft_nas.kernels.norm import Activation, activation_of, is_usual, kernel_available, normalise
from bft_nas.network.modules.layers import activate
from tests.kernels.forward_mode import derivative

pytestmark = pytest.mark.skipif(not kernel_available(), reason="installed without a C compiler")

ACTIVATIONS: dict[Activation, nn.Module] = {
    "identity": nn.Identity(),
    "relu": nn.ReLU(),
    "hard_swish": nn.Hardswish(),
}
LAYOUTS = (torch.contiguous_format, torch.channels_last)


def drawn(channels: int) -> nn.BatchNorm2d:
    """A layer with weights of its own."""
    layer = nn.BatchNorm2d(channels)
    with torch.no_grad():
        layer.weight.uniform_(-1, 2)
        layer.bias.normal_()
    return layer


def images(*shape: int, mean: float = 0.0) -> Tensor:
    """Of a different mean and spread in each channel."""
    torch.manual_seed(sum(shape))
    spread, center = torch.rand(2, shape[1], 1, 1)
    result: Tensor = torch.randn(shape) * (spread + 0.1) + center + mean
    return result


def differentiated(run: nn.Module, layer: nn.BatchNorm2d, x: Tensor, gradient: Tensor) -> list[Tensor]:
    """The result, the gradients of the images and of the weights, and where the statistics came to."""
    x = x.detach().requires_grad_()
    y = run(x)
    gradients = torch.autograd.grad(y, [x, layer.weight, layer.bias], gradient.to(y))
    return [y.detach(), *gradients, *(each.clone() for each in layer.buffers())]


class Ours(nn.Module):
    def __init__(self, layer: nn.BatchNorm2d, activation: Activation) -> None:
        super().__init__()
        self.layer, self.activation = layer, activation

    def forward(self, x: Tensor) -> Tensor:
        return normalise(self.layer, self.activation, x)


def away_from_the_kinks(layer: nn.BatchNorm2d, x: Tensor, gradient: Tensor) -> Tensor:
    """A gradient that is 0 where an activation's own jumps, to either side of which rounding may fall."""
    before: Tensor = copy.deepcopy(layer).double()(x.double())
    far = torch.stack([(before - kink).abs() > 1e-4 for kink in (-3, 0, 3)]).all(0)
    return gradient * far


@given(
    channels=st.sampled_from([1, 2, 4, 8]) | st.integers(16, 80),
    height=st.integers(1, 13),
    width=st.integers(2, 13),
    batch=st.integers(1, 40),
    layout=st.sampled_from(LAYOUTS),
    activation=st.sampled_from(list(ACTIVATIONS)),
    threads=st.integers(1, 3),
    mean=st.sampled_from([0.0, -3.0, 30.0]),
)
@settings(max_examples=150)
def test_result_gradients_and_statistics_are_those_of_torch(
    channels: int,
    height: int,
    width: int,
    batch: int,
    layout: torch.memory_format,
    activation: Activation,
    threads: int,
    mean: float,
) -> None:
    torch.manual_seed(channels)
    torch.set_num_threads(threads)
    layer = drawn(channels)
    x = images(batch, channels, height, width, mean=mean).contiguous(memory_format=layout)
    gradient = away_from_the_kinks(layer, x, torch.randn_like(x))
    exact = copy.deepcopy(layer).double()
    expected = differentiated(nn.Sequential(exact, ACTIVATIONS[activation]), exact, x.double(), gradient)
    found = differentiated(Ours(layer, activation), layer, x, gradient)
    plain = copy.deepcopy(layer)
    of_torch = differentiated(nn.Sequential(plain, ACTIVATIONS[activation]), plain, x, gradient)
    # Few pixels far from zero leave few digits, to torch as well.
    spread = x.double().std((0, 2, 3))
    lost = float((x.abs().amax((0, 2, 3)) / spread).max())
    for ours, theirs, wanted in zip(found, of_torch, expected, strict=True):
        assert ours.shape == wanted.shape
        scale = max(1.0, float(wanted.abs().max()))
        error, of_plain = (float((each - wanted).abs().max()) for each in (ours, theirs))
        assert error <= max(max(2e-5, 3e-7 * lost) * scale, 4 * of_plain)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_spike_at_the_first_pixel_is_no_better_center_than_any_other(activation: Activation) -> None:
    x = images(8, 16, 6, 6)
    x[0, :, 0, 0] = 1e4
    layer = drawn(16)
    exact = copy.deepcopy(layer).double()
    expected = ACTIVATIONS[activation](exact(x.double()))
    torch.testing.assert_close(normalise(layer, activation, x).double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(64, 24, 16, 16), (33, 432, 2, 2), (16, 1152, 1, 1), (64, 100, 7, 7)])
def test_nothing_depends_on_the_number_of_threads(size: tuple[int, ...]) -> None:
    x = images(*size).contiguous(memory_format=torch.channels_last)
    gradient = torch.randn_like(x)
    layer = drawn(size[1])
    found = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        again = copy.deepcopy(layer)
        found.append(differentiated(Ours(again, "relu"), again, x, gradient))
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("momentum", [0.1, None, 1.0])
def test_running_statistics_move_as_the_layers_own(momentum: float | None) -> None:
    ours, theirs = (nn.BatchNorm2d(24, momentum=momentum) for _ in range(2))
    with torch.no_grad():
        for batch in (3, 5, 9):
            x = images(batch, 24, 5, 5)
            normalise(ours, "identity", x), theirs(x)
    assert ours.num_batches_tracked == theirs.num_batches_tracked == 3
    torch.testing.assert_close(dict(ours.named_buffers()), dict(theirs.named_buffers()))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@torch.no_grad()
def test_in_evaluation_it_is_of_the_running_statistics_and_leaves_them(activation: Activation) -> None:
    layer, x = drawn(40), images(3, 40, 7, 7)
    layer(images(20, 40, 5, 5))
    layer.eval()
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    torch.testing.assert_close(normalise(layer, activation, x), ACTIVATIONS[activation](layer(x)))
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())


def test_gradients_in_evaluation_are_the_layers_own() -> None:
    layer, x = drawn(16).eval(), images(2, 16, 3, 3).requires_grad_()
    (ours,) = torch.autograd.grad(normalise(layer, "relu", x).sum(), x)
    (theirs,) = torch.autograd.grad(layer(x).relu().sum(), x)
    assert torch.equal(ours, theirs)


def test_a_layer_that_was_put_into_evaluation_since_has_the_gradients_of_its_training() -> None:
    layer, x = drawn(16), images(4, 16, 5, 5).requires_grad_()
    plain = copy.deepcopy(layer)
    found = []
    for each, y in ((layer, normalise(layer, "relu", x)), (plain, plain(x).relu())):
        each.eval()
        found.append(torch.autograd.grad(y.square().sum(), [x, each.weight, each.bias]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bits", [0x7FC00000, -0x400000], ids=["positive", "negative"])
def test_what_is_not_a_number_stays_so_of_either_sign(activation: Activation, bits: int) -> None:
    layer, x = drawn(16), images(4, 16, 5, 5)
    x[0, 3, 2, 1] = torch.tensor(bits, dtype=torch.int32).view(torch.float32)
    y, *gradients, _, _, _ = differentiated(Ours(layer, activation), layer, x, torch.ones_like(x))
    assert y[:, 3].isnan().all()
    assert y[:, 4:].isfinite().all()
    assert all(each.isnan().any() for each in gradients[:2])


def test_a_single_pixel_has_no_spread() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        normalise(nn.BatchNorm2d(16), "relu", torch.randn(1, 16, 1, 1))


def test_other_types_of_numbers_are_the_layers_own() -> None:
    layer, x = nn.BatchNorm2d(16), images(4, 16, 5, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(normalise(layer, "relu", x.bfloat16()), layer(x.bfloat16()).relu())
    layer.double()
    assert torch.equal(normalise(layer, "relu", x.double()), layer(x.double()).relu())


def test_forward_mode_is_the_layers_own() -> None:
    layer, x = drawn(16).eval().requires_grad_(False), images(2, 16, 4, 4)
    found, expected = (
        derivative(run, x, x.square())
        for run in (Ours(layer, "hard_swish"), nn.Sequential(layer, nn.Hardswish()))
    )
    torch.testing.assert_close(found, expected)


def test_images_that_overlap_in_memory_are_taken_as_they_read() -> None:
    layer, x = drawn(24), images(1, 24, 6, 6).expand(7, -1, -1, -1)
    torch.testing.assert_close(normalise(layer, "relu", x), layer(x).relu())


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm2d(15),
        nn.BatchNorm2d(16, affine=False),
        nn.BatchNorm2d(16, track_running_stats=False),
    ],
)
def test_no_other_norm_is_taken_for_one(layer: nn.BatchNorm2d) -> None:
    assert not is_usual(layer)
    assert is_usual(nn.BatchNorm2d(16))


def test_activations_of_a_network_are_known_and_no_others() -> None:
    assert [activation_of(activate(name, 16)) for name in ("relu", "hard_swish")] == ["relu", "hard_swish"]
    assert activation_of(nn.Identity()) is activation_of(nn.SiLU()) is None
