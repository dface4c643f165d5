"""The confirmation protocol: longer trainings with several seeds, which name winners. Needs no torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from bft_nas.training.protocol import Protocol

LONGER = 4
"""Steps of a confirmation over those of a proxy training."""
SEEDS = (1, 2, 3)
"""Not that of the proxy trainings: who was chosen for luck with one seed has to do without it."""


@dataclass(frozen=True)
class Confirmation:
    """How the networks that may win are trained once more.

    >>> Confirmation.of(Protocol("images", "", 10, 100, 20, 4, epochs=2)).under(3).epochs
    8
    """

    protocol: Protocol
    """Of its trainings, but for the seed."""
    seeds: tuple[int, ...] = SEEDS

    @classmethod
    def of(
        cls,
        proxy: Protocol,
        wider: Protocol | None = None,
        *,
        longer: int = LONGER,
        seeds: tuple[int, ...] = SEEDS,
    ) -> Confirmation:
        """That of a search, ``longer`` times as long as its proxy trainings.

        Args:
            proxy: under which the candidates were ranked.
            wider: the same with more images to train on, where the data has them.
            longer: steps over those of a proxy training.
            seeds: of the trainings.
        """
        base = wider or proxy
        epochs = round(longer * proxy.epochs * proxy.train_images / base.train_images)
        return cls(replace(base, epochs=max(1, epochs)), seeds)

    @property
    def epochs(self) -> int:
        """Of each training."""
        return self.protocol.epochs

    def under(self, seed: int) -> Protocol:
        """The protocol of the trainings with one of the seeds."""
        return replace(self.protocol, seed=seed)

    @property
    def hash(self) -> str:
        """12 hex digits that stand for the protocol whatever the seed."""
        return hashlib.sha256(f"confirmation {self.under(0).hash}".encode()).hexdigest()[:12]
