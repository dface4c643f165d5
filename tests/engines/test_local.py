"""Trainings on this machine: whoever trains them, the record is the same, and a dead worker costs an epoch at most."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from multiprocessing import Pipe, active_children, get_context
from multiprocessing.connection import wait
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest

from bft_nas.core.errors import RunError
from bft_nas.engines import local, local_engine
from bft_nas.engines._worker import WorkerSetup, serve
from bft_nas.record import Candidate, Ledger, Run
from bft_nas.searching.loop import Clock, Prepared, search
from tests.conftest import Silent, of_threads, tiny_prepared, tiny_run
from tests.engines.watching import Meddler, record, record_of_one
from tests.processes import children_of, kill_all

TRIALS, EPOCHS = 4, 3


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return tiny_prepared(epochs=EPOCHS, trials=TRIALS)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """What two workers have on two cores, so that sums are the same to the last bit."""
    with of_threads(1):
        yield
    assert not active_children()


@pytest.fixture(scope="module")
def undisturbed(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return record_of_one(prepared, tmp_path_factory.mktemp("runs"), TRIALS)


def go(run: Run, prepared: Prepared, watcher: Silent, retries: int = 2, timeout: float = 60.0) -> None:
    engine = local_engine(
        prepared.images, run.protocol, workers=max(2, os.cpu_count() or 2), retries=retries, timeout=timeout
    )
    search(run, engine, watcher, Clock(), trials=TRIALS, seconds=None)


def to_all_workers(number: signal.Signals) -> Callable[[], None]:
    def meddle() -> None:
        for worker in active_children():
            os.kill(worker.pid or 0, number)

    return meddle


def test_workers_find_what_a_search_in_one_process_finds(
    prepared: Prepared, undisturbed: pd.DataFrame, tmp_path: Path
) -> None:
    run = tiny_run(tmp_path, prepared)
    watcher = Silent()
    go(run, prepared, watcher)
    pd.testing.assert_frame_equal(record(run), undisturbed)
    assert sorted(watcher.epochs) == [(number, epoch) for number in range(TRIALS) for epoch in (1, 2, 3)]
    assert not list(run.folder.rglob("*.tmp"))
    assert not list(run.folder.rglob("checkpoint.pt"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_candidate_whose_worker_dies_goes_on_from_its_last_epoch(
    number: signal.Signals, prepared: Prepared, undisturbed: pd.DataFrame, tmp_path: Path
) -> None:
    run = tiny_run(tmp_path, prepared)
    watcher = Meddler([(1, 1), (3, 2)], to_all_workers(number))
    go(run, prepared, watcher)
    pd.testing.assert_frame_equal(record(run), undisturbed)
    assert {lost for lost, _ in watcher.losses} >= {1, 3}
    assert all(f"was killed by signal {number.value}" in reason for _, reason in watcher.losses)
    # The epoch at whose end it was killed had been written down: it is told again, not trained again.
    assert watcher.epochs.count((1, 1)) == 2
    # No death costs its candidate more than an epoch. The other worker may have been at the end of any, also of the
    # last one, after which nothing is written down but the weights.
    losses = Counter(lost for lost, _ in watcher.losses)
    for candidate in range(TRIALS):
        told = [epoch for number, epoch in watcher.epochs if number == candidate]
        again = [(before, after) for before, after in pairwise(told) if after <= before]
        assert len(again) <= losses[candidate]
        assert all(after == min(before, EPOCHS - 1) for before, after in again)


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")
def test_workers_begin_anew_when_what_they_were_forked_from_has_died(
    prepared: Prepared, undisturbed: pd.DataFrame, tmp_path: Path
) -> None:
    def kill_everybody() -> None:
        for process in children_of(os.getpid()):
            if b"forkserver" in Path(f"/proc/{process}/cmdline").read_bytes():
                kill_all(process)

    run = tiny_run(tmp_path, prepared)
    watcher = Meddler([(1, 1)], kill_everybody)
    go(run, prepared, watcher)
    pd.testing.assert_frame_equal(record(run), undisturbed)
    assert 1 in {lost for lost, _ in watcher.losses}


def test_a_candidate_that_kills_every_worker_has_failed_and_the_search_goes_on(
    prepared: Prepared, undisturbed: pd.DataFrame, tmp_path: Path
) -> None:
    run = tiny_run(tmp_path, prepared)
    engine = local_engine(prepared.images, run.protocol, workers=2, retries=1)
    watcher = Meddler([(2, 1), (2, 1)], to_all_workers(signal.SIGKILL))
    # One candidate at a time, so that no other is killed.
    for trials in range(1, TRIALS + 1):
        search(run, engine, watcher, Clock(), trials=trials, seconds=None)
    found = record(run)
    assert found.loc[2, "state"] == "failed"
    assert found.loc[2, "reason"] == "its worker was killed by signal 9, 2 times"
    pd.testing.assert_frame_equal(found.drop(index=2), undisturbed.drop(index=2))


def test_a_worker_that_hangs_is_ended_and_its_candidate_goes_on(
    prepared: Prepared, undisturbed: pd.DataFrame, tmp_path: Path
) -> None:
    run = tiny_run(tmp_path, prepared)
    watcher = Meddler([(0, 2)], to_all_workers(signal.SIGSTOP))
    go(run, prepared, watcher, timeout=5.0)
    pd.testing.assert_frame_equal(record(run), undisturbed)
    assert (0, "its worker gave no sign of life for 5 s; resumes from its last epoch") in watcher.losses


def test_nobody_is_taken_to_hang_while_the_search_itself_stands_still(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after Ctrl-Z, or at a slow disk."""
    passed = 0

    def an_hour_passes() -> None:
        nonlocal passed
        passed += 3600

    def slow_wait(connections: list[Any], timeout: float) -> list[Any]:
        found = wait(connections, timeout)
        an_hour_passes()
        return found

    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed, sleep=time.sleep)
    monkeypatch.setattr(local, "time", clock)
    monkeypatch.setattr(local, "wait", slow_wait)
    watcher = Meddler([(0, 1), (1, 2)], an_hour_passes)
    go(tiny_run(tmp_path, prepared), prepared, watcher, timeout=1800.0)
    assert not watcher.losses


