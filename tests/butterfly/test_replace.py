"""Butterfly transforms in networks that somebody else wrote."""

import pytest
import torch
from torch import nn

from bft_nas.butterfly import ButterflyTransform, replace_pointwise


class Residual(nn.Module):
    """A block as people write them: a strided, a biased, a grouped and a shared 1x1 convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(16, 32, 1, stride=2)
        self.body = nn.Sequential(
            nn.Conv2d(16, 24, 1, bias=False),
            nn.BatchNorm2d(24),
            nn.Conv2d(24, 24, 3, stride=2, padding=1, groups=24),
            nn.Conv2d(24, 24, 1, groups=4),
            nn.Conv2d(24, 32, 1),
        )
        self.mix = nn.Conv2d(32, 32, 1, bias=False)
        self.again = self.mix

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.again(self.mix(self.shortcut(x) + self.body(x)))  # type: ignore[no-any-return]


def test_dense_pointwise_convolutions_are_replaced_and_shapes_stay() -> None:
    model = Residual().eval()
    x = torch.randn(2, 16, 9, 9)
    shape = model(x).shape
    assert replace_pointwise(model, radix=4) == ("shortcut", "body.0", "body.4", "mix", "again")
    assert model(x).shape == shape
    assert isinstance(model.body[3], nn.Conv2d)
    assert isinstance(model.mix, ButterflyTransform)
    assert model.mix is model.again
    assert not model.mix.training


def test_where_decides_by_name_and_convolution() -> None:
    model = Residual()
    assert replace_pointwise(
        model, where=lambda name, conv: name.startswith("body") and conv.out_channels > 24
    ) == ("body.4",)


def test_dtype_is_kept_and_the_new_weights_train() -> None:
    model = Residual().double()
    replace_pointwise(model)
    model(torch.randn(2, 16, 9, 9, dtype=torch.float64)).sum().backward()
    transforms = [m for m in model.modules() if isinstance(m, ButterflyTransform)]
    assert transforms
    assert all(p.grad is not None and p.dtype == torch.float64 for m in transforms for p in m.parameters())


def test_subclasses_are_left_alone() -> None:
    class Standardised(nn.Conv2d):
        """A convolution that does more than convolve."""

    model = nn.Sequential(Standardised(8, 8, 1))
    assert replace_pointwise(model) == ()


def test_a_convolution_that_nothing_holds_is_refused() -> None:
    with pytest.raises(ValueError, match="contains convolutions"):
        replace_pointwise(nn.Conv2d(8, 8, 1))
