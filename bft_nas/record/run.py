"""A run's directory: its settings, the study, a folder a candidate, and the results as a DataFrame.

::

    runs/NAME/run.yaml                      the command, settings, protocol, space and versions
              study.journal                 Optuna's storage: what was proposed and what came of it
              candidates/0007/architecture.json, curve.csv, weights.safetensors (of the front only),
                              checkpoint.pt (as long as it is trained), traceback.txt (if it failed by an error)
              references.csv                outcomes of the references, once they were compared
              results.csv, report.html
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bft_nas.core.errors import UserError, one_line, printable
from bft_nas.core.files import write_text, writing
from bft_nas.network import Architecture, cost
from bft_nas.record.candidate import Candidate, Progress
from bft_nas.record.members import Members
from bft_nas.record.run_file import RUN_FILE, DataFacts, Settings, read_run_file, rewrite_data, write_run_file
from bft_nas.record.run_folder import RUNS, find_run_folder, make_run_folder, run_names
from bft_nas.record.storage import (
    JOURNAL,
    mend_journal,
    open_database,
    open_journal,
    recording,
    without_password,
)
from bft_nas.space.space import Proposal, SearchSpace

if TYPE_CHECKING:
    import optuna
    import pandas as pd
    from torch import Tensor

    from bft_nas.training.curve import Epoch
    from bft_nas.training.protocol import Protocol

__all__ = [
    "COLUMNS",
    "REFERENCE_COLUMNS",
    "RUNS",
    "Candidate",
    "DataFacts",
    "Run",
    "Settings",
    "Standing",
    "facts_of",
    "run_names",
]

COLUMNS = (
    "number",
    "state",
    "family",
    "resolution",
    "budget",
    "macs",
    "params",
    "peak_memory",
    "butterfly_share",
    "fusions",
    "accuracy",
    "epochs",
    "seconds",
    "reason",
    "hash",
)
"""Of `Run.results`: the state is complete, stopped or failed; accuracy is 0 to 1, after the last epoch that there was,
and NaN where training failed; peak_memory in bytes, seconds of training."""
REFERENCE_COLUMNS = ("name", "width", *COLUMNS[1:])
"""Of `Run.references`: the reference's name and width multiplier, then as in `Run.results`."""


@dataclass(frozen=True)
class Standing:
    """How far a run is."""

    ended: int
    """Candidates with an outcome, those that were stopped early included."""
    running: int
    """Candidates that a living process trains."""
    orphans: tuple[int, ...]
    """Candidates whose process was killed, and that resume from their last epoch."""


