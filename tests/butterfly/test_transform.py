"""The butterfly transform against its definition, its dense matrix and PyTorch's own machinery."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bft_nas.butterfly import ButterflyPlan, ButterflyTransform
from bft_nas.butterfly.forms import Form

AWKWARD = [1, 2, 3, 7, 8, 13, 24, 64, 88, 97, 128, 1000]
channels = st.one_of(st.integers(1, 130), st.sampled_from(AWKWARD))
radices = st.sampled_from([2, 3, 4, 5, 8, 16, 32])
few = settings(max_examples=60)


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-5) -> bool:
    scale = expected.abs().max().clamp_min(1e-30) if expected.numel() else torch.ones(())
    return actual.shape == expected.shape and bool(((actual - expected).abs() <= tolerance * scale).all())


def by_definition(transform: ButterflyTransform, x: Tensor) -> Tensor:
    """The paper's recursion, written down directly: section 3.1 for a square transform, 3.3 for the others.

    ``B(n, k)`` splits its input into k parts; part i of the result is ``B(n/k, k)`` of ``sum_j D_ij x_j``.
    """
    n_in, n_out = transform.in_channels, transform.out_channels
    size = min(n_in, n_out)
    chunks, copies = -(-n_in // size), -(-n_out // size)
    parallel = max(chunks, copies)
    factors = transform.factors
    last = len(factors) - 1

    def square(x: Tensor, t: int, stage: int, path: int, paths: int) -> Tensor:
        """Transform ``t`` from ``stage`` on, inside the block that the earlier stages' outputs ``path`` lead to."""
        k = factors[stage]
        part = len(x) // k
        weight = transform.stages[stage]
        rows = []
        for i in range(k):
            row = torch.zeros(part, dtype=x.dtype)
            for j in range(k):
                for c in range(part):
                    group = c * paths + path
                    out, into = i, j
                    if parallel > 1 and (stage > 0 or chunks > 1):
                        group = (c * parallel + t) * paths + path
                    if copies > 1 and stage == 0:
                        group, out = c * paths + path, t * k + i
                    if chunks > 1 and stage == last:
                        group, into = path, j * chunks + t
                    row[c] += weight[group, out, into] * x[j * part + c]
            rows.append(row if stage == last else square(row, t, stage + 1, path * k + i, paths * k))
        return torch.cat(rows)

    x = F.pad(x, (0, chunks * size - n_in))
    if chunks > 1:
        parts = x.view(chunks, size)
        return torch.stack([square(parts[t], t, 0, 0, 1) + parts[t] for t in range(chunks)]).sum(0)
    return torch.cat([square(x, t, 0, 0, 1) + x for t in range(copies)])[:n_out]


@pytest.mark.parametrize(
    ("n_in", "n_out", "radix"),
    [(16, 16, 4), (8, 8, 2), (24, 24, 4), (6, 6, 16), (1, 1, 2), (7, 7, 2)]
    + [(8, 20, 2), (20, 8, 2), (5, 3, 2), (12, 40, 4)],
)
def test_the_factors_follow_the_papers_definition(n_in: int, n_out: int, radix: int) -> None:
    torch.manual_seed(0)
    transform = ButterflyTransform(n_in, n_out, radix, form="structured").double()
    x = torch.randn(n_in, dtype=torch.float64)
    with torch.no_grad():
        assert close(transform(x[None])[0], by_definition(transform, x), 1e-12)


@few
@given(channels, channels, radices, st.sampled_from(["structured", "composed", "auto"]))
def test_dense_is_the_equivalent_matrix(n_in: int, n_out: int, radix: int, form: Form) -> None:
    torch.manual_seed(n_in * 1009 + n_out)
    transform = ButterflyTransform(n_in, n_out, radix, form=form)
    x = torch.randn(2, n_in, 3, 2)
    with torch.no_grad():
        expected = torch.einsum("oi,nihw->nohw", transform.dense().double(), x.double()).float()
        assert close(transform(x), expected)