def test_an_interrupted_search_leaves_no_worker_and_goes_on_from_the_checkpoints(
    prepared: Prepared, undisturbed: pd.DataFrame, tmp_path: Path
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    run = tiny_run(tmp_path, prepared)
    with pytest.raises(KeyboardInterrupt):
        go(run, prepared, Meddler([(1, 2)], interrupt))
    assert not active_children()
    assert (run.folder / "candidates/0001/checkpoint.pt").is_file()
    again = Silent()
    go(run, prepared, again)
    pd.testing.assert_frame_equal(record(run), undisturbed)
    assert (1, 1) not in again.epochs
    assert (1, 2) in again.epochs


def test_a_file_that_cannot_be_written_ends_the_search_with_its_name(
    prepared: Prepared, tmp_path: Path
) -> None:
    run = tiny_run(tmp_path, prepared)

    class Vandal(Silent):
        def begin(self, candidate: Candidate, position: int) -> None:
            # A folder in the place of the weights.
            (run.folder / f"candidates/{candidate.number:04d}/weights.safetensors").mkdir()

    with pytest.raises(RunError, match=r"weights\.safetensors: cannot be written \(Is a directory\)"):
        go(run, prepared, Vandal())
    assert not active_children()


def test_a_defect_of_the_program_ends_the_search_with_its_traceback(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run(tmp_path, prepared)
    # What no worker could expect.
    real = Ledger.candidate_file

    def seven(self: Ledger, number: int, name: str) -> Path:
        return cast(Path, 7) if name == "weights.safetensors" else real(self, number, name)

    monkeypatch.setattr(Ledger, "candidate_file", seven)
    with pytest.raises(RuntimeError, match=r"a worker met a defect of the program(.|\n)*train_job"):
        go(run, prepared, Silent())
    assert not active_children()


@pytest.mark.parametrize("said", [(), ("something that is never read",)])
def test_an_orphan_ends_by_itself_and_meets_no_defect(prepared: Prepared, said: tuple[str, ...]) -> None:
    ours, theirs = Pipe()
    for text in said:
        theirs.send(text)
    setup = WorkerSetup(prepared.protocol, cast(Any, None), "cpu", 1)
    orphan = get_context("spawn").Process(target=serve, args=(theirs, setup))
    orphan.start()
    theirs.close()
    ours.close()
    orphan.join()
    assert orphan.exitcode == 0
