"""An architecture under evaluation, and how far its training has come. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from bft_nas.network.architecture import Architecture

ARCHITECTURE, CURVE = "architecture.json", "curve.csv"
"""Files in a candidate's folder, as in that of a network trained to the end."""
WEIGHTS, CONFIRMED_WEIGHTS = "weights.safetensors", "confirmed.safetensors"
"""Those of the proxy training, and of the best confirmation."""
TRACEBACK = "traceback.txt"
"""Of a training that failed."""


@dataclass(frozen=True)
class Candidate:
    """A trial of the study that has an architecture."""

    number: int
    architecture: Architecture
    macs: int
    budget: int
    """What it was proposed for, in MACs."""
    label: str = ""
    """What it is called where its network alone does not tell."""


@dataclass(frozen=True)
class Progress:
    """How far a candidate has come."""

    macs: int
    accuracies: tuple[float, ...]
    """After each epoch so far."""
    stopped: bool = False
    """It was stopped early, and may resume."""
    milliseconds: float | None = None
    """For one image, where they are predicted."""
