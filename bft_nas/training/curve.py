"""Learning curves. Needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """One row of a learning curve."""

    epoch: int
    train_loss: float
    accuracy: float
    """On the validation split, 0 to 1."""
    seconds: float


Curve = tuple[Epoch, ...]
"""As far as a training has come."""

CHECKPOINT = "checkpoint.pt"
"""The file that a training resumes from."""


# Of trainings to the end

BEST, LAST = "model.safetensors", "last.safetensors"
"""The files that one writes besides: the best weights so far, and those of the last epoch."""


@dataclass(frozen=True)
class FullEpoch:
    """One row of the curve of a training to the end."""

    epoch: int
    train_loss: float
    loss: float
    """On the validation split: cross-entropy, without smoothing."""
    accuracy: float
    """On the validation split, 0 to 1."""
    averaged: float
    """The accuracy of the averaged weights; NaN where none are averaged."""
    rate: float
    """The learning rate at its end."""
    seconds: float

    @property
    def best(self) -> float:
        """The better one of both accuracies."""
        return self.accuracy if math.isnan(self.averaged) else max(self.accuracy, self.averaged)


FullCurve = tuple[FullEpoch, ...]
