"""The loop with halving: who is stopped early, and what that changes of the accuracies."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bft_nas.engines import local_engine
from bft_nas.record import Candidate, Run
from bft_nas.record.pareto import front
from bft_nas.searching.halving import Halving
from bft_nas.searching.loop import (
    Clock,
    search,
)
from bft_nas.training.curve import Epoch
from tests.conftest import Silent, tiny_prepared, tiny_run
from tests.searching.looping import go


def test_halving_stops_the_worse_ones_early_and_trains_the_better_ones_to_the_end(tmp_path: Path) -> None:
    prepared = tiny_prepared(epochs=3, scheduler="halving", eta=2, seed=5)
    run = tiny_run(tmp_path, prepared)
    watcher = go(run, prepared, trials=8)
    results = run.results().set_index("number")
    assert len(results) == 8
    stopped, complete = (results[results["state"] == state] for state in ("stopped", "complete"))
    assert len(stopped) + len(complete) == 8
    assert len(stopped) >= 3
    assert (complete["epochs"] == 3).all()
    assert (stopped["epochs"] < 3).all()
    assert stopped["accuracy"].between(0, 1).all()
    # Nobody is left stopped who is among the best half of a rung.
    halving = Halving(2, 1, 3)
    assert halving.promoted(run.ledger.history.progress) is None
    for number in stopped.index:
        assert (run.folder / f"candidates/{number:04d}/checkpoint.pt").is_file()
    for number in complete.index:
        assert not (run.folder / f"candidates/{number:04d}/checkpoint.pt").exists()
    # Nothing was trained twice: every epoch of a candidate is new, but for the one that it was stopped at.
    for number in complete.index:
        told = [epoch for candidate, epoch in watcher.epochs if candidate == number]
        assert sorted(set(told)) == [1, 2, 3]
    assert set(front(run.results())["number"]) <= set(complete.index)


def test_what_halving_trained_to_the_end_is_what_no_stopping_gives(tmp_path: Path) -> None:
    prepared = tiny_prepared(epochs=3, scheduler="halving", eta=2, seed=5)
    plain = tiny_prepared(epochs=3, seed=5)
    run, whole = tiny_run(tmp_path, prepared, "halved"), tiny_run(tmp_path, plain, "whole")
    go(run, prepared, trials=6)
    go(whole, plain, trials=6)
    found, expected = (each.results().set_index("hash") for each in (run, whole))
    complete = found[found["state"] == "complete"]
    assert len(complete) >= 2
    assert (complete["accuracy"] == expected.loc[complete.index, "accuracy"]).all()


class Interrupter(Silent):
    """Presses Ctrl-C after so many epochs."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self.left = epochs

    def epoch(self, candidate: Candidate, row: Epoch) -> None:
        super().epoch(candidate, row)
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_a_search_with_halving_in_pieces_is_one_in_one_piece(tmp_path: Path) -> None:
    prepared = tiny_prepared(epochs=3, scheduler="halving", eta=2, images=64, seed=3)
    tiny_run(tmp_path, prepared, "pieces")
    # A search that ends promotes whom it can, so the pieces are kills in the middle, not smaller searches.
    for epochs in (2, 3, 4):
        run = Run.open("pieces", runs=tmp_path)
        engine = local_engine(prepared.images, run.protocol)
        with pytest.raises(KeyboardInterrupt):
            search(run, engine, Interrupter(epochs), Clock(), trials=6, seconds=None)
    go(Run.open("pieces", runs=tmp_path), prepared, trials=6)
    whole = tiny_run(tmp_path, prepared, "whole")
    go(whole, prepared, trials=6)
    columns = ["hash", "state", "accuracy", "epochs"]
    pieces = Run.open("pieces", runs=tmp_path)
    pd.testing.assert_frame_equal(pieces.results()[columns], whole.results()[columns])
