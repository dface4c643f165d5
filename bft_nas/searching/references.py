"""The references trained as a run's candidates were: at its budgets, under its protocol, once per protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bft_nas.core.files import write_text
from bft_nas.network import cost
from bft_nas.network.references import REFERENCES, widest
from bft_nas.record import Candidate, Run, facts_of
from bft_nas.record.pareto import winners
from bft_nas.searching.jobs import Engine, Job, Outcome
from bft_nas.training.curve import Curve

if TYPE_CHECKING:
    from bft_nas.searching.loop import Clock, Watcher


@dataclass(frozen=True)
class Entrant:
    """A reference made as wide as one of a run's budgets allows."""

    width: float
    candidate: Candidate
    """Numbered in the order of training; its architecture's family is the reference's name."""


@dataclass(frozen=True)
class Field:
    """Who can take part in a comparison."""

    entrants: tuple[Entrant, ...]
    infeasible: tuple[tuple[str, int], ...]
    """Names and budgets in MACs of references whose narrowest form has more MACs."""


def field_of(run: Run) -> Field:
    """The references for each of a run's budgets, at the resolution of the budget's winner.

    Before there is a winner, at the largest resolution of the run.
    """
    best = winners(run.results(), run.settings.budgets)
    resolutions = {int(row["for_budget"]): int(row["resolution"]) for row in best.to_dict("records")}
    entrants: list[Entrant] = []
    infeasible = []
    for budget in run.settings.budgets:
        resolution = resolutions.get(budget, max(run.settings.resolutions))
        for name in REFERENCES:
            found = widest(name, budget, resolution=resolution, classes=run.settings.classes)
            if found is None:
                infeasible.append((name, budget))
                continue
            width, architecture = found
            candidate = Candidate(len(entrants), architecture, cost(architecture).macs, budget)
            entrants.append(Entrant(width, candidate))
    return Field(tuple(entrants), tuple(infeasible))


def compare(run: Run, field: Field, engine: Engine, watcher: Watcher, clock: Clock) -> None:
    """Train the references that were not trained under the run's protocol before, and record all in the run.

    What was trained is kept beside the runs, in ``.references/PROTOCOL/ARCHITECTURE.json``, and read from there by
    every run of the same protocol. An interruption loses the epoch under way and nothing else.
    """
    engine(_Comparison(run, field, watcher, clock))


class _Comparison:
    """Drives an engine: the references that are missing, and the record of what came of them."""

    def __init__(self, run: Run, field: Field, watcher: Watcher, clock: Clock) -> None:
        self.run = run
        self.watcher = watcher
        self.clock = clock
        self.kept = run.folder.parent / ".references" / run.protocol_hash
        self.kept.mkdir(parents=True, exist_ok=True)
        self.entrants = field.entrants
        self.rows = {entrant: self._known(entrant) for entrant in field.entrants}
        self.missing = [entrant for entrant, row in self.rows.items() if row is None]
        self._record()

    def next(self) -> Job | None:
        """See `bft_nas.searching.jobs.Driver`."""
        if not self.missing:
            return None
        candidate = self.missing.pop(0).candidate
        self.watcher.begin(candidate, candidate.number)
        return Job(candidate, self._file(candidate, "pt"), None)

    def step(self, candidate: Candidate, done: int, total: int) -> None:
        """See `bft_nas.searching.jobs.Driver`."""
        self.watcher.step(candidate, done, total)

    def epoch(self, candidate: Candidate, curve: Curve) -> bool:
        """See `bft_nas.searching.jobs.Driver`."""
        self.watcher.epoch(candidate, curve[-1])
        return True

    def lost(self, candidate: Candidate, reason: str) -> None:
        """See `bft_nas.searching.jobs.Driver`."""
        self.watcher.lost(candidate, reason)

    def end(self, candidate: Candidate, outcome: Outcome) -> None:
        """See `bft_nas.searching.jobs.Driver`."""
        self.clock.training += outcome.seconds
        entrant = self.entrants[candidate.number]
        if outcome.reason:
            found: dict[str, Any] = {"reason": outcome.reason, "seconds": outcome.seconds}
            if outcome.traceback:
                write_text(self._file(candidate, "traceback.txt"), outcome.traceback)
        else:
            found = {
                "accuracy": outcome.curve[-1].accuracy,
                "epochs": len(outcome.curve),
                "seconds": outcome.seconds,
            }
            self._keep(entrant, outcome, found)
        self.rows[entrant] = _row(entrant, found)
        self._file(candidate, "pt").unlink(missing_ok=True)
        self._record()
        self.watcher.end(candidate, found.get("accuracy"), outcome.reason, outcome.seconds)

    def _keep(self, entrant: Entrant, outcome: Outcome, found: Mapping[str, Any]) -> None:
        architecture = entrant.candidate.architecture
        content = {
            **found,
            "name": architecture.family,
            "width": entrant.width,
            "curve": [astuple(row) for row in outcome.curve],
            "architecture": architecture.to_dict(),
            "protocol": self.run.protocol.to_dict(),
        }
        write_text(self._file(entrant.candidate, "json"), json.dumps(content))

    def _record(self) -> None:
        self.run.record_references([row for row in self.rows.values() if row])

    def _known(self, entrant: Entrant) -> dict[str, Any] | None:
        try:
            kept = json.loads(self._file(entrant.candidate, "json").read_text(encoding="utf-8"))
            return _row(entrant, {key: kept[key] for key in ("accuracy", "epochs", "seconds")})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _file(self, candidate: Candidate, kind: str) -> Path:
        return self.kept / f"{candidate.architecture.hash}.{kind}"


def _row(entrant: Entrant, outcome: Mapping[str, Any]) -> dict[str, Any]:
    candidate = entrant.candidate
    return {
        "name": candidate.architecture.family,
        "width": round(entrant.width, 3),
        "state": "complete" if "accuracy" in outcome else "failed",
        "accuracy": outcome.get("accuracy", float("nan")),
        "epochs": outcome.get("epochs", 0),
        "seconds": outcome["seconds"],
        "reason": outcome.get("reason", ""),
        **facts_of(candidate.architecture, candidate.budget),
    }
