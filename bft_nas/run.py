"""A run's directory: its settings, the study, a folder a candidate, and the results as a DataFrame.

::

    runs/NAME/run.yaml                      the command, settings, protocol, space and versions
              study.journal                 Optuna's storage: what was proposed and what came of it
              candidates/0007/architecture.json, curve.csv, weights.safetensors (of the front only),
                              checkpoint.pt (as long as it is trained)
              references.csv                what the references came to, once they were compared
              results.csv, report.html
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

import bft_nas
from bft_nas.errors import UserError, one_line
from bft_nas.files import write_text, write_whole
from bft_nas.halving import Progress
from bft_nas.network import Architecture, cost
from bft_nas.space import Proposal, SearchSpace
from bft_nas.units import format_macs

if TYPE_CHECKING:
    import optuna
    import pandas as pd
    from torch import Tensor

    from bft_nas.checkpoint import Epoch
    from bft_nas.jobs import Job
    from bft_nas.train import Protocol

RUNS = Path("runs")
STUDY = "search"
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
class Settings:
    """What a search was asked to do."""

    budgets: tuple[int, ...]
    space: str
    resolutions: tuple[int, ...]
    classes: int
    data: str
    images: int | None
    epochs: int
    batch_size: int
    proxy_divisor: int
    sampler: str
    seed: int
    trials: int | None
    seconds: float | None
    scheduler: str = "none"
    eta: int = 3
    min_epochs: int = 1


@dataclass(frozen=True)
class DataFacts:
    """What a network trained on the run's data needs to know of it."""

    classes: tuple[str, ...]
    mean: tuple[float, ...]
    """Of the training pixels on a scale of 0 to 1, for each of a network's three input channels."""
    std: tuple[float, ...]


@dataclass(frozen=True)
class Candidate:
    """A trial of the study that has an architecture."""

    number: int
    architecture: Architecture
    macs: int
    budget: int
    """What it was proposed for, in MACs."""