@few
@given(channels, channels, radices)
def test_every_input_reaches_every_output(n_in: int, n_out: int, radix: int) -> None:
    transform = ButterflyTransform(n_in, n_out, radix)
    with torch.no_grad():
        for weight in transform.stages:
            weight.fill_(1.0)
    # With all edges at 1, an entry counts paths: exactly one, and one more where the residual joins.
    dense = transform.dense()
    size = min(n_in, n_out)
    i = torch.arange(n_in)
    o = torch.arange(n_out)
    residual = (o[:, None] % size == i[None, :] % size).float()
    assert torch.equal(dense, 1 + residual)


@pytest.mark.parametrize(("n_in", "n_out"), [(1, 1), (6, 6), (12, 5), (5, 12), (16, 16), (7, 24)])
@pytest.mark.parametrize("form", ["structured", "composed"])
def test_gradients(n_in: int, n_out: int, form: Form) -> None:
    torch.manual_seed(1)
    transform = ButterflyTransform(n_in, n_out, 4, bias=True, form=form).double()
    names = [name for name, _ in transform.named_parameters()]

    def call(x: Tensor, *parameters: Tensor) -> Tensor:
        y: Tensor = torch.func.functional_call(transform, dict(zip(names, parameters, strict=True)), (x,))
        return y

    x = torch.randn(2, n_in, 2, 3, dtype=torch.float64, requires_grad=True)
    parameters = [p.detach().clone().requires_grad_() for p in transform.parameters()]
    assert torch.autograd.gradcheck(call, (x, *parameters))


@few
@given(channels, channels, radices, st.integers(0, 3), st.lists(st.integers(1, 5), max_size=3))
def test_any_batch_and_spatial_size(n_in: int, n_out: int, radix: int, batch: int, pixels: list[int]) -> None:
    x = torch.randn(batch, n_in, *pixels)
    results = []
    forms: tuple[Form, ...] = ("structured", "composed")
    for form in forms:
        torch.manual_seed(0)
        transform = ButterflyTransform(n_in, n_out, radix, form=form)
        results.append(transform(x).detach())
        assert results[-1].shape == (batch, n_out, *pixels)
    assert close(results[0], results[1])


@pytest.mark.parametrize("form", ["structured", "composed"])
@pytest.mark.parametrize(("n_in", "n_out"), [(24, 24), (24, 40), (40, 24)])
def test_channels_last_goes_in_and_comes_out(n_in: int, n_out: int, form: Form) -> None:
    transform = ButterflyTransform(n_in, n_out, 4, form=form)
    transform.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(3, n_in, 5, 7)
    plain = transform(x)
    last = transform(x.to(memory_format=torch.channels_last))
    assert close(last, plain)
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert plain.is_contiguous()


def test_input_that_is_not_contiguous() -> None:
    transform = ButterflyTransform(12, 12, 4, form="structured")
    x = torch.randn(2, 24, 6, 9).transpose(2, 3)[:, ::2, 1:, ::2]
    assert close(transform(x), transform(x.contiguous()))


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_stride_and_bias_are_those_of_a_1x1_convolution(stride: int) -> None:
    transform = ButterflyTransform(12, 20, 4, stride=stride, bias=True)
    assert transform.bias is not None
    nn.init.normal_(transform.bias)
    x = torch.randn(2, 12, 7, 8)
    expected = F.conv2d(x, transform.dense()[:, :, None, None], transform.bias, stride)
    assert close(transform(x), expected)


@pytest.mark.parametrize("form", ["structured", "composed"])
def test_bfloat16(form: Form) -> None:
    transform = ButterflyTransform(64, 64, 4, form=form)
    x = torch.randn(2, 64, 4, 4)
    expected = transform(x)
    half = copy.deepcopy(transform).bfloat16()(x.bfloat16())
    assert half.dtype == torch.bfloat16
    assert close(half.float(), expected, 0.05)
    with torch.autocast("cpu", torch.bfloat16):
        assert close(transform(x).float(), expected, 0.05)