class Run:
    """One search's directory under ``runs/``.

    Raises:
        UserError: the directory cannot be written, or is no run.

    >>> run = Run.open("mobile-50M")  # doctest: +SKIP
    >>> run.results().sort_values("accuracy").tail(3)  # doctest: +SKIP
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        content = read_run_file(folder)
        self.settings = content.settings
        self.created = content.created
        self.space_text = content.space
        self.data = content.data
        self._protocol = content.protocol
        self.protocol_hash = content.protocol_hash
        self.data_name = str(content.protocol["data"])
        self.members = Members(folder)
        self.database = content.settings.storage
        """The URL of the storage, where it is no journal in the folder."""

    @classmethod
    def create(
        cls,
        name: str | None,
        settings: Settings,
        space: SearchSpace,
        protocol: Protocol,
        *,
        data: DataFacts,
        runs: Path = RUNS,
        command: str = "",
    ) -> Run:
        """Make a new run's directory, complete or not at all; without a name, one is made from the settings."""

        def fill(folder: Path) -> None:
            (folder / "candidates").mkdir()
            write_run_file(folder, settings, space, protocol, data, command)

        return cls(make_run_folder(runs, name, settings, fill))

    @classmethod
    def open(cls, name: str, *, runs: Path = RUNS) -> Run:
        """The run of that name under ``runs``, or in the folder of that path."""
        return cls(find_run_folder(runs, name))

    @property
    def name(self) -> str:
        """The directory's name."""
        return self.folder.resolve().name

    def move_data(self, place: str) -> None:
        """Keep where the run's data are now."""
        if place != self.settings.data:
            rewrite_data(self.folder, place)
            self.settings = replace(self.settings, data=place)

    @cached_property
    def space(self) -> SearchSpace:
        """The space as it was when the search began."""
        settings = self.settings
        return SearchSpace.parse(
            self.space_text,
            where=f"{self.folder}/{RUN_FILE}",
            name=Path(settings.space).stem,
            resolutions=settings.resolutions,
            classes=settings.classes,
        )

    @cached_property
    def protocol(self) -> Protocol:
        """The protocol under which every candidate of the run is trained."""
        from bft_nas.training.protocol import Protocol

        try:
            return Protocol.from_dict(self._protocol)
        except UserError as error:
            raise UserError(f"{self.folder / RUN_FILE}: {error}") from None

    @cached_property
    def storage(self) -> optuna.storages.BaseStorage:
        """Optuna's storage, which owns the study."""
        return open_database(self.database) if self.database else open_journal(self.folder / JOURNAL)

    @cached_property
    def study(self) -> optuna.Study:
        """Optuna's study: accuracy up, MACs down."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        name = self.settings.study
        try:
            return optuna.load_study(study_name=name, storage=self.storage)
        except KeyError:
            # Not `load_if_exists`, which writes to the journal even where there is a study.
            with self._recording():
                return optuna.create_study(
                    storage=self.storage, study_name=name, directions=["maximize", "minimize"]
                )

    def mend(self) -> str | None:
        """Make a damaged journal readable again; what was done, or None when there was nothing to do."""
        if self.database:
            return None
        return mend_journal(self.folder / JOURNAL, lambda: Run(self.folder)._recognised())

    def _recognised(self) -> int:
        """How many candidates of the study are those that their folders describe."""
        trials = self.study.get_trials(deepcopy=False)
        known = {t.number: t.user_attrs["candidate"]["hash"] for t in trials if "candidate" in t.user_attrs}
        return sum(self.architecture(number).hash == hash_ for number, hash_ in known.items())

    def propose(self, trial: optuna.Trial, proposal: Proposal, budget: int) -> Candidate:
        """Record what is about to be trained."""
        architecture = proposal.architecture
        description = self._file(trial.number, "architecture.json")
        with writing(description):
            description.parent.mkdir(parents=True, exist_ok=True)
        write_text(description, architecture.to_json())
        facts = facts_of(architecture, budget)
        if trial.datetime_start is not None:
            facts["proposing"] = (datetime.now() - trial.datetime_start).total_seconds()
        with self._recording():
            trial.set_user_attr("candidate", facts)
        self._note(trial.number, "owner", self.members.me)
        return Candidate(trial.number, architecture, facts["macs"], budget)

    def checkpoint_file(self, number: int) -> Path:
        """Where a candidate's training is kept from epoch to epoch."""
        return self._file(number, "checkpoint.pt")

    def weights_file(self, number: int) -> Path:
        """Where a candidate's trained weights are, as long as it is on the front."""
        return self._file(number, "weights.safetensors")

    def finish(self, candidate: Candidate, curve: Sequence[Epoch], seconds: float) -> None:
        """Record a trained candidate; its weights are kept as long as it is on the front."""
        self._write_curve(candidate.number, curve)
        accuracy, macs = curve[-1].accuracy, candidate.macs
        self._note(
            candidate.number, "outcome", {"accuracy": accuracy, "epochs": len(curve), "seconds": seconds}
        )
        self._tell(candidate.number, [accuracy, macs])
        self.checkpoint_file(candidate.number).unlink(missing_ok=True)
        self._forget_weights_behind_the_front()

    def fail(self, candidate: Candidate, reason: str, seconds: float, traceback: str = "") -> None:
        """Record that a candidate's training failed, and why; a traceback is kept in its folder."""
        if traceback:
            write_text(self.traceback(candidate), traceback)
        self._note(candidate.number, "outcome", {"reason": reason, "seconds": seconds})
        self._tell(candidate.number)
        self.checkpoint_file(candidate.number).unlink(missing_ok=True)

    def traceback(self, candidate: Candidate) -> Path:
        """Where the traceback is kept of a candidate that failed by an error."""
        return self._file(candidate.number, "traceback.txt")

    def advance(self, candidate: Candidate, curve: Sequence[Epoch]) -> None:
        """Record how far a candidate has come."""
        content = {"accuracies": [row.accuracy for row in curve]}
        if content != self._trial(candidate.number).user_attrs.get("progress"):
            self._note(candidate.number, "progress", content)

    def stop(self, candidate: Candidate, curve: Sequence[Epoch], seconds: float) -> None:
        """Record that a candidate was stopped early; its checkpoint stays, since that may change."""
        self._write_curve(candidate.number, curve)
        content = {"accuracies": [row.accuracy for row in curve], "stopped": True, "seconds": seconds}
        self._note(candidate.number, "progress", content)

    def progress(self) -> dict[int, Progress]:
        """How far every candidate has come that has not failed, by number."""
        known = {}
        for trial in self.study.get_trials(deepcopy=False):
            progress, failed = trial.user_attrs.get("progress"), trial.state.name == "FAIL"
            if progress and not failed and "candidate" in trial.user_attrs:
                known[trial.number] = Progress(
                    trial.user_attrs["candidate"]["macs"],
                    tuple(progress["accuracies"]),
                    bool(progress.get("stopped")),
                )
        return known

    def claim(self, number: int) -> Candidate:
        """Make a candidate this process's own, to be trained on; where it was stopped before, it is no longer."""
        self._note(number, "owner", self.members.me)
        progress = self._trial(number).user_attrs.get("progress")
        if progress and progress.get("stopped"):
            self._note(number, "progress", {"accuracies": progress["accuracies"]})
        return self.candidate(number)

    def is_own(self, candidate: Candidate) -> bool:
        """Whether a candidate is still this process's: one that is silent for long is taken to be dead."""
        return bool(self._trial(candidate.number).user_attrs.get("owner") == self.members.me)

    def candidate(self, number: int) -> Candidate:
        """A candidate as it was proposed."""
        facts = self._trial(number).user_attrs["candidate"]
        return Candidate(number, self.architecture(number), facts["macs"], facts["budget"])

    def repeat(self, trial: optuna.Trial, proposal: Proposal, earlier: int) -> None:
        """Answer a proposal that was evaluated before from the record of then."""
        self._note(trial.number, "repeats", earlier)
        self._tell(trial.number, self._trial(earlier).values)

    def standing(self, own: Container[int] = ()) -> Standing:
        """How far the run is, when ``own`` are the numbers of the candidates that this process trains.

        To be called in a turn of `Members`. Those that had been trained to the end when their process was killed are
        recorded in the study here; proposals that were cut off before their architecture was on disk are closed.
        """
        ended = running = 0
        orphans = []
        for trial in self.study.get_trials(deepcopy=False):
            if _has_ended(trial):
                ended += 1
                continue
            if trial.state.is_finished():
                continue
            outcome, facts = trial.user_attrs.get("outcome"), trial.user_attrs.get("candidate")
            if trial.number in own or self.members.is_other(trial.user_attrs.get("owner", "")):
                running += 1
            elif facts is None:
                self._tell(trial.number)
            elif outcome is None:
                orphans.append(trial.number)
            else:
                self._tell(
                    trial.number, None if "reason" in outcome else [outcome["accuracy"], facts["macs"]]
                )
                ended += 1
        return Standing(ended, running, tuple(orphans))

    def proposed(self) -> int:
        """How many proposals came as far as an architecture, repeated ones included: the sampler's position."""
        trials = self.study.get_trials(deepcopy=False)
        return sum("candidate" in t.user_attrs or "repeats" in t.user_attrs for t in trials)

    def known(self) -> dict[str, int]:
        """The number of every candidate that has an outcome or is being trained, by the hash of its architecture."""
        return {
            trial.user_attrs["candidate"]["hash"]: trial.number
            for trial in self.study.get_trials(deepcopy=False)
            if "candidate" in trial.user_attrs
        }

    def results(self) -> pd.DataFrame:
        """One row a candidate with an outcome, in order of number; the columns are `COLUMNS`."""
        import pandas as pd

        rows = []
        for trial in self.study.get_trials(deepcopy=False):
            try:
                if _has_ended(trial):
                    rows.append(
                        {"number": trial.number, **_outcome_of(trial), **trial.user_attrs["candidate"]}
                    )
            except (LookupError, TypeError, AttributeError) as error:
                raise UserError(
                    f"run '{self.name}': candidate {trial.number} of its study cannot be read"
                    f" ({type(error).__name__}: {one_line(error)})"
                ) from None
        return pd.DataFrame(rows, columns=list(COLUMNS))

    def curves(self) -> pd.DataFrame:
        """The learning curves of all candidates: number, epoch, train_loss, accuracy, seconds."""
        import pandas as pd

        columns = ["number", "epoch", "train_loss", "accuracy", "seconds"]
        lines = []
        for number in self.results()["number"]:
            try:
                _, *rows = self._file(number, "curve.csv").read_text(encoding="utf-8").splitlines()
            except (OSError, ValueError):
                continue
            lines += [f"{number},{row}" for row in rows]
        # Read at once: a reader for each of thousands of files takes many times as long.
        return (
            pd.read_csv(StringIO("\n".join(lines)), names=columns) if lines else pd.DataFrame(columns=columns)
        )

    def record_references(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep the outcomes of the references under the run's protocol; the keys of a row are `REFERENCE_COLUMNS`."""
        import pandas as pd

        frame = pd.DataFrame(rows, columns=list(REFERENCE_COLUMNS))
        write_text(self.folder / "references.csv", frame.to_csv(index=False))

    def references(self) -> pd.DataFrame:
        """One row a reference and budget, in the order of training; the columns are `REFERENCE_COLUMNS`."""
        import pandas as pd

        path = self.folder / "references.csv"
        if not path.is_file():
            return pd.DataFrame(columns=list(REFERENCE_COLUMNS))
        try:
            return pd.read_csv(path, keep_default_na=False, na_values={"accuracy": ""})[
                list(REFERENCE_COLUMNS)
            ]
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{path}: expected the references of the run ({one_line(error)})") from None

    def write_results(self) -> Path:
        """Write `results` and, with their names and without numbers, `references` as results.csv; return its path."""
        import pandas as pd

        path = self.folder / "results.csv"
        results, references = self.results(), self.references()
        if not references.empty:
            results = pd.concat([results.astype({"number": "Int64"}), references], ignore_index=True)
        write_text(path, results.to_csv(index=False))
        return path

    def row(self, number: int) -> dict[str, Any]:
        """A candidate's row of `results`; UserError naming the ones there are when there is none."""
        results = self.results()
        found = results[results["number"] == number]
        if found.empty:
            numbers = ", ".join(map(str, results["number"])) or "none, as none is finished"
            raise UserError(f"candidate {number}: not in run '{self.name}'; expected {_shorten(numbers)}")
        return {str(key): value for key, value in found.iloc[0].items()}

    def architecture(self, number: int) -> Architecture:
        """A candidate's architecture, from its folder."""
        path = self._file(number, "architecture.json")
        try:
            return Architecture.from_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: expected an architecture ({one_line(error)})") from None

    def weights(self, number: int) -> dict[str, Tensor]:
        """A candidate's trained weights; UserError when it failed or is not on the front."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        row = self.row(number)
        if row["state"] == "failed":
            raise UserError(
                f"candidate {number}: its training failed ({row['reason']}); expected a trained one"
            )
        path = self.weights_file(number)
        if not path.is_file():
            kept = sorted(int(p.parent.name) for p in self.folder.glob("candidates/*/weights.safetensors"))
            raise UserError(
                f"candidate {number}: weights are kept for the front only; expected one of "
                f"{', '.join(map(str, kept))}"
            )
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path}: expected weights ({one_line(error)})") from None

    def _forget_weights_behind_the_front(self) -> None:
        from bft_nas.record.pareto import front

        kept = set(front(self.results())["number"])
        for path in self.folder.glob("candidates/*/weights.safetensors"):
            if int(path.parent.name) not in kept:
                path.unlink()

    def _trial(self, number: int) -> optuna.trial.FrozenTrial:
        return self.study.get_trials(deepcopy=False)[number]

    def _note(self, number: int, key: str, content: Any) -> None:
        with self._recording():
            study_id = self.storage.get_study_id_from_name(self.settings.study)
            trial_id = self.storage.get_trial_id_from_study_id_trial_number(study_id, number)
            self.storage.set_trial_user_attr(trial_id, key, content)

    def _tell(self, number: int, values: Sequence[float] | None = None) -> None:
        """Close a trial: with its values, or as failed without any."""
        import optuna

        state = None if values else optuna.trial.TrialState.FAIL
        with self._recording():
            self.study.tell(number, values, state)

    def _recording(self) -> AbstractContextManager[None]:
        return recording(without_password(self.database) if self.database else str(self.folder / JOURNAL))

    def _write_curve(self, number: int, curve: Sequence[Epoch]) -> None:
        rows = [f"{row.epoch},{row.train_loss:.6f},{row.accuracy:.6f},{row.seconds:.3f}\n" for row in curve]
        write_text(self._file(number, "curve.csv"), "epoch,train_loss,accuracy,seconds\n" + "".join(rows))

    def _file(self, number: int, name: str) -> Path:
        return self.folder / "candidates" / f"{number:04d}" / name


def _is_stopped(trial: optuna.trial.FrozenTrial) -> bool:
    """The study takes it for running, so that it can still become complete."""
    return bool(trial.user_attrs.get("progress", {}).get("stopped")) and not trial.state.is_finished()


def _has_ended(trial: optuna.trial.FrozenTrial) -> bool:
    return "candidate" in trial.user_attrs and (trial.state.is_finished() or _is_stopped(trial))


def _outcome_of(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    if _is_stopped(trial):
        progress = trial.user_attrs["progress"]
        accuracies = progress["accuracies"]
        return {
            "state": "stopped",
            "accuracy": accuracies[-1],
            "epochs": len(accuracies),
            "seconds": progress["seconds"],
            "reason": f"stopped after epoch {len(accuracies)}",
        }
    outcome = trial.user_attrs.get("outcome", {})
    return {
        "state": "complete" if trial.values else "failed",
        "accuracy": trial.values[0] if trial.values else float("nan"),
        "epochs": outcome.get("epochs", 0),
        "seconds": outcome.get("seconds", 0.0),
        "reason": printable(outcome.get("reason", "")),
    }


def facts_of(architecture: Architecture, budget: int) -> dict[str, Any]:
    """What `COLUMNS` say of a network itself, in plain values; the budget in MACs is that it was made for."""
    counted = cost(architecture)
    return {
        "family": architecture.family,
        "resolution": architecture.resolution,
        "budget": budget,
        "macs": counted.macs,
        "params": counted.params,
        "peak_memory": counted.peak_memory,
        "butterfly_share": round(counted.butterfly_share, 4),
        "fusions": architecture.fusion_pattern,
        "hash": architecture.hash,
    }


def _shorten(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
