"""Everything that the views need of one run, read once, when a view asks for it, and kept as plain data."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from bft_nas.core.errors import printable
from bft_nas.record.latency import LATENCY_FILE, Latency

if TYPE_CHECKING:
    from pathlib import Path

    import optuna

    from bft_nas.record import Run
    from bft_nas.record.standings import Verdict

PROPOSAL_COLUMNS = ("number", "started", "ended", "proposing", "repeats", "budget")
"""Of `RunData.proposals`, before the sampled parameters."""
SECONDS_BETWEEN_LOOKS = 5
"""At a study that is in a database."""
# What changes when a search or a comparison records something.
RECORDS = ("study.journal", "references.csv", "confirmations.csv", LATENCY_FILE, "results.csv", "run.yaml")


@dataclass(frozen=True)
class RunData:
    """One run at one moment."""

    name: str
    budgets: tuple[int, ...]
    """MACs, smallest first."""
    epochs: int
    """Of a whole training."""
    rungs: tuple[int, ...]
    """The epochs after which candidates are stopped; none without early stopping."""
    facts: tuple[tuple[str, str], ...]
    """Names and values for people: the space, the data, the protocol's hash."""
    results: pd.DataFrame
    """See `bft_nas.record.run.Run.results`."""
    references: pd.DataFrame
    """See `bft_nas.record.run.Run.references`."""
    imagenet: bool
    """The data is ImageNet, whose accuracies compare with published ones."""
    read_curves: Callable[[], pd.DataFrame]
    """See `curves`."""
    read_proposals: Callable[[], pd.DataFrame]
    """See `proposals`."""
    headed: frozenset[str] = frozenset()
    """Families whose last fusion is that of the head."""
    verdicts: tuple[Verdict, ...] = ()
    """What was confirmed, of each budget for which it was."""
    control: str = ""
    """What random search would have found, in a sentence; empty where that is not known."""
    latencies: tuple[Latency, ...] = ()
    """What was measured, in every setup; results and references have that of the first of `setups_of`."""

    @cached_property
    def curves(self) -> pd.DataFrame:
        """See `bft_nas.record.run.Run.curves`; read when a view asks for them, as each is a file."""
        return self.read_curves()

    @cached_property
    def proposals(self) -> pd.DataFrame:
        """One row a trial: `PROPOSAL_COLUMNS`, then a column for each sampled parameter, empty where none was sampled.

        ``started`` and ``ended`` are times of day by the clock of the search's machine, ``proposing`` is in seconds,
        ``repeats`` the number of the candidate that the proposal is the same as; each is empty where it is not known.
        """
        return self.read_proposals()

    @property
    def clock(self) -> dict[str, float]:
        """The seconds spent proposing, training and waiting, over all candidates.

        Waiting is what is left of the time between a candidate's proposal and its end: for a worker, for a search
        that was interrupted, or stopped until it was promoted.
        """
        training = (
            self.results.set_index("number")["seconds"] if len(self.results) else pd.Series(dtype=float)
        )
        proposals = self.proposals.set_index("number")
        proposing = proposals["proposing"].fillna(0.0)
        alive = (proposals["ended"] - proposals["started"]).dt.total_seconds()
        waiting = (alive - proposing - training.reindex(alive.index)).clip(lower=0.0)
        return {
            "proposing": float(proposing.sum()),
            "training": float(training.sum()),
            "waiting": float(waiting.sum()),
        }


def read_run(run: Run) -> RunData:
    """Read a run as it is now; an opened run that is read again reads only what is new of its journal.

    Raises:
        UserError: a file of the run cannot be read.
    """
    from bft_nas.data.dataset import IMAGENET_CLASSES
    from bft_nas.record.facts import result_facts
    from bft_nas.record.placement import headed_families
    from bft_nas.record.standings import verdicts
    from bft_nas.searching.control import control_text
    from bft_nas.searching.halving import Halving

    settings, results, references = run.settings, run.results(), run.references()
    # As they are now: each is replaced when it changes.
    trials = run.ledger.trials()
    halving = settings.scheduler == "halving"
    rungs = Halving(settings.eta, settings.min_epochs, settings.epochs).rungs if halving else ()
    return RunData(
        name=printable(run.name),
        budgets=settings.budgets,
        epochs=settings.epochs,
        rungs=rungs,
        facts=tuple((name, printable(value)) for name, value in result_facts(run, results)),
        results=results,
        references=references,
        imagenet=run.protocol.data_classes == IMAGENET_CLASSES,
        read_curves=lambda: run.curves(results["number"]),
        read_proposals=lambda: _proposals(trials),
        headed=headed_families(run, results),
        verdicts=verdicts(
            results, references, run.confirmations(), settings.budgets, run.protocol.validation_images
        ),
        control=control_text(run),
        latencies=run.latencies(),
    )


def signature(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """What differs as soon as a run's records have changed; cheap, and empty where there is no run (any more)."""
    found = []
    for name in RECORDS:
        try:
            facts = (folder / name).stat()
        except OSError:
            continue
        found.append((name, facts.st_mtime_ns, facts.st_size))
    if found and not (folder / "study.journal").exists():
        # The study is in a database, which is asked again now and then.
        found.append(("database", int(time.time() / SECONDS_BETWEEN_LOOKS), 0))
    return tuple(found)


def _proposals(trials: list[optuna.trial.FrozenTrial]) -> pd.DataFrame:
    rows: list[Mapping[str, Any]] = [
        {
            **trial.params,
            "number": trial.number,
            "started": trial.datetime_start,
            "ended": trial.datetime_complete,
            "proposing": trial.user_attrs.get("candidate", {}).get("proposing"),
            "repeats": trial.user_attrs.get("repeats"),
            "budget": trial.user_attrs.get("candidate", {}).get("budget", trial.params.get("budget")),
        }
        for trial in trials
    ]
    frame = pd.DataFrame(rows)
    parameters = [name for name in frame.columns if name not in PROPOSAL_COLUMNS]
    frame = frame.reindex(columns=[*PROPOSAL_COLUMNS, *parameters])
    return frame.astype({"started": "datetime64[ns]", "ended": "datetime64[ns]", "proposing": "float64"})
