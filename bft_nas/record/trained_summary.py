"""A trained network, or one in training, in a line: for the lists on the command line and in the dashboard."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bft_nas.core.errors import printable
from bft_nas.core.units import format_macs, format_params, format_percent
from bft_nas.network import cost
from bft_nas.record.trained import Evaluation, Trained, candidate_of
from bft_nas.record.trained_folder import TRAINING_FILE

HEADINGS = ("trained", "accuracy", "MACs", "parameters", "network", "data", "begun (UTC)")
"""Of `Summary.cells`."""


@dataclass(frozen=True)
class Summary:
    """What a list says of a trained network."""

    name: str
    network: str
    """What it is, in words."""
    candidate: tuple[str, int] | None
    """The run that it is out of, and its number there."""
    architecture_hash: str
    data: str
    macs: int
    params: int
    resolution: int
    created: str
    """ISO 8601, UTC."""
    protocol: str
    """The hash."""
    epoch: int
    """So many are over."""
    epochs: int
    best: float | None
    """Validation accuracy, 0 to 1, of the best weights so far."""
    evaluation: Evaluation | None
    """At its end."""
    at_work: bool
    """A process of this machine is training it."""
    waits: bool
    """Its teacher is trained before it is."""

    @property
    def accuracy(self) -> str:
        """What it is worth, with the interval and on which images, or how far its training has come."""
        if self.evaluation is not None:
            measures = self.evaluation.measures
            low, high = (format_percent(end, 1) for end in measures.interval)
            return f"{format_percent(measures.accuracy)} ({self.evaluation.split}; 95 %: {low} to {high})"
        state = "in training" if self.at_work else "interrupted"
        if self.waits:
            return f"{state}, its teacher first"
        best = "" if self.best is None else f", best {format_percent(self.best)} (validation)"
        return f"{state}, epoch {self.epoch}/{self.epochs}{best}"

    @property
    def cells(self) -> tuple[str, ...]:
        """Texts under `HEADINGS`."""
        network = f"{self.network} @{self.resolution}"
        counts = (format_macs(self.macs), format_params(self.params))
        begun = self.created[:16].replace("T", " ")
        return tuple(map(printable, (self.name, self.accuracy, *counts, network, self.data, begun)))


def summary_of(trained: Trained) -> Summary:
    """What a list says of it now.

    Raises:
        UserError: a file of its folder cannot be read.
    """
    counted, curve, facts = cost(trained.architecture), trained.curve(), trained.facts
    return Summary(
        name=trained.name,
        network=facts["network"],
        candidate=candidate_of(facts["network"]),
        architecture_hash=trained.architecture.hash,
        data=trained.protocol.data,
        macs=counted.macs,
        params=counted.params,
        resolution=trained.architecture.resolution,
        created=str(facts.get("created", "")),
        protocol=trained.protocol.hash,
        epoch=len(curve),
        epochs=trained.protocol.epochs,
        best=_best(curve),
        evaluation=trained.evaluation(),
        at_work=trained.is_at_work,
        waits=not curve and facts["teacher_first"] and _is_unfinished(Path(str(facts["teacher"]))),
    )


def newest_first(summaries: Sequence[Summary]) -> list[Summary]:
    """In the order of a list."""
    return sorted(summaries, key=lambda each: (each.created, each.name), reverse=True)


def _best(curve: Sequence[Mapping[str, float]]) -> float | None:
    found = [row[name] for row in curve for name in ("accuracy", "averaged") if name in row]
    return max((value for value in found if not math.isnan(value)), default=None)


def _is_unfinished(teacher: Path) -> bool:
    return (teacher / TRAINING_FILE).is_file() and not Trained(teacher).finished
