"""The references trained as a run's candidates were: at its budgets, under its protocol, once per protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bft_nas.core.files import write_text
from bft_nas.network import cost
from bft_nas.network.references import REFERENCES, widest
from bft_nas.record import Candidate, Run, facts_of
from bft_nas.record.candidate import TRACEBACK
from bft_nas.record.pareto import by_proxy, winners
from bft_nas.searching.jobs import Engine, Job, Outcome, Reporting
from bft_nas.searching.reference_store import ReferenceStore

if TYPE_CHECKING:
    from bft_nas.searching.loop import Clock, Watcher

USUAL = ("mobilenet_v3_small", "mnasnet_small", "fbnet_96", "shufflenet_v2")
"""Those that a search is compared with unless it is asked for all: of each kind the strongest at budgets of phones."""


def asked_names(asked: bool | Literal["all"]) -> tuple[str, ...]:
    """The names of the references that a search is asked to be compared with: the usual ones, all or none."""
    if asked == "all":
        return tuple(REFERENCES)
    return USUAL if asked else ()


@dataclass(frozen=True)
class Entrant:
    """A reference made as wide as one of a run's budgets allows."""

    width: float
    candidate: Candidate
    """Numbered in the order of training; its architecture's family is the reference's name."""

    @property
    def name(self) -> str:
        """The reference's."""
        return self.candidate.architecture.family


@dataclass(frozen=True)
class Field:
    """Who can take part in a comparison."""

    entrants: tuple[Entrant, ...]
    infeasible: tuple[tuple[str, int], ...]
    """Names and budgets in MACs of references whose narrowest form has more MACs."""


def field_of(run: Run, names: Sequence[str] | None = None) -> Field:
    """The references of these names, by default all, for each of a run's budgets.

    At the resolution of the candidate that leads within the budget by its proxy training; before there is one, at the
    largest resolution of the run.
    """
    best = winners(by_proxy(run.results()), run.settings.budgets)
    resolutions = {int(row["for_budget"]): int(row["resolution"]) for row in best.to_dict("records")}
    entrants: list[Entrant] = []
    infeasible = []
    for budget in run.settings.budgets:
        resolution = resolutions.get(budget, max(run.settings.resolutions))
        for name in REFERENCES if names is None else names:
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

    What was trained is kept beside the runs, in a `ReferenceStore`, and read from there by every run of the same
    protocol. An interruption loses the epoch under way and nothing else.
    """
    engine(_Comparison(run, field, watcher, clock))


class _Comparison(Reporting):
    """Drives an engine: the references that are missing, and the record of what came of them."""

    def __init__(self, run: Run, field: Field, watcher: Watcher, clock: Clock) -> None:
        self.run = run
        self.watcher = watcher
        self.clock = clock
        self.store = ReferenceStore(run.folder.parent, run.protocol)
        for row in run.references().to_dict("records"):
            self.store.take_in({str(name): value for name, value in row.items()})
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
        return Job(candidate, self.store.file(candidate.architecture, "pt"), None)

    def end(self, candidate: Candidate, outcome: Outcome) -> None:
        """See `bft_nas.searching.jobs.Driver`."""
        self.clock.training += self.clock.spent(candidate.number, outcome)
        entrant, architecture = self.entrants[candidate.number], candidate.architecture
        if not outcome.reason:
            self.store.keep(architecture, entrant.width, outcome)
        elif outcome.traceback:
            write_text(self.store.file(architecture, TRACEBACK), outcome.traceback)
        self.rows[entrant] = _row(entrant, outcome.summary)
        self.store.file(architecture, "pt").unlink(missing_ok=True)
        self._record()
        self.watcher.end(candidate, outcome.summary.get("accuracy"), outcome.reason, outcome.seconds)

    def _record(self) -> None:
        self.run.record_references([row for row in self.rows.values() if row])

    def _known(self, entrant: Entrant) -> dict[str, Any] | None:
        known = self.store.known(entrant.candidate.architecture)
        return None if known is None else _row(entrant, known)


def _row(entrant: Entrant, outcome: Mapping[str, Any]) -> dict[str, Any]:
    candidate = entrant.candidate
    return {
        "name": entrant.name,
        "width": round(entrant.width, 3),
        "state": "complete" if "accuracy" in outcome else "failed",
        "accuracy": outcome.get("accuracy", float("nan")),
        "epochs": outcome.get("epochs", 0),
        "seconds": outcome["seconds"],
        "reason": outcome.get("reason", ""),
        **facts_of(candidate.architecture, candidate.budget),
    }
