"""A run's directory: its settings, the study, a folder a candidate, and the results as a DataFrame.

::

    runs/NAME/run.yaml                      the command, settings, protocol, space and versions
              study.journal                 Optuna's storage: what was proposed and what came of it
              candidates/0007/architecture.json, curve.csv, weights.safetensors (of the front only),
                              checkpoint.pt (as long as it is trained), traceback.txt (if it failed by an error)
                              confirmed.safetensors (of the best seed of its confirmation)
              layer_table.json                what latencies are predicted from, where they are
              references.csv                outcomes of the references, once they were compared
              confirmations.csv             outcomes of the longer trainings that name the winner, by seed
              latency.json                  how long networks take for one image, and on what
              results.csv, report.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bft_nas.core.errors import UserError, one_line, shortened
from bft_nas.core.files import write_text
from bft_nas.core.options import BUDGETS
from bft_nas.core.units import format_macs
from bft_nas.network import Architecture, cost
from bft_nas.record.candidate import ARCHITECTURE, CONFIRMED_WEIGHTS, CURVE, WEIGHTS
from bft_nas.record.columns import PREDICTED, REFERENCE_NAMES, RESULT_NAMES, facts_of
from bft_nas.record.confirmations import (
    ConfirmedNetwork,
    confirmed_networks,
    read_confirmations,
    with_confirmed,
    write_confirmations,
)
from bft_nas.record.journal_repair import repair_journal
from bft_nas.record.latency import Latency, add_latencies, read_latencies, with_latency
from bft_nas.record.ledger import Ledger
from bft_nas.record.members import Members
from bft_nas.record.pareto import OBJECTIVES, front, winners
from bft_nas.record.run_file import RUN_FILE, DataFacts, read_run_file, rewrite_settings, write_run_file
from bft_nas.record.run_folder import RUNS, find_run_folder, make_run_folder
from bft_nas.record.settings import Settings
from bft_nas.record.storage import JOURNAL
from bft_nas.space.space import SearchSpace

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from bft_nas.training.protocol import Protocol

LAYER_TABLE = "layer_table.json"
KEPT_WEIGHTS = (CONFIRMED_WEIGHTS, WEIGHTS)
"""Of a candidate, the better ones first."""


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
        layer_table: str = "",
    ) -> Self:
        """Make a new run's directory, complete or not at all; without a name, one is made from the settings."""

        def fill(folder: Path) -> None:
            (folder / "candidates").mkdir()
            write_run_file(folder, settings, space, protocol, data, command)
            if layer_table:
                write_text(folder / LAYER_TABLE, layer_table)

        return cls(make_run_folder(runs, name, settings, fill))

    @classmethod
    def open(cls, name: str, *, runs: Path = RUNS) -> Self:
        """The run of that name under ``runs``, or in the folder of that path."""
        return cls(find_run_folder(runs, name))

    @property
    def name(self) -> str:
        """The directory's name, that of the link where it is one."""
        return self.folder.name if self.folder.is_symlink() else self.folder.resolve().name

    @property
    def found_by(self) -> str:
        """What a command that is told of no other folder finds it by: its name, or its path if not under ``runs``."""
        return self.name if self.folder.parent == RUNS else str(self.folder)

    def keep(self, **changes: Any) -> None:
        """Keep what changed of its settings: where the run's data are now, at what its winner is confirmed."""
        settings = replace(self.settings, **changes)
        if settings != self.settings:
            rewrite_settings(self.folder, changes)
            self.settings = settings

    @cached_property
    def space(self) -> SearchSpace:
        """The space as it was when the search began."""
        settings = self.settings
        space = SearchSpace.parse(
            self.space_text,
            where=f"{self.folder}/{RUN_FILE}",
            name=Path(settings.space).stem,
            resolutions=settings.resolutions,
            classes=settings.classes,
        )
        return space if settings.fusion is None else space.restricted(fusion=settings.fusion)

    @cached_property
    def protocol(self) -> Protocol:
        """The protocol under which every candidate of the run is trained."""
        from bft_nas.training.protocol import Protocol

        try:
            return Protocol.from_dict(self._protocol)
        except UserError as error:
            raise UserError(f"{self.folder / RUN_FILE}: {error}") from None

    @cached_property
    def ledger(self) -> Ledger:
        """The record of its candidates."""
        return Ledger(self.folder, self.settings.study, self.database, self.members)

    def repair_journal(self) -> str | None:
        """Make a damaged journal readable again; what was done, or None when there was nothing to do."""
        if self.database:
            return None
        return repair_journal(self.folder / JOURNAL, lambda: Run(self.folder)._recognised(), self._facts)

    def _recognised(self) -> int:
        """How many candidates of the study are those that their folders describe."""
        entries = self.ledger.history.entries
        return sum(self._describes(entry.number, entry.facts["hash"]) for entry in entries if entry.facts)

    def _facts(self, number: int) -> dict[str, Any] | None:
        """What a candidate's folder says of it, for the smallest budget that it fits; None where there is none."""
        try:
            architecture = self._described(number)
        except UserError:
            return None
        budgets = self.settings.budgets
        macs = cost(architecture).macs
        return facts_of(architecture, next((budget for budget in budgets if macs <= budget), budgets[-1]))

    def _describes(self, number: int, architecture_hash: str) -> bool:
        try:
            return self._described(number).hash == architecture_hash
        except UserError:
            return False

    def results(self) -> pd.DataFrame:
        """One row a candidate with an outcome, in order of number.

        The columns are `RESULT_NAMES`, those of `bft_nas.record.columns.PREDICTED_COLUMNS` where the run predicts
        latencies, those of `bft_nas.record.columns.CONFIRMED_COLUMNS` once any network of the run was confirmed, and
        `bft_nas.record.columns.LATENCY_COLUMNS` once one was measured.
        """
        import pandas as pd

        rows = self.ledger.history.rows()
        names = [*RESULT_NAMES, *([PREDICTED] if self.settings.latency_runtime else [])]
        confirmed = with_confirmed(pd.DataFrame(rows, columns=names), self._confirmed())
        return with_latency(confirmed, self.latencies())

    def latencies(self) -> tuple[Latency, ...]:
        """What was measured of its networks, in every setup."""
        return read_latencies(self.folder)

    def record_latencies(self, latencies: Iterable[Latency]) -> None:
        """Keep what was measured of networks."""
        add_latencies(self.folder, latencies)

    def confirmations(self) -> pd.DataFrame:
        """One row a network and seed of the confirmation; the columns are `CONFIRMATION_NAMES`."""
        return read_confirmations(self.folder)

    def record_confirmations(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep the outcomes of the confirmation; the keys of a row are `CONFIRMATION_NAMES`."""
        write_confirmations(self.folder, rows)

    def _confirmed(self) -> tuple[ConfirmedNetwork, ...]:
        return confirmed_networks(self.confirmations())

    def curves(self, numbers: Iterable[int] | None = None) -> pd.DataFrame:
        """The learning curves of candidates, by default of all: number, epoch, train_loss, accuracy, seconds."""
        import pandas as pd

        columns = ["number", "epoch", "train_loss", "accuracy", "seconds"]
        lines = []
        for number in self.results()["number"] if numbers is None else numbers:
            try:
                _, *rows = self.ledger.candidate_file(number, CURVE).read_text(encoding="utf-8").splitlines()
            except (OSError, ValueError):
                continue
            lines += [f"{number},{row}" for row in rows]
        # Read at once: a reader for each of thousands of files takes many times as long.
        return (
            pd.read_csv(StringIO("\n".join(lines)), names=columns) if lines else pd.DataFrame(columns=columns)
        )

    def record_references(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep the outcomes of the references under the run's protocol; the keys of a row are `REFERENCE_NAMES`."""
        import pandas as pd

        frame = pd.DataFrame(rows, columns=list(REFERENCE_NAMES))
        write_text(self.folder / "references.csv", frame.to_csv(index=False))

    def references(self) -> pd.DataFrame:
        """One row a reference and budget, in the order of training.

        The columns are `REFERENCE_NAMES`, and as in `results` those that are known later.
        """
        return with_latency(with_confirmed(self._references(), self._confirmed()), self.latencies())

    def _references(self) -> pd.DataFrame:
        import pandas as pd

        path = self.folder / "references.csv"
        if not path.is_file():
            return pd.DataFrame(columns=list(REFERENCE_NAMES))
        try:
            # A hash of digits alone is no number.
            read = pd.read_csv(path, dtype={"hash": str}, keep_default_na=False, na_values={"accuracy": ""})
            if missing := {"name", *(objective.column for objective in OBJECTIVES)} - {*read.columns}:
                raise KeyError(*sorted(missing))
            # A column that the version which wrote them did not have is empty.
            return read.reindex(columns=list(REFERENCE_NAMES))
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

    def front(self) -> pd.DataFrame:
        """The rows of `results` that no other one dominates, by rising MACs."""
        return front(self.results())

    def winner(self, budget: str | float | None = None) -> dict[str, Any]:
        """The row of `results` of the most accurate candidate within a budget, by default the run's largest.

        By the accuracy that was confirmed (``confirmed``, with its standard error in ``confirmed_error``), where any
        was within the budget; otherwise by that of the proxy training alone.

        Args:
            budget: in MACs, such as ``"50M"``; any, whatever the run searched for.

        Raises:
            UserError: no trained candidate is within the budget.
        """
        budgets = self.settings.budgets if budget is None else BUDGETS.convert(budget)
        best = winners(self.results(), budgets[-1:])
        if best.empty:
            # A run's largest budget holds whatever was trained.
            where = "" if budget is None else f" within {format_macs(budgets[-1])}"
            raise UserError(
                f"run '{self.name}': no trained candidate{where} yet; expected a run with a winner"
            )
        (row,) = best.drop(columns="for_budget").to_dict("records")
        return {str(key): value for key, value in row.items()}

    def number_or_winner(self, number: int | None) -> int:
        """The number of a candidate, or that of the winner of the largest budget.

        Raises:
            UserError: no trained candidate yet.
        """
        return int(self.winner()["number"]) if number is None else number

    def row(self, number: int) -> dict[str, Any]:
        """A candidate's row of `results`; UserError naming the ones there are when there is none."""
        results = self.results()
        found = results[results["number"] == number]
        if found.empty:
            numbers = ", ".join(map(str, results["number"])) or "none, as none is finished"
            raise UserError(f"candidate {number}: not in run '{self.name}'; expected {shortened(numbers)}")
        return {str(key): value for key, value in found.iloc[0].items()}

    def architecture(self, number: int) -> Architecture:
        """A candidate's architecture, from its folder; UserError naming the ones there are when there is none."""
        try:
            return self._described(number)
        except UserError:
            # That there is no such candidate says more than that it has no file.
            self.row(number)
            raise

    def _described(self, number: int) -> Architecture:
        """What a candidate's folder says it is; never asks the record, which may be what is repaired by it."""
        path = self.ledger.candidate_file(number, ARCHITECTURE)
        try:
            return Architecture.from_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: expected an architecture ({one_line(error)})") from None

    def weights_file(self, number: int) -> Path | None:
        """Where a candidate's trained weights are, the best there are; None where none were kept."""
        paths = (self.ledger.candidate_file(number, name) for name in KEPT_WEIGHTS)
        return next((path for path in paths if path.is_file()), None)

    def weights(self, number: int) -> dict[str, Tensor]:
        """A candidate's trained weights: of the best seed of its confirmation, or else of its proxy training.

        Raises:
            UserError: it failed, or is not on the front and was not confirmed.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        row = self.row(number)
        if row["state"] == "failed":
            raise UserError(
                f"candidate {number}: its training failed ({row['reason']}); expected a trained one"
            )
        path = self.weights_file(number)
        if path is None:
            kept = sorted(
                {
                    int(p.parent.name)
                    for name in KEPT_WEIGHTS
                    for p in self.folder.glob(f"candidates/*/{name}")
                }
            )
            raise UserError(
                f"candidate {number}: weights are kept for the front only, and for what was confirmed; expected one of "
                f"{', '.join(map(str, kept))}"
            )
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path}: expected weights ({one_line(error)})") from None
