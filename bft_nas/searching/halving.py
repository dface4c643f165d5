"""Early stopping by rank for two objectives: which candidates continue past a rung. Needs no torch.

Asynchronous successive halving (Li et al. 2020) with candidates ranked by non-domination in (MACs down, accuracy at
the rung up) as MO-ASHA does (Schmucker et al. 2021), ties by crowding; where latencies are predicted, they are a third
objective. Every decision is a function of the learning curves alone, so that it is the same whoever trains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bft_nas.record import Progress
from bft_nas.record.pareto import OBJECTIVES, OBJECTIVES_IN_TIME, ranked


@dataclass(frozen=True)
class Halving:
    """After ``least`` epochs, and ``eta`` times as many each time, only the best 1/eta continue.

    Raises ValueError for an eta below 2 or fewer than one epoch.

    >>> Halving(eta=3, least=1, most=10).rungs
    (1, 3, 9)
    """

    eta: int
    least: int
    most: int
    """Epochs of a whole training."""

    def __post_init__(self) -> None:
        if self.eta < 2:
            raise ValueError(f"eta: expected 2 or more, got {self.eta}")
        if self.least < 1:
            raise ValueError(f"least epochs: expected 1 or more, got {self.least}")

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs after which it is decided who continues."""
        levels = []
        epochs = self.least
        while epochs < self.most:
            levels.append(epochs)
            epochs *= self.eta
        return tuple(levels)

    def goes_on(self, number: int, known: Mapping[int, Progress]) -> bool:
        """Whether a candidate that has just ended an epoch trains further."""
        epochs = len(known[number].accuracies)
        return epochs not in self.rungs or number in self._best(epochs, known)

    def promoted(self, known: Mapping[int, Progress]) -> int | None:
        """The stopped candidate that has become one of the best of its rung since, the furthest one first."""
        for epochs in reversed(self.rungs):
            for number in self._best(epochs, known):
                if known[number].stopped and len(known[number].accuracies) == epochs:
                    return number
        return None

    def _best(self, epochs: int, known: Mapping[int, Progress]) -> list[int]:
        """The best 1/eta of the candidates that have reached a rung, at least one, best first."""
        there = {number: progress for number, progress in known.items() if len(progress.accuracies) >= epochs}
        timed = all(progress.milliseconds is not None for progress in there.values())
        at_rung = {
            number: (
                progress.macs,
                progress.accuracies[epochs - 1],
                *((progress.milliseconds or 0.0,) if timed else ()),
            )
            for number, progress in there.items()
        }
        return ranked(at_rung, OBJECTIVES_IN_TIME if timed else OBJECTIVES)[
            : max(1, len(at_rung) // self.eta)
        ]
