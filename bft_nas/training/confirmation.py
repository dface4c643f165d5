"""The confirmation protocol: longer trainings with several seeds, which name winners. Needs no torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from bft_nas.training.protocol import Protocol

LONGER = 4
"""Epochs of a confirmation over those of a proxy training."""
SEEDS = (1, 2, 3)
"""Not that of the proxy trainings: who was chosen for luck with one seed has to do without it."""


@dataclass(frozen=True)
class Confirmation:
    """How the networks that may win are trained once more.

    >>> Confirmation(Protocol("images", "", 10, 100, 20, 4, epochs=2)).under(3).epochs
    8
    """

    proxy: Protocol
    """Under which the candidates were ranked."""
    longer: int = LONGER
    seeds: tuple[int, ...] = SEEDS

    @property
    def epochs(self) -> int:
        """Of each training."""
        return self.longer * self.proxy.epochs

    def under(self, seed: int) -> Protocol:
        """The protocol of the trainings with one of the seeds."""
        return replace(self.proxy, epochs=self.epochs, seed=seed)

    @property
    def hash(self) -> str:
        """12 hex digits that stand for the protocol whatever the seed."""
        return hashlib.sha256(f"confirmation {self.under(0).hash}".encode()).hexdigest()[:12]
