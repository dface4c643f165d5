"""What is known of a run's proposals, kept up to date as the record changes.

A change is folded into what is known; nothing is gathered again from all proposals. Needs no torch and no Optuna: it
reads what Optuna's storage gives, a list of frozen trials that are replaced and never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bft_nas.core.errors import UserError, one_line, printable
from bft_nas.record.candidate import Progress
from bft_nas.record.columns import PREDICTED
from bft_nas.record.pareto import nowhere_above

if TYPE_CHECKING:
    from datetime import datetime

    from optuna.trial import FrozenTrial

State = Literal["proposed", "abandoned", "running", "stopped", "complete", "failed", "repeated"]
"""``proposed``: its architecture is not on disk yet; ``abandoned``: and never will be.
``stopped``: told not to train on, which may change.
``repeated``: answered from the record, as its architecture had been evaluated before."""
ENDED: frozenset[State] = frozenset({"stopped", "complete", "failed"})
UNSEEN: frozenset[State] = frozenset({"proposed", "abandoned"})
"""The sampler has not moved on by it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One proposal as the record has it."""

    number: int
    state: State
    facts: Mapping[str, Any] | None
    """What `bft_nas.record.columns.facts_of` says of the candidate; None where there is none."""
    accuracies: tuple[float, ...]
    """After each epoch that was recorded: under early stopping all of them, otherwise the last one."""
    outcome: Mapping[str, Any]
    """``accuracy``, ``epochs`` and ``seconds``, or ``reason`` and ``seconds``; empty before there is one."""
    owner: str
    """The member of the run that trains it."""
    repeats: int | None
    """The number of the candidate with the same architecture."""
    trial: FrozenTrial
    """As Optuna's storage has it."""

    @property
    def choices(self) -> Mapping[str, Any]:
        """What was chosen, by name of the choice."""
        return self.trial.params

    @property
    def domains(self) -> dict[str, tuple[Any, ...]]:
        """What could have been chosen, by name of the choice."""
        return {name: tuple(each.choices) for name, each in self.trial.distributions.items()}  # type: ignore[attr-defined]

    @property
    def macs(self) -> int:
        """Multiply-accumulates; of a proposal without an architecture 0."""
        return int(self.facts["macs"]) if self.facts else 0

    @property
    def milliseconds(self) -> float | None:
        """For one image, where they were predicted."""
        return self.facts.get(PREDICTED) if self.facts else None

    @property
    def accuracy(self) -> float | None:
        """After the last epoch that there was, 0 to 1; None while it is trained, and where training failed."""
        return self.accuracies[-1] if self.state in ("complete", "stopped") and self.accuracies else None

    @property
    def started(self) -> datetime | None:
        """When it was proposed, as the search's machine tells the time."""
        return self.trial.datetime_start

    def row(self) -> dict[str, Any]:
        """Its row of `bft_nas.record.Run.results`, for a candidate with an outcome."""
        accuracy = self.accuracy
        return {
            "number": self.number,
            "state": self.state,
            "accuracy": float("nan") if accuracy is None else accuracy,
            "epochs": self.outcome.get("epochs", 0),
            "seconds": self.outcome.get("seconds", 0.0),
            "reason": printable(self.outcome.get("reason", "")),
            **(self.facts or {}),
        }


