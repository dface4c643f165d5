"""Inference by the short way: what the long way finds, and only where nobody has to see it."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from bft_nas.butterfly import ButterflyTransform
from bft_nas.kernels import butterfly as fused
from bft_nas.kernels.butterfly import available, fused_butterfly, short_way

pytestmark = pytest.mark.skipif(not available(), reason="installed without a C compiler")


def short(transform: ButterflyTransform, x: Tensor) -> Tensor | None:
    stages = {str(i): stage for i, stage in enumerate(transform.stages)}
    return short_way()(x, stages, transform.factors, transform.in_channels, transform.out_channels)


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
        found, expected = short(transform, x), plain(x.double())
    assert found is not None
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


class SeesFunctions(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        return func(*args, **(kwargs or {}))


class SeesOperators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        return func(*args, **(kwargs or {}))


class OwnTensor(Tensor):
    """A type of somebody's own."""


@pytest.mark.parametrize(
    "around",
    [
        torch.enable_grad,
        lambda: torch.autocast("cpu", torch.bfloat16),
        lambda: torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]),
        SeesFunctions,
        SeesOperators,
    ],
    ids=["gradients", "autocast", "profiler", "functions", "operators"],
)
@torch.no_grad()
def test_not_where_somebody_watches(around: Callable[[], object]) -> None:
    transform, x = ButterflyTransform(24, 24, 4), torch.randn(1, 24, 7, 7)
    assert short(transform, x) is not None
    with around():  # type: ignore[attr-defined]
        assert short(transform, x) is None
    assert short(transform, x) is not None


@pytest.mark.parametrize(
    "other",
    [
        lambda x: x.double(),
        lambda x: x.bfloat16(),
        lambda x: x.to("meta"),
        lambda x: x[..., ::2],
        lambda x: x.transpose(2, 3),
        lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
        lambda x: x.to_sparse(),
        lambda x: x.to_mkldnn(),
        lambda x: x[0, :, 0, 0],
        lambda x: x[:, :8],
        lambda x: x.as_subclass(OwnTensor),
        lambda x: None,
    ],
)
@torch.no_grad()
def test_not_for_other_images(other: Callable[[Tensor], Tensor]) -> None:
    assert short(ButterflyTransform(24, 24, 4), other(torch.randn(2, 24, 6, 6))) is None


@torch.no_grad()
def test_not_for_other_weights() -> None:
    transform, x = ButterflyTransform(24, 24, 4), torch.randn(1, 24, 7, 7)
    stages = list(transform.stages)
    turned = torch.nn.Parameter(stages[0].detach().transpose(1, 2))
    for first in (turned, stages[0].double(), stages[0].detach()):
        named = {"0": first, **{str(k): stage for k, stage in enumerate(stages[1:], start=1)}}
        assert short_way()(x, named, transform.factors, 24, 24) is None
    assert short_way()(x, {"0": stages[0]}, transform.factors, 24, 24) is None


@pytest.mark.parametrize("n_out", [24, 32, 10])
@pytest.mark.parametrize("shape", [(2, 24, 5, 6), (2, 24, 1, 1), (1, 24, 1, 7)])
@torch.no_grad()
def test_images_in_channels_last_stay_so(shape: tuple[int, ...], n_out: int) -> None:
    x = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    transform = ButterflyTransform(24, n_out, 4)
    found, long = short(transform, x), fused_butterfly(x, list(transform.stages), transform.factors, n_out)
    assert found is not None
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert found.stride() == long.stride()
    assert torch.equal(found, long)


def test_what_allocates_has_a_public_stand_in() -> None:
    sizes, strides = (2, 24, 5, 6), (720, 1, 144, 24)
    found = fused._empty_strided(sizes, strides, torch.float32)
    expected = torch._C._dynamo.guards._empty_strided_cpu(sizes, strides, torch.float32)  # type: ignore[attr-defined]
    assert (found.shape, found.stride(), found.dtype) == (expected.shape, expected.stride(), expected.dtype)


@torch.no_grad()
def test_images_that_begin_within_other_images() -> None:
    images = torch.randn(5, 24, 7, 7)
    transform = ButterflyTransform(24, 24, 4)
    found = short(transform, images[3:])
    assert found is not None
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
def test_a_module_takes_it_with_a_bias_and_after_weights_were_replaced() -> None:
    transform, x = ButterflyTransform(24, 40, 4, bias=True), torch.randn(1, 24, 7, 7)
    assert transform.bias is not None
    transform.bias.fill_(2.0)
    plain = copy.deepcopy(transform)
    plain.form = "structured"
    torch.testing.assert_close(transform(x), plain(x))
    transform.stages[0].data = plain.stages[0].data = torch.randn_like(transform.stages[0])
    torch.testing.assert_close(transform(x), plain(x))


@torch.no_grad()
def test_the_long_way_gives_the_same_bits() -> None:
    for n_in, n_out in ((128, 128), (24, 56), (56, 24)):
        transform, x = ButterflyTransform(n_in, n_out, 4), torch.randn(2, n_in, 7, 7)
        long = fused_butterfly(x, list(transform.stages), transform.factors, n_out)
        found = short(transform, x)
        assert found is not None
        assert torch.equal(found, long)


@torch.no_grad()
def test_the_kernel_runs_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_there(name: str) -> None:
        raise ImportError(name)

    transform, x = ButterflyTransform(24, 24, 4), torch.randn(1, 24, 7, 7)
    expected = transform(x)
    with monkeypatch.context() as patched:
        patched.setattr(importlib, "import_module", not_there)
        absent = short_way.__wrapped__()
    assert absent(x, {}, transform.factors, 24, 24) is None
    monkeypatch.setattr("bft_nas.butterfly.transform.short_way", lambda: absent)
    assert torch.equal(transform(x), expected)


def test_wrong_arguments_are_an_error() -> None:
    with pytest.raises(TypeError, match="expected a tensor, a dictionary"):
        short_way()(torch.randn(1, 4), 3)
