"""Writing down what a search does: one write a proposal, one an outcome, all in Optuna's storage.

Other tools open that storage as they open any study of Optuna's: a proposal is a trial with its choices as parameters,
an outcome its values (accuracy up, MACs down).
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bft_nas.core.errors import RunError
from bft_nas.core.files import write_text, writing
from bft_nas.network import Architecture
from bft_nas.record.candidate import ARCHITECTURE, CURVE, TRACEBACK, WEIGHTS, Candidate
from bft_nas.record.columns import PREDICTED, facts_of
from bft_nas.record.history import Entry, History
from bft_nas.record.members import Members
from bft_nas.record.storage import (
    JOURNAL,
    in_one_write,
    open_database,
    open_journal,
    recording,
    without_password,
)
from bft_nas.training.curve import CHECKPOINT

if TYPE_CHECKING:
    import optuna

    from bft_nas.space.space import Proposal
    from bft_nas.training.curve import Epoch


@dataclass(frozen=True)
class RunStatus:
    """How far a run is."""

    ended: int
    """Candidates with an outcome, those that were stopped early included."""
    running: int
    """Candidates that a living process trains."""
    orphans: tuple[int, ...]
    """Candidates whose process was killed, and that resume from their last epoch."""


class Ledger:
    """The record of one run's candidates: Optuna's study and a folder for each of them.

    Args:
        folder: the run's.
        study_name: of its study.
        database: the URL of the storage; empty for a journal in the folder.
        members: who works on the run.
    """

    def __init__(self, folder: Path, study_name: str, database: str, members: Members) -> None:
        self.folder = folder
        self.study_name = study_name
        self.database = database
        self.members = members
        self._history: History | None = None
        self._seen = -1
        """The size of the journal when it was last read; a database is asked each time."""
        self._forgotten = 0

    @cached_property
    def storage(self) -> optuna.storages.BaseStorage:
        """Optuna's storage, which owns the study."""
        return open_database(self.database) if self.database else open_journal(self.folder / JOURNAL)

    @cached_property
    def study(self) -> optuna.Study:
        """Optuna's study, made if there is none."""
        import optuna

        try:
            return self._begun
        except KeyError:
            # Not `load_if_exists`, which writes to the journal even where there is a study.
            with self._recording():
                return optuna.create_study(
                    storage=self.storage, study_name=self.study_name, directions=["maximize", "minimize"]
                )

    @cached_property
    def _begun(self) -> optuna.Study:
        """Optuna's study; KeyError where there is none."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        return optuna.load_study(study_name=self.study_name, storage=self.storage)

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """All trials of the study as they are now, none where there is no study: looking for them makes none."""
        if not self.database and not (self.folder / JOURNAL).exists():
            return []
        try:
            return self._begun.get_trials(deepcopy=False)
        except KeyError:
            return []

    @property
    def history(self) -> History:
        """All proposals as they are recorded now."""
        if self._history is None:
            self._history = History(self.trials, f"run '{self.folder.name}'")
        size = -1 if self.database else _size(self.folder / JOURNAL)
        if size < 0 or size != self._seen:
            self._history.update()
            self._seen = size
        return self._history

    def candidate_file(self, number: int, name: str) -> Path:
        """A file in a candidate's folder."""
        return self.folder / "candidates" / f"{number:04d}" / name

    # Proposals

    def propose(self, proposal: Proposal, started: datetime, milliseconds: float | None = None) -> Candidate:
        """Record what is about to be trained, in a turn of `Members`: first its architecture, then the trial.

        Args:
            started: when the proposer was asked, as this machine tells the time.
            milliseconds: for one image, where they are predicted.
        """
        architecture = proposal.architecture
        number = len(self.history.entries)
        description = self.candidate_file(number, ARCHITECTURE)
        with writing(description):
            description.parent.mkdir(parents=True, exist_ok=True)
        write_text(description, architecture.to_json())
        facts = {
            **facts_of(architecture, proposal.budget),
            **({} if milliseconds is None else {PREDICTED: round(milliseconds, 4)}),
            "proposing": (datetime.now() - started).total_seconds(),
        }
        self._create(number, proposal, started, {"candidate": facts, "owner": self.members.me})
        return Candidate(number, architecture, facts["macs"], proposal.budget)

    def repeat(self, proposal: Proposal, earlier: int, started: datetime) -> None:
        """Answer a proposal that was evaluated before from the record of then."""
        values = self.history.entries[earlier].trial.values
        self._create(
            len(self.history.entries), proposal, started, {"repeats": earlier}, values, finished=True
        )

    def _create(
        self,
        number: int,
        proposal: Proposal,
        started: datetime,
        attributes: Mapping[str, Any],
        values: Sequence[float] | None = None,
        *,
        finished: bool = False,
    ) -> None:
        """One write: a trial with all that is known of it."""
        from optuna.distributions import CategoricalDistribution
        from optuna.trial import FrozenTrial, TrialState

        state = TrialState.RUNNING
        if finished:
            state = TrialState.COMPLETE if values else TrialState.FAIL
        template = FrozenTrial(
            number=-1,
            trial_id=-1,
            state=state,
            value=None,
            values=values,
            datetime_start=started,
            datetime_complete=datetime.now() if finished else None,
            params=dict(proposal.parameters),
            distributions={name: CategoricalDistribution(each) for name, each in proposal.domains.items()},
            user_attrs=dict(attributes),
            system_attrs={},
            intermediate_values={},
        )
        study = self.study
        with self._recording():
            trial_id = self.storage.create_new_trial(study._study_id, template)
        created = self.storage.get_trial_number_from_id(trial_id)
        if created != number:
            raise RunError(f"{self._place}: trial {created} was added by another program; expected {number}")

    # Outcomes

    def finish(self, candidate: Candidate, curve: Sequence[Epoch], seconds: float) -> None:
        """Record a trained candidate; its weights are kept as long as it is on the front."""
        self._write_curve(candidate.number, curve)
        accuracy, macs = curve[-1].accuracy, candidate.macs
        outcome = {"accuracy": accuracy, "epochs": len(curve), "seconds": seconds}
        self._close(candidate.number, [accuracy, macs], outcome)
        self.candidate_file(candidate.number, CHECKPOINT).unlink(missing_ok=True)
        self._forget_dominated_weights()

    def _forget_dominated_weights(self) -> None:
        dominated = self.history.dominated
        for number in dominated[self._forgotten :]:
            self.candidate_file(number, WEIGHTS).unlink(missing_ok=True)
        self._forgotten = len(dominated)

    def fail(self, candidate: Candidate, reason: str, seconds: float, traceback: str = "") -> None:
        """Record that a candidate's training failed, and why; a traceback is kept in its folder."""
        if traceback:
            write_text(self.candidate_file(candidate.number, TRACEBACK), traceback)
        self._close(candidate.number, None, {"reason": reason, "seconds": seconds})
        self.candidate_file(candidate.number, CHECKPOINT).unlink(missing_ok=True)

    def advance(self, candidate: Candidate, curve: Sequence[Epoch]) -> None:
        """Record how far a candidate has come."""
        accuracies = [row.accuracy for row in curve]
        if {"accuracies": accuracies} != self.history.entries[candidate.number].trial.user_attrs.get(
            "progress"
        ):
            self._note(candidate.number, "progress", {"accuracies": accuracies})

    def stop(self, candidate: Candidate, curve: Sequence[Epoch], seconds: float) -> None:
        """Record that a candidate was stopped early; its checkpoint stays, since it may be promoted."""
        self._write_curve(candidate.number, curve)
        content = {"accuracies": [row.accuracy for row in curve], "stopped": True, "seconds": seconds}
        self._note(candidate.number, "progress", content)

    # Who trains what

    def claim(self, number: int, architecture: Architecture) -> Candidate:
        """Make a candidate this process's own, to be trained on; where it was stopped before, it is no longer."""
        progress = self.history.entries[number].trial.user_attrs.get("progress")
        with self._recording(), in_one_write(self.storage):
            self._note(number, "owner", self.members.me)
            if progress and progress.get("stopped"):
                self._note(number, "progress", {"accuracies": progress["accuracies"]})
        facts = self._trial(number).user_attrs["candidate"]
        return Candidate(number, architecture, facts["macs"], facts["budget"])

    def is_own(self, candidate: Candidate) -> bool:
        """Whether a candidate is still this process's: one that is silent for long is taken to be dead."""
        return self.history.entries[candidate.number].owner == self.members.me

    def status(self, own: Container[int] = ()) -> RunStatus:
        """How far the run is, when ``own`` are the numbers of the candidates that this process trains."""
        history = self.history
        alive = [entry for entry in self._open(history) if self._is_trained(entry, own)]
        orphans = [entry.number for entry in self._open(history) if not self._is_trained(entry, own)]
        return RunStatus(history.ended, len(alive), tuple(orphans))

    def repair(self, own: Container[int] = ()) -> None:
        """Close what processes that were killed left open, in a turn of `Members`.

        Candidates that had been trained to the end get their values; proposals that were cut off before their
        architecture was on disk are closed without any.
        """
        for entry in self._open(self.history):
            if self._is_trained(entry, own):
                continue
            if entry.facts is None:
                self._close(entry.number, None)
            elif entry.outcome:
                reason = "reason" in entry.outcome
                self._close(entry.number, None if reason else [entry.outcome["accuracy"], entry.macs])

    def _open(self, history: History) -> list[Entry]:
        return [history.entries[number] for number in sorted(history.open)]

    def _is_trained(self, entry: Entry, own: Container[int]) -> bool:
        return entry.number in own or self.members.is_other(entry.owner)

    # Writing

    def _trial(self, number: int) -> optuna.trial.FrozenTrial:
        """A candidate of this process as it was last seen; nobody else writes to it meanwhile."""
        seen = self._history
        if seen is None or number >= len(seen.entries):
            seen = self.history
        return seen.entries[number].trial

    def _note(self, number: int, key: str, content: Any) -> None:
        with self._recording():
            self.storage.set_trial_user_attr(self._trial(number)._trial_id, key, content)

    def _close(
        self, number: int, values: Sequence[float] | None, outcome: Mapping[str, Any] | None = None
    ) -> None:
        """End a trial, with its values or as failed without any, together with its outcome."""
        from optuna.trial import TrialState

        trial_id = self._trial(number)._trial_id
        state = TrialState.COMPLETE if values else TrialState.FAIL
        with self._recording(), in_one_write(self.storage):
            if outcome is not None:
                self.storage.set_trial_user_attr(trial_id, "outcome", outcome)
            self.storage.set_trial_state_values(trial_id, state, values)

    @property
    def _place(self) -> str:
        return without_password(self.database) if self.database else str(self.folder / JOURNAL)

    def _recording(self) -> AbstractContextManager[None]:
        return recording(self._place)

    def _write_curve(self, number: int, curve: Sequence[Epoch]) -> None:
        rows = [f"{row.epoch},{row.train_loss:.6f},{row.accuracy:.6f},{row.seconds:.3f}\n" for row in curve]
        text = "epoch,train_loss,accuracy,seconds\n" + "".join(rows)
        # For the eye: what the search goes by is in the storage.
        write_text(self.candidate_file(number, CURVE), text, durable=False)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
