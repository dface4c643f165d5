"""What the tests of all engines share: the record of a search, and somebody who disturbs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from bft_nas.engines import local_engine
from bft_nas.record import Candidate, Run
from bft_nas.searching.loop import Clock, Prepared, search
from bft_nas.training.curve import Epoch
from tests.conftest import Silent, of_threads, tiny_run


def record(run: Run) -> pd.DataFrame:
    """What a run found, but for the time it took."""
    return run.results().drop(columns="seconds").set_index("number").sort_index()


def record_of_one(prepared: Prepared, runs: Path, trials: int) -> pd.DataFrame:
    """What a search in this process and with one thread finds, undisturbed."""
    run = tiny_run(runs, prepared)
    with of_threads(1):
        engine = local_engine(prepared.images, run.protocol)
        search(run, engine, Silent(), Clock(), trials=trials, seconds=None)
    return record(run)


class Meddler(Silent):
    """Does something when a candidate's epoch ends, once for each time that it is in the list."""

    def __init__(self, moments: list[tuple[int, int]], meddle: Callable[[], None]) -> None:
        super().__init__()
        self.moments = moments
        self.meddle = meddle

    def epoch(self, candidate: Candidate, row: Epoch) -> None:
        super().epoch(candidate, row)
        if (candidate.number, row.epoch) in self.moments:
            self.moments.remove((candidate.number, row.epoch))
            self.meddle()