class Run:
    """One search's directory under ``runs/``.

    Raises:
        UserError: the directory cannot be written, or is no run.

    >>> run = Run.open("mobile-50M")  # doctest: +SKIP
    >>> run.results().sort_values("accuracy").tail(3)  # doctest: +SKIP
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            content = yaml.safe_load((folder / "run.yaml").read_text(encoding="utf-8"))
            settings = dict(content["settings"])
            settings["budgets"] = tuple(settings["budgets"])
            settings["resolutions"] = tuple(settings["resolutions"])
            self.settings = Settings(**settings)
            self.created = str(content["created"])
            self.space_text = str(content["space"])
            self.data = DataFacts(**{k: tuple(v) for k, v in dict(content["data"]).items()})
            self._protocol: dict[str, Any] = dict(content["protocol"])
            self.protocol_hash = str(content["protocol_hash"])
            self.data_name = str(self._protocol["data"])
        except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"run '{folder}': run.yaml cannot be read ({one_line(error)})") from None

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
        if name is not None and (not name.strip(".") or Path(name).name != name or name.startswith("-")):
            raise UserError(f"--name '{name}': expected the name of a folder, without slashes")
        folder = runs / name if name else _free_folder(runs, settings)
        if folder.exists():
            raise UserError(f"run '{name}': there is one already; expected a new name, or --resume {name}")
        content = {
            "command": command,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "settings": {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(settings).items()},
            "protocol_hash": protocol.hash,
            "protocol": protocol.to_dict(),
            "data": {k: list(v) for k, v in asdict(data).items()},
            "versions": _versions(),
            "space": space.text,
        }
        try:
            runs.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=runs))
        except OSError as error:
            raise UserError(f"--runs '{runs}': cannot be written ({error.strerror})") from None
        try:
            temporary.chmod(0o755)
            (temporary / "candidates").mkdir()
            write_text(temporary / "run.yaml", yaml.dump(content, Dumper=_Dumper, sort_keys=False))
            temporary.rename(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return cls(folder)

    @classmethod
    def open(cls, name: str, *, runs: Path = RUNS) -> Run:
        """The run of that name under ``runs``, or in the folder of that path."""
        for folder in (runs / name, Path(name)):
            if (folder / "run.yaml").is_file():
                return cls(folder)
        known = ", ".join(run_names(runs)) or "a run, but there is none yet"
        raise UserError(f"run '{name}': not found under '{runs}'; expected {known}")

    @property
    def name(self) -> str:
        """The directory's name."""
        return self.folder.resolve().name

    @cached_property
    def space(self) -> SearchSpace:
        """The space as it was when the search began."""
        settings = self.settings
        return SearchSpace.parse(
            self.space_text,
            where=f"{self.folder}/run.yaml",
            name=Path(settings.space).stem,
            resolutions=settings.resolutions,
            classes=settings.classes,
        )

    @cached_property
    def protocol(self) -> Protocol:
        """The protocol under which every candidate of the run is trained."""
        from bft_nas.train import Protocol

        return Protocol.from_dict(self._protocol)

    @cached_property
    def storage(self) -> optuna.storages.BaseStorage:
        """Optuna's storage, which owns the study."""
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        return JournalStorage(JournalFileBackend(str(self.folder / "study.journal")))

    @cached_property
    def study(self) -> optuna.Study:
        """Optuna's study: accuracy up, MACs down."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            # Whoever only reads a run must leave its journal as it is.
            return optuna.load_study(study_name=STUDY, storage=self.storage)
        except KeyError:
            return optuna.create_study(
                storage=self.storage,
                study_name=STUDY,
                directions=["maximize", "minimize"],
                load_if_exists=True,
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other searches and comparisons out of the run meanwhile; UserError if one is at it."""
        with (self.folder / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UserError(f"run '{self.name}': another search is working on it") from None
            yield

    def propose(self, trial: optuna.Trial, proposal: Proposal, budget: int) -> Candidate:
        """Record what is about to be trained."""
        architecture = proposal.architecture
        description = self._file(trial.number, "architecture.json")
        description.parent.mkdir(parents=True, exist_ok=True)
        write_text(description, architecture.to_json())
        facts = facts_of(architecture, budget)
        if trial.datetime_start is not None:
            facts["proposing"] = (datetime.now() - trial.datetime_start).total_seconds()
        trial.set_user_attr("candidate", facts)
        return Candidate(trial.number, architecture, facts["macs"], budget)

    def job(self, candidate: Candidate) -> Job:
        """A candidate's training, and where it keeps what."""
        from bft_nas.jobs import Job

        return Job(
            candidate,
            self._file(candidate.number, "checkpoint.pt"),
            self._file(candidate.number, "weights.safetensors"),
        )

    def finish(self, candidate: Candidate, curve: Sequence[Epoch], seconds: float) -> None:
        """Record a trained candidate; its weights are kept as long as it is on the front."""
        self._write_curve(candidate.number, curve)
        accuracy, macs = curve[-1].accuracy, candidate.macs
        self._outcome(candidate.number, {"accuracy": accuracy, "epochs": len(curve), "seconds": seconds})
        self.study.tell(candidate.number, [accuracy, macs])
        self._file(candidate.number, "checkpoint.pt").unlink(missing_ok=True)
        self._forget_weights_behind_the_front()

    def fail(self, candidate: Candidate, reason: str, seconds: float) -> None:
        """Record that a candidate's training came to nothing, and why."""
        import optuna

        self._outcome(candidate.number, {"reason": reason, "seconds": seconds})
        self.study.tell(candidate.number, state=optuna.trial.TrialState.FAIL)
        self._file(candidate.number, "checkpoint.pt").unlink(missing_ok=True)

    def advance(self, candidate: Candidate, curve: Sequence[Epoch]) -> None:
        """Record how far a candidate has come; where it was stopped before, it goes on."""
        content = {"accuracies": [row.accuracy for row in curve]}
        if content != self._trial(candidate.number).user_attrs.get("progress"):
            self._note(candidate.number, "progress", content)

    def stop(self, candidate: Candidate, curve: Sequence[Epoch], seconds: float) -> None:
        """Record that a candidate was told not to go on; its checkpoint stays, since that may change."""
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

    def candidate(self, number: int) -> Candidate:
        """A candidate as it was proposed."""
        facts = self._trial(number).user_attrs["candidate"]
        return Candidate(number, self.architecture(number), facts["macs"], facts["budget"])

    def repeat(self, trial: optuna.Trial, proposal: Proposal, earlier: int) -> None:
        """Answer a proposal that was evaluated before from the record of then."""
        import optuna

        trial.set_user_attr("repeats", earlier)
        known = self._trial(earlier)
        if known.state == optuna.trial.TrialState.COMPLETE:
            self.study.tell(trial, known.values)
        else:
            self.study.tell(trial, state=optuna.trial.TrialState.FAIL)

    def unfinished(self) -> tuple[Candidate, ...]:
        """Candidates that were proposed but have no outcome: their search was killed meanwhile.

        Those that had been trained to the end are told to the study here; proposals that were cut off before
        their architecture was on disk are closed.
        """
        import optuna

        left = []
        for trial in self.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            outcome, attributes = trial.user_attrs.get("outcome"), trial.user_attrs.get("candidate")
            if attributes is None:
                self.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            elif outcome is None:
                if not _is_stopped(trial):
                    left.append(self.candidate(trial.number))
            elif "reason" in outcome:
                self.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            else:
                self.study.tell(trial.number, [outcome["accuracy"], attributes["macs"]])
        return tuple(left)

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

    def finished(self) -> int:
        """How many candidates have an outcome, those that were stopped early included."""
        return sum(_has_ended(trial) for trial in self.study.get_trials(deepcopy=False))

    def results(self) -> pd.DataFrame:
        """One row a candidate with an outcome, in order of number; the columns are `COLUMNS`."""
        import pandas as pd

        rows = []
        for trial in self.study.get_trials(deepcopy=False):
            if _has_ended(trial):
                rows.append({"number": trial.number, **_outcome_of(trial), **trial.user_attrs["candidate"]})
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
        """Keep what the references came to under the run's protocol; the keys of a row are `REFERENCE_COLUMNS`."""
        import pandas as pd

        frame = pd.DataFrame(rows, columns=list(REFERENCE_COLUMNS))
        write_whole(self.folder / "references.csv", lambda path: frame.to_csv(path, index=False))

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
        write_whole(path, lambda temporary: results.to_csv(temporary, index=False))
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
        path = self._file(number, "weights.safetensors")
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
        from bft_nas.pareto import front

        kept = set(front(self.results())["number"])
        for path in self.folder.glob("candidates/*/weights.safetensors"):
            if int(path.parent.name) not in kept:
                path.unlink()

    def _outcome(self, number: int, outcome: Mapping[str, Any]) -> None:
        self._note(number, "outcome", outcome)

    def _trial(self, number: int) -> optuna.trial.FrozenTrial:
        return self.study.get_trials(deepcopy=False)[number]

    def _note(self, number: int, key: str, content: Mapping[str, Any]) -> None:
        study_id = self.storage.get_study_id_from_name(STUDY)
        trial_id = self.storage.get_trial_id_from_study_id_trial_number(study_id, number)
        self.storage.set_trial_user_attr(trial_id, key, dict(content))

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
        "reason": outcome.get("reason", ""),
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


def run_names(runs: Path = RUNS) -> tuple[str, ...]:
    """The names of the runs in a folder, the newest last."""
    found = [path.parent for path in runs.glob("*/run.yaml")]
    return tuple(path.name for path in sorted(found, key=lambda path: (path.stat().st_ctime, path.name)))


def _free_folder(runs: Path, settings: Settings) -> Path:
    stem = f"{Path(settings.space).stem}-{'-'.join(map(format_macs, settings.budgets))}"
    names = (stem if i == 1 else f"{stem}-{i}" for i in range(1, sys.maxsize))
    return next(runs / name for name in names if not (runs / name).exists())


def _versions() -> dict[str, str]:
    import numpy
    import optuna
    import torch

    return {
        "bft_nas": bft_nas.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "optuna": optuna.__version__,
        "numpy": numpy.__version__,
        "cores": str(os.cpu_count()),
    }


def _shorten(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, since people read run.yaml."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
