"""Inference without gradients, where no custom operator is around the kernel: what the PyTorch form finds."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bft_nas.butterfly import ButterflyTransform
from bft_nas.kernels.butterfly import available

pytestmark = pytest.mark.skipif(not available(), reason="installed without a C compiler")


@settings(max_examples=100)
@given(
    st.one_of(st.integers(1, 70), st.sampled_from([96, 128, 192, 256, 520])),
    st.one_of(st.none(), st.integers(1, 140)),
    st.integers(2, 17),
    st.sampled_from([(0, 4), (1,), (7, 7), (1, 17), (14, 14), (3, 4, 5)]),
    st.integers(0, 3),
    st.sampled_from([1, 2, 3]),
)
def test_it_finds_what_the_pytorch_form_finds(
    n_in: int, n_out: int | None, radix: int, size: tuple[int, ...], batch: int, threads: int
) -> None:
    torch.manual_seed(n_in)
    torch.set_num_threads(threads)
    transform = ButterflyTransform(n_in, n_out or n_in, radix)
    plain = copy.deepcopy(transform).double()
    plain.form = "structured"
    x = torch.randn(batch, n_in, *size)
    with torch.no_grad():
        found, expected = transform(x), plain(x.double())
    assert found.shape == expected.shape
    if found.numel():
        assert float((found - expected).abs().max()) <= 1e-5 * max(1e-6, float(expected.abs().max()))


@pytest.mark.parametrize("radix", [4, 8])
@pytest.mark.parametrize(("n_in", "n_out"), [(512, 512), (256, 600), (600, 256), (1024, 1024)])
@pytest.mark.parametrize("batch", [1, 2])
def test_threads_that_share_an_image_find_what_one_does(
    n_in: int, n_out: int, radix: int, batch: int
) -> None:
    transform = ButterflyTransform(n_in, n_out, radix)
    x = torch.randn(batch, n_in, 7, 7)
    found = []
    for threads in (1, 2, 3, 5, 16):
        torch.set_num_threads(threads)
        with torch.inference_mode():
            found.append(transform(x))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-6, atol=1e-6 * float(found[0].abs().max()))


@pytest.mark.parametrize("n_out", [24, 32, 10])
@pytest.mark.parametrize("shape", [(2, 24, 5, 6), (2, 24, 1, 1), (1, 24, 1, 7)])
@torch.no_grad()
def test_images_in_channels_last_stay_so(shape: tuple[int, ...], n_out: int) -> None:
    x = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    transform = ButterflyTransform(24, n_out, 4)
    found = transform(x)
    assert found.is_contiguous(memory_format=torch.channels_last)
    operator = torch.ops.bft_nas.butterfly(x, list(transform.stages), list(transform.factors), n_out)
    assert found.stride() == operator.stride()
    assert torch.equal(found, operator)


@torch.no_grad()
def test_images_that_begin_within_other_images() -> None:
    images = torch.randn(5, 24, 7, 7)
    transform = ButterflyTransform(24, 24, 4)
    found = transform(images[3:])
    assert torch.equal(found, transform(images)[3:])


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning", "ignore::torch.jit.TracerWarning")
@torch.no_grad()
def test_functional_transforms_and_tracing_see_operators() -> None:
    transform, x = ButterflyTransform(12, 12, 4), torch.randn(3, 2, 12, 3, 3)
    each = torch.stack([transform(images) for images in x])
    torch.testing.assert_close(torch.vmap(transform)(x), each)
    traced = torch.jit.trace(transform, x[0])  # type: ignore[no-untyped-call]
    torch.testing.assert_close(traced(x[1]), each[1])


@torch.no_grad()
def test_a_module_has_its_bias_and_after_weights_were_replaced() -> None:
    transform, x = ButterflyTransform(24, 40, 4, bias=True), torch.randn(1, 24, 7, 7)
    assert transform.bias is not None
    transform.bias.fill_(2.0)
    plain = copy.deepcopy(transform)
    plain.form = "structured"
    torch.testing.assert_close(transform(x), plain(x))
    transform.stages[0].data = plain.stages[0].data = torch.randn_like(transform.stages[0])
    torch.testing.assert_close(transform(x), plain(x))
