"""Learning rates that follow the shapes of layers, and their schedule."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bft_nas.butterfly import ButterflyTransform
from bft_nas.network import Architecture, Head, Stem, build, butterfly_fusion
from bft_nas.network.blocks.separable import SeparableBlock
from bft_nas.training.optimiser import learning_rate_at, make_optimiser
from bft_nas.training.recipe import Recipe


def rates_and_decays(model: nn.Module, recipe: Recipe) -> dict[str, tuple[float, float]]:
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        names[parameter]: (group["lr"] / recipe.learning_rate, group["weight_decay"])
        for group in make_optimiser(model, recipe).param_groups
        for parameter in group["params"]
    }


def test_rates_follow_what_a_layer_can_reach_and_butterflies_do_not_decay() -> None:
    recipe = Recipe(butterfly_rate=0.5, classifier_rate=16)
    model = build(
        Architecture("tiny", 24, Stem(16), (SeparableBlock(64, fusion=butterfly_fusion(4)),), Head())
    )
    decay = recipe.weight_decay
    rates = rates_and_decays(model, recipe)
    assert rates["stem.conv.weight"] == (1, decay)
    assert rates["stem.norm.weight"] == rates["stem.norm.bias"] == (1, 0)
    assert rates["classifier.weight"] == (16 / 64, decay)
    assert rates["classifier.bias"] == (16 / 64, 0)
    # 16 to 64 channels: four copies of two stages with 16 * 4 weights each, where a dense layer has 16 * 64.
    assert rates["blocks.0.pointwise.stages.0"] == (0.5 * 16 * 64 / (4 * 2 * 16 * 4), 0)


def test_a_recipe_may_have_no_momentum() -> None:
    (group,) = make_optimiser(nn.Linear(2, 2, bias=False), Recipe(momentum=0)).param_groups
    assert (group["momentum"], group["nesterov"]) == (0, False)


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_what_an_activation_learns_does_not_decay(optimiser: str) -> None:
    recipe = Recipe(optimiser=optimiser, weight_decay=0.05)  # type: ignore[arg-type]
    net = Architecture("tiny", 24, Stem(16), (SeparableBlock(64, activation="acon_c"),), Head())
    rates = rates_and_decays(build(net), recipe)
    learned = {name: rate for name, rate in rates.items() if "activation" in name}
    assert len(learned) == 2 * 3
    assert set(learned.values()) == {(1, 0)}


def test_adamw_gives_every_layer_the_same_rate() -> None:
    recipe = Recipe(optimiser="adamw", learning_rate=0.001, weight_decay=0.05)
    model = build(
        Architecture("tiny", 24, Stem(16), (SeparableBlock(64, fusion=butterfly_fusion(4)),), Head())
    )
    assert isinstance(make_optimiser(model, recipe), torch.optim.AdamW)
    rates = rates_and_decays(model, recipe)
    assert {rate for rate, _ in rates.values()} == {1}
    assert rates["classifier.weight"] == rates["stem.conv.weight"] == (1, 0.05)
    assert rates["blocks.0.pointwise.stages.0"] == rates["stem.norm.weight"] == (1, 0)


def test_a_butterfly_of_one_stage_is_a_dense_layer_and_has_the_rate_of_one() -> None:
    recipe = Recipe(butterfly_rate=1)
    rates = rates_and_decays(nn.Sequential(ButterflyTransform(8, 8, radix=8)), recipe)
    assert rates == {"0.stages.0": (1, 0)}


def test_the_rate_warms_up_and_falls_to_zero() -> None:
    rates = [learning_rate_at(step / 100, 0.15) for step in range(101)]
    assert rates[0] < 0.01
    assert max(rates) == pytest.approx(1)
    assert rates.index(max(rates)) == 15
    assert rates[15:] == sorted(rates[15:], reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("warmup", [0.0, 0.2])
def test_it_falls_along_half_a_cosine(warmup: float) -> None:
    expected = {0.0: 1.0, 0.25: (2 + 2**0.5) / 4, 0.5: 0.5, 0.75: (2 - 2**0.5) / 4, 1.0: 0.0}
    found = {part: learning_rate_at(warmup + (1 - warmup) * part, warmup) for part in expected}
    assert found == pytest.approx(expected, abs=1e-9)
