"""A frozen model computes the same, from whatever is faster."""

import pytest
import torch
from torch import Tensor, nn

from bft_nas.butterfly import ButterflyTransform, dispatch_with, freeze
from bft_nas.butterfly.forms import Form


def network() -> nn.Sequential:
    shared = ButterflyTransform(48, 48, 4)
    return nn.Sequential(
        nn.Conv2d(3, 24, 3),
        ButterflyTransform(24, 48, 4, stride=2, bias=True),
        nn.BatchNorm2d(48),
        shared,
        nn.ReLU(),
        shared,
    )


@pytest.mark.parametrize("last", [False, True])
def test_the_same_results_and_the_model_left_alone(last: bool) -> None:
    model = network()
    x = torch.randn(2, 3, 13, 13)
    if last:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    frozen, choices = freeze(model, x)
    assert [choice.name for choice in choices] == ["1", "3"]
    assert model.training
    assert all(isinstance(model[i], ButterflyTransform) for i in (1, 3, 5))
    assert not frozen.training
    assert not any(p.requires_grad for p in frozen.parameters())
    with torch.no_grad():
        torch.testing.assert_close(frozen(x), model.eval()(x), rtol=1e-4, atol=1e-5)


def test_it_says_what_it_did_and_did_what_was_faster() -> None:
    frozen, choices = freeze(network(), torch.randn(2, 3, 13, 13))
    for choice in choices:
        module = frozen.get_submodule(choice.name)
        assert isinstance(module, nn.Conv2d if choice.form == "dense" else ButterflyTransform)
        assert (choice.form == "dense") == (choice.dense_seconds < choice.butterfly_seconds)
        assert str(choice).startswith(f"{choice.name}: {choice.form} (butterfly takes ")
    assert frozen.get_submodule("3") is frozen.get_submodule("5")


def test_a_butterfly_that_is_slow_here_becomes_dense() -> None:
    transform = ButterflyTransform(8, 8, 2)

    def slow(x: Tensor, transform: ButterflyTransform) -> Form:
        for _ in range(50):
            x = x + 1
        return "composed"

    x = torch.randn(1, 8, 4, 4)
    with dispatch_with(slow):
        frozen, (choice,) = freeze(transform, x)
    assert choice.form == "dense"
    assert isinstance(frozen, nn.Conv2d)
    with torch.no_grad():
        torch.testing.assert_close(frozen(x), transform(x), rtol=1e-4, atol=1e-5)


def test_what_the_sample_does_not_reach_stays() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = ButterflyTransform(8, 8), ButterflyTransform(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.used(x)
            return result

    frozen, choices = freeze(Branches(), torch.randn(1, 8, 4, 4))
    assert [choice.name for choice in choices] == ["used"]
    assert isinstance(frozen.get_submodule("spare"), ButterflyTransform)
    assert freeze(Branches(), torch.randn(1, 8, 4))[1] == ()


def test_what_is_called_by_keyword_stays() -> None:
    class Keyword(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = ButterflyTransform(8, 8), ButterflyTransform(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.second(self.first(x=x))
            return result

    model, x = Keyword().eval(), torch.randn(1, 8, 4, 4)
    frozen, choices = freeze(model, x)
    assert [choice.name for choice in choices] == ["second"]
    with torch.no_grad():
        torch.testing.assert_close(frozen(x), model(x), rtol=1e-4, atol=1e-5)
