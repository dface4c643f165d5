"""Learning curves. Needs no torch."""

from __future__ import annotations

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
