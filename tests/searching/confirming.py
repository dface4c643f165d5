"""Confirmations of tiny runs, whole and interrupted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from bft_nas.engines import local_engine
from bft_nas.record import Candidate, Run
from bft_nas.searching.confirmation import Confirmations, confirm
from bft_nas.searching.contenders import contenders_of
from bft_nas.searching.loop import Clock, Prepared
from bft_nas.searching.references import Entrant, field_of
from bft_nas.training.confirmation import Confirmation
from tests.conftest import Silent

NAME = "mobilenet_v1"


def copy_of(run: Run, folder: Path) -> Run:
    """The run among the trained references beside it."""
    shutil.copytree(run.folder.parent, folder / "runs")
    return Run(folder / "runs" / run.folder.name)


def moved_alone(run: Run, folder: Path) -> Run:
    """A copy of the run's own folder, without what is beside it."""
    return Run(Path(shutil.copytree(run.folder, folder / "moved" / run.folder.name)))


def references_of(run: Run) -> tuple[Entrant, ...]:
    return field_of(run, [NAME]).entrants


def confirmed(run: Run, prepared: Prepared, watcher: Silent | None = None) -> Silent:
    watcher = watcher or Silent()
    known = Confirmations(run, contenders_of(run, references_of(run)), Confirmation.of(run.protocol))
    confirm(known, local_engine(prepared.images, run.protocol), watcher, Clock())
    return watcher


class Positions(Silent):
    """Keeps how many others were done or under way when each training began."""

    def __init__(self) -> None:
        super().__init__()
        self.positions: list[int] = []

    def begin(self, candidate: Candidate, position: int) -> None:
        super().begin(candidate, position)
        self.positions.append(position)


class Impatient(Silent):
    """Ends a confirmation by Ctrl-C after some trainings."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def begin(self, candidate: Candidate, position: int) -> None:
        super().begin(candidate, position)
        if len(self.begun) > self.after:
            raise KeyboardInterrupt


def without_seconds(run: Run) -> pd.DataFrame:
    return run.confirmations().drop(columns="seconds")
