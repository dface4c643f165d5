"""Which form runs: one rule, and the two ways around it."""

import pytest
import torch
from torch import Tensor, nn

from bft_nas.butterfly import ButterflyTransform, default_form, dispatch_with
from bft_nas.butterfly.forms import Form
from bft_nas.kernels.butterfly import available


@pytest.mark.skipif(not available(), reason="installed without a C compiler")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_kernel_on_the_cpu_for_the_types_it_takes(dtype: torch.dtype) -> None:
    assert default_form(torch.randn(1, 64, 7, 7, dtype=dtype), ButterflyTransform(64, 64)) == "fused"


@pytest.mark.parametrize(
    ("channels", "radix", "last", "form"),
    [
        (64, 4, False, "composed"),
        (256, 4, False, "structured"),
        (256, 4, True, "composed"),
        (512, 16, True, "structured"),
    ],
)
def test_without_the_kernel_what_was_measured(channels: int, radix: int, last: bool, form: Form) -> None:
    layout = torch.channels_last if last else torch.contiguous_format
    x = torch.randn(2, channels, 7, 7, dtype=torch.float16).contiguous(memory_format=layout)
    assert default_form(x, ButterflyTransform(channels, channels, radix)) == form


def test_elsewhere_the_dense_matrix() -> None:
    x = torch.empty(2, 1024, 7, 7, device="meta")
    assert default_form(x, ButterflyTransform(1024, 1024)) == "composed"


def test_a_dispatcher_is_told_of_the_transform_and_its_input() -> None:
    told: list[tuple[int, bool, torch.Size]] = []

    def dispatcher(x: Tensor, transform: ButterflyTransform) -> Form:
        told.append((transform.in_channels, transform.training, x.shape))
        return "structured"

    network = nn.Sequential(ButterflyTransform(8, 12), ButterflyTransform(12, 8, form="composed")).eval()
    x = torch.randn(2, 8, 3, 3)
    expected = network(x)
    with dispatch_with(dispatcher):
        torch.testing.assert_close(network(x), expected)
    network(x)
    assert told == [(8, False, x.shape)]


def test_the_rule_before_comes_back_after_an_error() -> None:
    def failing(x: Tensor, transform: ButterflyTransform) -> Form:
        raise ZeroDivisionError

    transform = ButterflyTransform(8, 8)
    with pytest.raises(ZeroDivisionError), dispatch_with(failing):
        transform(torch.randn(1, 8, 2, 2))
    transform(torch.randn(1, 8, 2, 2))
