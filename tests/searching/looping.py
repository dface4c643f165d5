"""What tests of the loop share: a search of this process's own."""

from __future__ import annotations

from bft_nas.engines import local_engine
from bft_nas.record import Run
from bft_nas.searching.loop import Clock, Prepared, search
from tests.conftest import Silent


def go(run: Run, prepared: Prepared, trials: int | None = 3, seconds: float | None = None) -> Silent:
    """Search, and return what was told on the way."""
    watcher = Silent()
    engine = local_engine(prepared.images, run.protocol)
    search(run, engine, watcher, Clock(), trials=trials, seconds=seconds)
    return watcher