def test_the_state_dict_names_one_tensor_a_stage_and_loads_back() -> None:
    transform = ButterflyTransform(24, 24, 4)
    state = transform.state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "stages.0": (6, 4, 4),
        "stages.1": (8, 3, 3),
        "stages.2": (12, 2, 2),
    }
    other = ButterflyTransform(24, 24, 4)
    other.load_state_dict(state)
    x = torch.randn(1, 24, 2, 2)
    assert torch.equal(other(x), transform(x))


@given(channels, channels, radices)
def test_the_parameters_are_those_of_the_plan(n_in: int, n_out: int, radix: int) -> None:
    with torch.device("meta"):
        transform = ButterflyTransform(n_in, n_out, radix)
    assert sum(p.numel() for p in transform.parameters()) == ButterflyPlan(n_in, n_out, radix).weights


@given(st.integers(1, 40), st.integers(1, 6), st.booleans(), radices)
def test_it_begins_with_as_many_times_the_variance_of_the_residual_as_there_are_copies(
    size: int, copies: int, grows: bool, radix: int
) -> None:
    n_in, n_out = (size, copies * size) if grows else (copies * size, size)
    product = ButterflyTransform(n_in, n_out, radix).dense() - torch.eye(size).repeat(
        n_out // size, n_in // size
    )
    assert product.pow(2).sum().item() == pytest.approx(copies * copies * size, rel=1e-4)
    if copies == 1:
        assert torch.allclose(product @ product.T, torch.eye(size), atol=1e-4)


def test_its_beginning_depends_on_the_seed_alone() -> None:
    def drawn(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return ButterflyTransform(24, 40).dense()

    assert torch.equal(drawn(0), drawn(0))
    assert not torch.equal(drawn(0), drawn(1))


@pytest.mark.parametrize("form", ["structured", "composed"])
def test_compiles_whole(form: Form) -> None:
    transform = ButterflyTransform(24, 40, 4, form=form)
    x = torch.randn(2, 24, 5, 5)
    # The eager backend traces as any other does, and needs no compiler on the machine.
    compiled = torch.compile(transform, fullgraph=True, backend="aot_eager")
    assert close(compiled(x), transform(x))
    compiled(x).sum().backward()
    assert all(p.grad is not None for p in transform.parameters())


@pytest.mark.parametrize("form", ["structured", "composed"])
def test_exports_with_a_batch_that_varies(form: Form) -> None:
    transform = ButterflyTransform(24, 40, 4, form=form).eval()
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(transform, (torch.randn(2, 24, 5, 5),), dynamic_shapes=({0: batch},))
    for n in (1, 7):
        x = torch.randn(n, 24, 5, 5)
        assert close(program.module()(x), transform(x))


def test_deep_copies_are_apart() -> None:
    transform = ButterflyTransform(8, 8, 2)
    other = copy.deepcopy(transform)
    with torch.no_grad():
        other.stages[0].zero_()
    assert not torch.equal(transform.dense(), other.dense())


@pytest.mark.parametrize(("n_in", "n_out", "radix"), [(0, 8, 4), (8, 0, 4), (8, 8, 1)])
def test_impossible_sizes_are_refused(n_in: int, n_out: int, radix: int) -> None:
    with pytest.raises(ValueError, match="butterfly"):
        ButterflyTransform(n_in, n_out, radix)


@pytest.mark.parametrize("form", ["auto", "fused", "structured", "composed"])
@pytest.mark.parametrize("wanted", [True, False])
def test_images_of_other_channels_are_refused(form: Form, wanted: bool) -> None:
    with (
        pytest.raises(ValueError, match="expected images of 12 channels, not 24"),
        torch.set_grad_enabled(wanted),
    ):
        ButterflyTransform(12, 12, form=form)(torch.randn(1, 24, 3, 3))
