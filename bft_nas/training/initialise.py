"""A recipe's changes to the weights that a network begins with."""

from __future__ import annotations

from torch import nn

from bft_nas.network.modules import RESIDUAL_NORM
from bft_nas.training.recipe import Recipe


def initialise(model: nn.Module, recipe: Recipe) -> None:
    """Change the initial weights in place, as a recipe says; see `Recipe.zero_residuals`."""
    if not recipe.zero_residuals:
        return
    for module in model.modules():
        name = RESIDUAL_NORM.get(type(module))
        if name is not None and module.skip:
            norm = getattr(module, name)
            nn.init.zeros_(norm.weight)
