"""Depthwise convolutions by a kernel of our own: what torch computes, but for the order of sums."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bft_nas.kernels.depthwise import KERNELS, convolve, is_depthwise, kernel_available
from bft_nas.network.modules.layers import depthwise
from tests.conftest import of_threads
from tests.kernels.forward_mode import derivative

pytestmark = pytest.mark.skipif(not kernel_available(), reason="installed without a C compiler")

LAYOUTS = (torch.contiguous_format, torch.channels_last)
Gradients = tuple[Tensor, Tensor, Tensor]


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def differentiated(layer: nn.Conv2d, x: Tensor) -> Gradients:
    """The result, and the gradients of the images and of the weights for some gradient of the result."""
    x = x.detach().requires_grad_()
    y = convolve(layer, x)
    y.backward(images(*y.shape).to(y))  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert layer.weight.grad is not None
    return y.detach(), x.grad, layer.weight.grad


def by_torch(layer: nn.Conv2d, x: Tensor) -> Gradients:
    """The same in float64, for which `convolve` leaves the work to torch."""
    plain = depthwise(layer.in_channels, layer.kernel_size[0], layer.stride[0]).double()
    with torch.no_grad():
        plain.weight.copy_(layer.weight)
    return differentiated(plain, x.double())


@given(
    channels=st.integers(16, 80),
    kernel=st.sampled_from(KERNELS),
    stride=st.integers(1, 3),
    height=st.integers(1, 13),
    width=st.integers(1, 13),
    batch=st.integers(1, 40),
    layout=st.sampled_from(LAYOUTS),
    threads=st.integers(1, 3),
)
@settings(max_examples=150)
def test_result_and_gradients_are_those_of_torch(
    channels: int,
    kernel: int,
    stride: int,
    height: int,
    width: int,
    batch: int,
    layout: torch.memory_format,
    threads: int,
) -> None:
    layer = depthwise(channels, kernel, stride)
    x = images(batch, channels, height, width).contiguous(memory_format=layout)
    with of_threads(threads):
        found = differentiated(layer, x)
    for ours, theirs in zip(found, by_torch(layer, x), strict=True):
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() <= 1e-5 * max(float(theirs.abs().max()), 1.0)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("height", "width", "stride"), [(23, 18, 1), (30, 29, 2), (9, 90, 3)])
def test_images_too_large_for_the_second_cache_are_those_of_torch_too(
    kernel: int, height: int, width: int, stride: int
) -> None:
    """Rows are taken a band at a time for the gradient of the weights, and blocks of channels a group at a time."""
    layer = depthwise(150, kernel, stride)
    x = images(3, 150, height, width).contiguous(memory_format=torch.channels_last)
    with of_threads(2):
        found = differentiated(layer, x)
    for ours, theirs in zip(found, by_torch(layer, x), strict=True):
        assert (ours - theirs).abs().max() <= 1e-5 * max(float(theirs.abs().max()), 1.0)


def by_threads(layer: nn.Conv2d, x: Tensor) -> list[Gradients]:
    """What is found by one thread, by two, by five."""
    found = []
    for threads in (1, 2, 5):
        layer.weight.grad = None
        with of_threads(threads):
            found.append(differentiated(layer, x))
    return found


@pytest.mark.parametrize(
    ("kernel", "channels", "size"),
    [(5, 16, 9), (7, 100, 3), (5, 576, 7), (3, 100, 2), (3, 576, 1), (3, 150, 23)],
)
def test_the_gradient_of_the_weights_does_not_depend_on_the_number_of_threads(
    kernel: int, channels: int, size: int
) -> None:
    x = images(33, channels, size, size).contiguous(memory_format=torch.channels_last)
    first, *others = by_threads(depthwise(channels, kernel, 1), x)
    assert all(torch.equal(first[2], other[2]) for other in others)


@pytest.mark.parametrize(
    ("kernel", "channels", "size", "stride"),
    [(3, 240, 8, 1), (3, 57, 13, 2), (5, 100, 14, 2), (7, 300, 4, 1)],
)
def test_the_result_and_the_gradient_of_the_images_do_not_depend_on_the_number_of_threads(
    kernel: int, channels: int, size: int, stride: int
) -> None:
    x = images(33, channels, size, size).contiguous(memory_format=torch.channels_last)
    first, *others = by_threads(depthwise(channels, kernel, stride), x)
    for other in others:
        assert torch.equal(first[0], other[0])
        assert torch.equal(first[1], other[1])


def test_images_that_overlap_in_memory_are_taken_as_they_read() -> None:
    layer = depthwise(24, 5, 1)
    x = images(1, 24, 6, 6).expand(7, -1, -1, -1)
    for ours, theirs in zip(differentiated(layer, x), by_torch(layer, x), strict=True):
        assert torch.allclose(ours.double(), theirs, atol=1e-4)


def test_only_what_is_asked_for_is_differentiated() -> None:
    layer, x = depthwise(32, 5, 2), images(2, 32, 7, 7)
    convolve(layer, x).sum().backward()  # type: ignore[no-untyped-call]
    assert layer.weight.grad is not None
    layer.weight.requires_grad_(False)
    x.requires_grad_()
    convolve(layer, x).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    with torch.no_grad():
        assert not convolve(layer, x).requires_grad


@pytest.mark.parametrize("size", [1, 2])
def test_weights_that_never_meet_an_image_have_no_gradient(size: int) -> None:
    layer = depthwise(16, 7, 1)
    of_weights = differentiated(layer, images(3, 16, size, size))[2]
    met = of_weights[..., 4 - size : 3 + size, 4 - size : 3 + size]
    assert met.ne(0).all()
    assert of_weights.ne(0).sum() == met.numel()


def test_other_types_of_numbers_are_the_layers_own() -> None:
    layer = depthwise(16, 5, 1).to(torch.bfloat16)
    x = images(2, 16, 4, 4).to(torch.bfloat16)
    assert torch.equal(convolve(layer, x), layer(x))
    with torch.autocast("cpu", torch.bfloat16):
        assert convolve(depthwise(16, 5, 1), images(2, 16, 4, 4)).dtype == torch.bfloat16


def test_forward_mode_is_the_layers_own() -> None:
    layer, x = depthwise(16, 5, 1).requires_grad_(False), images(2, 16, 4, 4)
    torch.testing.assert_close(derivative(partial(convolve, layer), x, x.square()), layer(x.square()))


def test_weights_of_another_type_than_the_images_are_refused_by_torch() -> None:
    with pytest.raises(RuntimeError, match="type"):
        convolve(depthwise(16, 3, 1).double(), images(2, 16, 4, 4))


@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16])
def test_the_type_of_new_tensors_does_not_matter(default: torch.dtype) -> None:
    layer, x = depthwise(32, 3, 2), images(2, 32, 7, 7)
    expected = convolve(layer, x)
    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        found = convolve(layer, x)
    finally:
        torch.set_default_dtype(before)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(32, 32, 3, padding=1),
        nn.Conv2d(32, 64, 3, padding=1, groups=32, bias=False),
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
        nn.Conv2d(32, 32, 3, groups=32, bias=False),
        nn.Conv2d(32, 32, 3, padding=1, groups=32),
        nn.Conv2d(32, 32, 9, padding=4, groups=32, bias=False),
        nn.Conv2d(32, 32, (3, 5), padding=(1, 2), groups=32, bias=False),
        nn.Conv2d(32, 32, 3, (1, 2), padding=1, groups=32, bias=False),
        nn.Conv2d(32, 32, 3, padding=1, dilation=2, groups=32, bias=False),
        nn.Conv2d(32, 32, 3, padding=1, groups=32, bias=False, padding_mode="reflect"),
        nn.Conv2d(32, 32, 3, padding="same", groups=32, bias=False),
        nn.Conv2d(32, 32, 1, groups=32, bias=False),
    ],
)
def test_no_other_convolution_is_taken_for_one(layer: nn.Conv2d) -> None:
    assert not is_depthwise(layer)
    assert is_depthwise(depthwise(32, 3, 1))
