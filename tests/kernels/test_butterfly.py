"""The fused kernel against the PyTorch form: same results and gradients, whatever the shape, layout or thread."""

from __future__ import annotations

import copy
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bft_nas.butterfly import ButterflyTransform
from bft_nas.kernels.butterfly import available
from tests.kernels.forward_mode import derivative

pytestmark = pytest.mark.skipif(not available(), reason="installed without a C compiler")

channels = st.one_of(st.integers(1, 70), st.sampled_from([88, 97, 128, 192, 256, 520]))
# Tiles are of 16 to 64 pixels: sizes on either side of that, and images that end in the middle of one.
sizes = st.sampled_from([(1, 1), (3, 5), (4, 4), (7, 7), (8, 8), (1, 17), (14, 14), (9, 15)])
few = settings(max_examples=150)


def results(transform: ButterflyTransform, x: Tensor, gradient: Tensor) -> list[Tensor]:
    """Output and gradients, of the input first."""
    x = x.detach().requires_grad_()
    y = transform(x)
    return [y, *torch.autograd.grad(y, [x, *transform.parameters()], gradient)]


def agree(actual: list[Tensor], expected: list[Tensor], tolerance: float = 1e-5) -> bool:
    return all(
        a.shape == e.shape
        and float((a - e).detach().abs().max()) <= tolerance * max(1e-6, float(e.detach().abs().max()))
        for a, e in zip(actual, expected, strict=True)
        if e.numel()
    )


@few
@given(
    channels,
    channels,
    st.integers(2, 17),
    sizes,
    st.integers(1, 4),
    st.booleans(),
    st.sampled_from([1, 2, 3]),
)
def test_forward_and_backward_are_those_of_the_pytorch_form(
    n_in: int, n_out: int, radix: int, size: tuple[int, int], batch: int, last: bool, threads: int
) -> None:
    torch.manual_seed(n_in + 1000 * n_out)
    torch.set_num_threads(threads)
    layout = torch.channels_last if last else torch.contiguous_format
    x = torch.randn(batch, n_in, *size).contiguous(memory_format=layout)
    gradient = torch.randn(batch, n_out, *size).contiguous(memory_format=layout)
    fused = ButterflyTransform(n_in, n_out, radix, form="fused")
    plain = copy.deepcopy(fused).double()
    plain.form = "structured"
    expected = [each.float() for each in results(plain, x.double(), gradient.double())]
    assert agree(results(fused, x, gradient), expected)


