"""A linear classifier that is trained by formulas, beside the training loops and without anything of theirs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bft_nas.training.recipe import Recipe

SIZE = 16
"""The side of its images in pixels."""


def classifier() -> nn.Module:
    """For the training loops: the weights that `ByHand` begins with, and no norms."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 10))


class ByHand:
    """The same classifier under stochastic gradient descent with Nesterov's momentum (Sutskever et al. 2013)."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.values = [each.detach().clone() for each in classifier().parameters()]
        """The weights and the biases."""
        self.velocities = [torch.zeros_like(each) for each in self.values]

    def logits(self, x: Tensor) -> Tensor:
        weight, bias = self.values
        return x.flatten(1) @ weight.T + bias

    def targets(self, labels: Tensor) -> Tensor:
        """What the network is to say of images, (n, classes): their labels, smoothed over all classes."""
        smooth = self.recipe.label_smoothing
        return smooth / 10 + (1 - smooth) * torch.eye(10)[labels]

    def step(self, x: Tensor, wrong: Tensor, rate: float) -> None:
        """Descend by the derivative of the loss with respect to the logits of ``x``."""
        gradients = [wrong.T @ x.flatten(1), wrong.sum(0)]
        if self.recipe.clip:
            norm = sum(float(each.square().sum()) for each in gradients) ** 0.5
            gradients = [each * min(1.0, self.recipe.clip / norm) for each in gradients]
        gradients[0] = gradients[0] + self.recipe.weight_decay * self.values[0]
        momentum = self.recipe.momentum
        self.velocities = [
            momentum * velocity + gradient
            for velocity, gradient in zip(self.velocities, gradients, strict=True)
        ]
        self.values = [
            value - rate * (gradient + momentum * velocity)
            for value, velocity, gradient in zip(self.values, self.velocities, gradients, strict=True)
        ]


def loss_of(logits: Tensor, targets: Tensor) -> float:
    """The cross-entropy, a mean over the images."""
    return -float((targets * logits.log_softmax(1)).sum(1).mean())