class History:
    """All proposals of a run by number, and what is asked of them often.

    Args:
        read: the trials of the study, by number.
        where: what the trials are of, for messages.
    """

    def __init__(self, read: Callable[[], Sequence[FrozenTrial]], where: str = "study") -> None:
        self._read = read
        self._where = where
        self.entries: list[Entry] = []
        self.changes: list[int] = []
        """Numbers of entries that came or changed, in that order: who keeps up with them remembers how far it is."""
        self.by_hash: dict[str, int] = {}
        """The number of each candidate by the hash of its architecture; of several the last one."""
        self.progress: dict[int, Progress] = {}
        """Of the candidates whose epochs are recorded, under early stopping, unless they failed."""
        self.front: dict[int, tuple[float, ...]] = {}
        """Costs of the complete candidates on the front, by number: MACs, minus the accuracy, milliseconds if known."""
        self.dominated: list[int] = []
        """Complete candidates that are not on the front (any more), in the order in which that was seen."""
        self.ended = 0
        """Candidates with an outcome, those that were stopped early included."""
        self.proposed = 0
        """Proposals that came as far as an architecture, repeated ones included: the sampler's position."""
        self.open: set[int] = set()
        """Proposals that are not finished in the study, those that were stopped early left out."""
        self._unfinished: set[int] = set()
        """Those too."""

    def update(self) -> History:
        """Fold in what was recorded since, by whomever.

        Raises:
            UserError: a trial that no version of this project wrote.
        """
        trials = self._read()
        # A finished trial never changes.
        for number in (*sorted(self._unfinished), *range(len(self.entries), len(trials))):
            trial = trials[number]
            before = self.entries[number] if number < len(self.entries) else None
            if before is not None and (before.trial is trial or _same(before.trial, trial)):
                continue
            try:
                self._fold(entry_of(trial), before)
            except (LookupError, TypeError, AttributeError) as error:
                raise UserError(
                    f"{self._where}: candidate {number} of its study cannot be read"
                    f" ({type(error).__name__}: {one_line(error)})"
                ) from None
        return self

    @property
    def sampled(self) -> list[Entry]:
        """The proposals that the sampler has moved on by, in order: there are `proposed` of them."""
        return [entry for entry in self.entries if entry.state not in UNSEEN]

    def rows(self) -> list[dict[str, Any]]:
        """The rows of `bft_nas.record.Run.results`: candidates with an outcome, in order of number."""
        return [entry.row() for entry in self.entries if entry.state in ENDED]

    def _fold(self, entry: Entry, before: Entry | None) -> None:
        number = entry.number
        if before is None:
            self.entries.append(entry)
        else:
            self.entries[number] = entry
            self.ended -= before.state in ENDED
            self.proposed -= before.state not in UNSEEN
        self.changes.append(number)
        self.ended += entry.state in ENDED
        self.proposed += entry.state not in UNSEEN
        unfinished = not entry.trial.state.is_finished()
        (self._unfinished.add if unfinished else self._unfinished.discard)(number)
        is_open = unfinished and entry.state != "stopped"
        (self.open.add if is_open else self.open.discard)(number)
        if entry.facts is None:
            return
        self.by_hash[entry.facts["hash"]] = number
        recorded = entry.trial.user_attrs.get("progress")
        if recorded and entry.state != "failed":
            accuracies = tuple(recorded["accuracies"])
            stopped = bool(recorded.get("stopped"))
            self.progress[number] = Progress(entry.macs, accuracies, stopped, entry.milliseconds)
        else:
            self.progress.pop(number, None)
        if entry.state == "complete" and (before is None or before.state != "complete"):
            timed = () if entry.milliseconds is None else (entry.milliseconds,)
            self._join_front(number, (entry.macs, -entry.accuracies[-1], *timed))

    def _join_front(self, number: int, point: tuple[float, ...]) -> None:
        """A front of tens: told from its members alone."""
        for other, costs in self.front.items():
            if nowhere_above(costs, point) and (costs != point or other < number):
                self.dominated.append(number)
                return
        beaten = [other for other, costs in self.front.items() if nowhere_above(point, costs)]
        for other in beaten:
            del self.front[other]
        self.dominated += beaten
        self.front[number] = point


def _same(one: FrozenTrial, other: FrozenTrial) -> bool:
    """Databases make unfinished trials again each time that they are read."""
    return one.state == other.state and one.user_attrs == other.user_attrs and one.params == other.params


def entry_of(trial: FrozenTrial) -> Entry:
    """A trial of the study as an entry; trials that earlier versions recorded too."""
    attributes = trial.user_attrs
    facts, progress = attributes.get("candidate"), attributes.get("progress") or {}
    outcome: Mapping[str, Any] = attributes.get("outcome", {})
    accuracies = tuple(progress.get("accuracies", ()))
    finished = trial.state.is_finished()
    state: State
    if "repeats" in attributes:
        state = "repeated"
    elif facts is None:
        state = "abandoned" if finished else "proposed"
    elif not finished and progress.get("stopped"):
        state = "stopped"
        epochs = len(accuracies)
        outcome = {
            "epochs": epochs,
            "seconds": progress["seconds"],
            "reason": f"stopped after epoch {epochs}",
        }
    elif not finished:
        state = "running"
    elif trial.values:
        state = "complete"
        accuracies = accuracies or (trial.values[0],)
    else:
        state = "failed"
    return Entry(
        trial.number,
        state,
        facts,
        accuracies,
        outcome,
        attributes.get("owner", ""),
        attributes.get("repeats"),
        trial,
    )