def operators(transform: ButterflyTransform, x: Tensor) -> set[str]:
    """Names of what a call runs."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        transform(x)
    return {event.name for event in profile.events()}


def test_auto_is_fused_on_the_cpu_for_what_the_kernel_takes() -> None:
    transform = ButterflyTransform(24, 24, 4)
    x = torch.randn(1, 24, 5, 5)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        assert "bft_nas::butterfly" in operators(copy.deepcopy(transform).to(dtype), x.to(dtype))
    assert "bft_nas::butterfly" not in operators(copy.deepcopy(transform).half(), x.half())


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (9, 15)])
@pytest.mark.parametrize(("n_in", "n_out"), [(24, 24), (24, 56), (56, 24), (5, 3)])
def test_bfloat16_has_sums_of_float32(n_in: int, n_out: int, size: tuple[int, int], last: bool) -> None:
    layout = torch.channels_last if last else torch.contiguous_format
    x, gradient = (
        torch.randn(3, n, *size).bfloat16().contiguous(memory_format=layout) for n in (n_in, n_out)
    )
    fused = ButterflyTransform(n_in, n_out, 4, form="fused").bfloat16()
    plain = copy.deepcopy(fused).float()
    plain.form = "structured"
    actual, expected = results(fused, x, gradient), results(plain, x.float(), gradient.float())
    assert all(each.dtype == torch.bfloat16 for each in actual)
    # One rounding of each result, to 8 bits; sums over pixels that all but cancel keep the error of their terms.
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a.float(), e, rtol=2**-8, atol=1e-4)


def test_autocast_is_bfloat16_over_the_same_weights() -> None:
    fused = ButterflyTransform(24, 40, 4, form="fused")
    x = torch.randn(2, 24, 9, 9, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = fused(x)
    y.float().sum().backward()
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y, fused(x.bfloat16()))
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in fused.parameters())


def test_an_autocast_to_a_type_that_it_has_not_is_pytorchs() -> None:
    transform, x = ButterflyTransform(24, 40, 4), torch.randn(2, 24, 9, 9)
    with torch.autocast("cpu", torch.float16):
        y = transform(x)
        assert "bft_nas::butterfly" in operators(copy.deepcopy(transform).double(), x.double())
    assert y.dtype == torch.float16
    torch.testing.assert_close(y.float(), transform(x), rtol=0.01, atol=0.01)


@pytest.mark.parametrize(
    ("n_in", "n_out", "radix"), [(12, 12, 4), (4, 10, 2), (10, 4, 2), (1, 1, 2), (7, 7, 4)]
)
@pytest.mark.parametrize("last", [False, True])
def test_gradients_are_those_of_the_function(n_in: int, n_out: int, radix: int, last: bool) -> None:
    fused = ButterflyTransform(n_in, n_out, radix, form="fused").double()
    layout = torch.channels_last if last else torch.contiguous_format
    x = torch.randn(2, n_in, 3, 3, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()

    def run(x: Tensor, *weights: Tensor) -> Tensor:
        names = dict(fused.named_parameters())
        given = dict(zip(names, weights, strict=True))
        result: Tensor = torch.func.functional_call(fused, given, (x,))
        return result

    assert torch.autograd.gradcheck(run, (x, *fused.parameters()))


def test_torch_compile_keeps_the_kernel() -> None:
    transform = ButterflyTransform(24, 40, 4)
    x = torch.randn(2, 24, 5, 5, requires_grad=True)
    gradient = torch.randn(2, 40, 5, 5)
    seen: list[str] = []

    def look(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., object]:
        seen.extend(str(node.target) for node in graph.graph.nodes)
        return graph.forward

    compiled = torch.compile(transform, backend=look, fullgraph=True)
    expected = results(transform, x, gradient)
    y = compiled(x)
    assert agree([y, *torch.autograd.grad(y, [x, *transform.parameters()], gradient)], expected)
    assert any("bft_nas.butterfly" in name for name in seen)


def test_an_exported_program_needs_no_operator_of_ours() -> None:
    program = torch.export.export(ButterflyTransform(24, 40, 4), (torch.randn(2, 24, 5, 5),))
    assert "bft_nas" not in program.graph_module.code


def test_functional_transforms_go_through() -> None:
    transform = ButterflyTransform(12, 12, 4)
    x = torch.randn(2, 12, 3, 3)
    names = dict(transform.named_parameters())

    def loss(weights: Mapping[str, Tensor]) -> Tensor:
        result: Tensor = torch.func.functional_call(transform, dict(weights), (x,)).square().sum()
        return result

    functional = torch.func.grad(loss)({name: p.detach() for name, p in names.items()})
    direct = torch.autograd.grad(loss(names), list(names.values()))
    assert agree(list(functional.values()), list(direct))


def test_forward_mode_has_the_derivatives_of_the_pytorch_form() -> None:
    transform = ButterflyTransform(12, 12, 4).requires_grad_(False)
    plain = copy.deepcopy(transform)
    plain.form = "structured"
    x, direction = torch.randn(2, 12, 3, 3), torch.randn(2, 12, 3, 3)
    weight = transform.stages[0].data

    def with_weight(module: ButterflyTransform, weight: Tensor) -> Tensor:
        result: Tensor = torch.func.functional_call(module, {"stages.0": weight}, (x,))
        return result

    ours, expected = (
        [derivative(module, x, direction), derivative(partial(with_weight, module), weight, weight.square())]
        for module in (transform, plain)
    )
    torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    ("batch", "n_in", "n_out", "radix", "size"),
    [
        (48, 128, 128, 4, 28),
        (48, 128, 128, 8, 28),
        (48, 128, 128, 16, 28),
        (48, 64, 200, 2, 28),
        (48, 192, 64, 4, 28),
        # Rows that begin within cache lines: ended by a part of a vector of any length, in one tile or several.
        (48, 128, 128, 4, 27),
        (65, 128, 128, 8, 14),
        (64, 128, 128, 2, 17),
        (48, 48, 208, 2, 21),
        (48, 192, 64, 4, 27),
        # The last two stages, done at once: (4, 4), (4, 3), (3, 3) and (3, 2).
        (96, 64, 64, 4, 28),
        (96, 64, 64, 4, 27),
        (48, 192, 192, 4, 28),
        (48, 144, 144, 4, 28),
        (48, 144, 144, 4, 27),
        (64, 96, 96, 4, 28),
        (64, 96, 96, 4, 27),
        (40, 1024, 1024, 4, 7),
        (1, 128, 128, 4, 123),
        (48, 32, 32, 32, 45),
    ],
)
def test_a_batch_beyond_the_caches(
    batch: int, n_in: int, n_out: int, radix: int, size: int, last: bool
) -> None:
    """Memory is fetched a tile ahead there, and written around the caches, a whole line at a time."""
    layout = torch.channels_last if last else torch.contiguous_format
    fused = ButterflyTransform(n_in, n_out, radix, form="fused")
    x, gradient = (torch.randn(batch, n, size, size).contiguous(memory_format=layout) for n in (n_in, n_out))
    plain = copy.deepcopy(fused)
    plain.form = "structured"
    assert agree(results(fused, x, gradient), results(plain, x, gradient), 2e-5)


@pytest.mark.parametrize("shape", [(0, 12, 5, 5), (2, 12, 0, 5), (3, 12), (3, 12, 19), (2, 12, 3, 4, 5)])
def test_any_number_of_dimensions_and_nothing_at_all(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    fused = ButterflyTransform(12, 20, 4, form="fused")
    plain = copy.deepcopy(fused)
    plain.form = "structured"
    gradient = torch.randn(fused(x).shape)
    assert agree(results(fused, x, gradient), results(plain, x, gradient))


def test_input_and_gradient_with_gaps() -> None:
    fused = ButterflyTransform(12, 12, 4, form="fused")
    x = torch.randn(2, 24, 6, 18).transpose(2, 3)[:, ::2, 1:, ::2]
    gradient = torch.randn(2, 12, 3, 17).permute(0, 1, 3, 2)
    dense = [t.contiguous() for t in (x, gradient)]
    assert agree(results(fused, x, gradient), results(fused, dense[0], dense[1]))


@pytest.mark.parametrize("last", [False, True])
def test_layouts_come_out_as_they_went_in(last: bool) -> None:
    layout = torch.channels_last if last else torch.contiguous_format
    x = torch.randn(2, 24, 5, 7).contiguous(memory_format=layout).requires_grad_()
    y = ButterflyTransform(24, 40, 4, form="fused")(x)
    assert y.is_contiguous(memory_format=layout)
    (of_x,) = torch.autograd.grad(y.sum(), [x])
    assert of_x.is_contiguous(memory_format=layout)


def test_a_part_of_the_channels_of_channels_last_comes_out_as_such() -> None:
    transform = ButterflyTransform(16, 16, 4, form="fused")
    part = torch.randn(2, 32, 5, 3).contiguous(memory_format=torch.channels_last)[:, 16:]
    gradient = torch.randn(2, 16, 5, 3)
    assert transform(part).is_contiguous(memory_format=torch.channels_last)
    whole = part.contiguous(memory_format=torch.channels_last)
    assert agree(results(transform, part, gradient), results(transform, whole, gradient))
    stages = [stage.detach() for stage in transform.stages]
    torch.library.opcheck(torch.ops.bft_nas.butterfly.default, (part, stages, list(transform.factors), 16))


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_threads_give_the_same_bits(threads: int) -> None:
    torch.set_num_threads(threads)
    fused = ButterflyTransform(64, 64, 4, form="fused")
    x, gradient = torch.randn(2, 32, 64, 14, 14)
    first, second = (results(fused, x, gradient) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_two_threads_that_call_one_module_agree_with_one() -> None:
    fused = ButterflyTransform(96, 96, 8, form="fused")
    inputs = [torch.randn(4, 96, 14, 14) for _ in range(8)]
    gradients = [torch.randn(4, 96, 14, 14) for _ in range(8)]
    expected = [results(fused, x, g) for x, g in zip(inputs, gradients, strict=True)]
    found: dict[int, list[Tensor]] = {}

    def work(indices: range) -> None:
        for i in indices:
            found[i] = results(fused, inputs[i], gradients[i])

    workers = [threading.Thread(target=work, args=(range(k, 8, 2),)) for k in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(agree(found[i], expected[i]) for i in range(8))


def test_nan_stays_where_it_is() -> None:
    fused = ButterflyTransform(16, 16, 4, form="fused")
    x = torch.randn(2, 16, 4, 4)
    x[1, 3, 2, 1] = float("nan")
    y = fused(x)
    assert y[1, :, 2, 1].isnan().all()
    assert int(y.isnan().sum()) == 16


def test_flop_counter_sees_the_products() -> None:
    fused = ButterflyTransform(64, 96, 4, form="fused")
    plain = copy.deepcopy(fused)
    plain.form = "structured"
    x = torch.randn(2, 64, 7, 7, requires_grad=True)
    counts = []
    for transform in (fused, plain):
        with FlopCounterMode(display=False) as counter:
            transform(x).sum().backward()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1]


def test_the_operator_is_a_good_citizen_of_torch() -> None:
    stages = [stage.detach().requires_grad_() for stage in ButterflyTransform(12, 20, 4).stages]
    for layout in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(2, 12, 3, 5).contiguous(memory_format=layout).requires_grad_()
        torch.library.opcheck(torch.ops.bft_nas.butterfly.default, (x, stages, [4, 3], 20))


def test_without_the_kernel_it_runs_in_pytorch_and_says_so_once() -> None:
    code = (
        "import importlib.util as u, sys, warnings\n"
        "real = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name.endswith('_native') else real(name, *a)\n"
        "import torch\n"
        "from bft_nas.butterfly import ButterflyTransform\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    for _ in range(3): ButterflyTransform(8, 8, 2)(torch.randn(1, 8, 2, 2))\n"
        "print(len([w for w in caught if 'were not built' in str(w.message)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
