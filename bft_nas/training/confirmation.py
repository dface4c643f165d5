"""The confirmation protocol: longer trainings with several seeds, which name winners. Needs no torch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bft_nas.training.protocol import Protocol

LONGER = 4
"""Steps of a confirmation over those of a proxy training, on images as small as they are or at the deployment
resolution. In between, where no number of steps tells much (benchmarks/results/table.md), it has as many."""
AFFORDED_MACS = 60e6
"""Of a network on one image of a confirmation, at most: by default it is that near to the deployment resolution."""
QUICK = 3
"""The divisor of a quick look, where a confirmation at the deployment resolution takes long."""
FIXED = 0.055
"""What an image takes whatever its size, over what it takes more at the deployment resolution: measured at a sixth,
half and all of it, of networks of 15M and 50M MACs, one thread."""
AUGMENTED: Mapping[str, Any] = {"crop_area": 0.4, "jitter": 0.2}
"""Fields of its recipe: images are changed as in a training to the end, which decides who leads there
(benchmarks/results/table.md). A proxy training is too brief for it."""
SEEDS = (1, 2, 3)
"""Not that of the proxy trainings: who was chosen for luck with one seed has to do without it."""
QUICK_SEEDS = SEEDS[:2]
"""Of a quick look: enough for an interval, of what a third seed would not tell any more about the deployment."""


@dataclass(frozen=True)
class Confirmation:
    """How the networks that may win are trained once more.

    >>> proxy = Protocol("images", "", 10, 100, 20, 6, epochs=2)
    >>> confirmation = Confirmation.of(proxy, divisor=2)
    >>> confirmation.under(3).epochs, confirmation.under(3).resolution_divisor
    (2, 2)
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
        divisor: int | None = None,
        seeds: tuple[int, ...] | None = None,
    ) -> Confirmation:
        """That of a search, `longer` times as long as its proxy trainings, with images that are `AUGMENTED`.

        Args:
            proxy: under which the candidates were ranked.
            wider: the same with more images to train on, where the data has them.
            divisor: of the deployment resolution; by default the proxy's.
            seeds: of the trainings; by default `SEEDS`, of a quick look `QUICK_SEEDS`.
        """
        base, divisor = wider or proxy, divisor or proxy.resolution_divisor
        steps = longer(proxy.resolution_divisor, divisor)
        epochs = round(steps * proxy.epochs * proxy.train_images / base.train_images)
        if seeds is None:
            seeds = QUICK_SEEDS if steps == 1 and divisor >= QUICK else SEEDS
        recipe = replace(base.recipe, **AUGMENTED)
        changed = replace(base, epochs=max(1, epochs), resolution_divisor=divisor, recipe=recipe)
        return cls(changed, seeds)

    @property
    def epochs(self) -> int:
        """Of each training."""
        return self.protocol.epochs

    @property
    def rung(self) -> int | None:
        """The epochs after which candidates that are behind go no further; None of trainings of a single one."""
        return self.epochs // 2 or None

    def under(self, seed: int) -> Protocol:
        """The protocol of the trainings with one of the seeds."""
        return replace(self.protocol, seed=seed)

    @property
    def hash(self) -> str:
        """12 hex digits that stand for the protocol whatever the seed."""
        return hashlib.sha256(f"confirmation {self.under(0).hash}".encode()).hexdigest()[:12]


def nearer_divisor(proxy: int, macs: float) -> int:
    """By what a confirmation of networks of so many MACs at deployment divides the deployment resolution.

    It is a half of what proxy trainings divide it by, ``proxy``, at most, and less as far as `AFFORDED_MACS` allow.

    >>> [nearer_divisor(6, macs) for macs in (15e6, 50e6, 150e6, 600e6)]
    [1, 1, 2, 3]
    """
    return min(math.ceil(math.sqrt(macs / AFFORDED_MACS)), -(-proxy // 2))


def longer(proxy: int, divisor: int) -> int:
    """Steps of a confirmation over those of a proxy training, from what each divides the deployment resolution by."""
    return LONGER if divisor == 1 or divisor >= proxy else 1


def time_of(confirmation: Protocol, proxy: Protocol) -> float:
    """How long a training of a confirmation takes over a proxy training of the same network."""
    one, other = (
        each.epochs * each.train_images * (FIXED + 1 / each.resolution_divisor**2)
        for each in (confirmation, proxy)
    )
    return one / other
