"""A recipe's optimiser and learning rate schedule for a network."""

from __future__ import annotations

import math

import torch
from torch import nn

from bft_nas.butterfly import ButterflyTransform
from bft_nas.training.recipe import Recipe


def make_schedule(
    optimiser: torch.optim.Optimizer, recipe: Recipe, total: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """Learning rates over so many steps: a linear warm-up, then half a cosine down to zero."""
    return torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: learning_rate_at(step / total, recipe.warmup)
    )


def learning_rate_at(progress: float, warmup: float) -> float:
    """Over the largest one, when a part of all steps is done, 0 to 1."""
    if progress < warmup:
        return (progress + 1e-3) / (warmup + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def make_optimiser(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The optimiser, with learning rates that follow the shapes of layers; see `Recipe`."""
    own = _own_rates(model, recipe)
    if recipe.optimiser == "adamw":
        own = {parameter: (1.0, decay) for parameter, (_, decay) in own.items()}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        rate, decay = own.get(parameter, (1.0, recipe.weight_decay if parameter.dim() > 1 else 0.0))
        groups.setdefault((rate, decay), []).append(parameter)
    settings = [
        {"params": parameters, "lr": recipe.learning_rate * rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(settings, lr=recipe.learning_rate, fused=True)
    return torch.optim.SGD(
        settings,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        # torch takes it with a momentum alone, and without one there is nothing to look ahead by.
        nesterov=recipe.nesterov and recipe.momentum > 0,
        fused=True,
    )


def _own_rates(model: nn.Module, recipe: Recipe) -> dict[nn.Parameter, tuple[float, float]]:
    """Learning rate over the others' and weight decay of the classifier and of butterflies; see `Recipe`."""
    own: dict[nn.Parameter, tuple[float, float]] = {}
    classifier = getattr(model, "classifier", None)
    if isinstance(classifier, nn.Linear):
        rate = recipe.classifier_rate / classifier.in_features
        for parameter in classifier.parameters():
            own[parameter] = (rate, recipe.weight_decay if parameter.dim() > 1 else 0.0)
    for module in model.modules():
        if isinstance(module, ButterflyTransform):
            dense = module.in_channels * module.out_channels
            rate = recipe.butterfly_rate * dense / sum(weight.numel() for weight in module.stages)
            own.update(dict.fromkeys(module.stages, (rate, 0.0)))
    return own
