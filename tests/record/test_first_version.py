"""A run that the first version of this project began: 3 candidates, each choice of them a line of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from bft_nas.record import Run
from bft_nas.searching.jobs import Driver, Job, Outcome
from bft_nas.searching.loop import Clock, search
from bft_nas.training.curve import Epoch
from tests.conftest import Silent

FOLDER = Path(__file__).with_name("first_version")
NEXT = ["a54056e81621", "5a36478693b7", "d78dc98982b4"]
"""Hashes of the architectures that the first version went on to propose."""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    shutil.copytree(FOLDER, tmp_path / "begun")
    return Run.open("begun", runs=tmp_path)


class Instant:
    """Trains nothing, and says so quickly."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def __call__(self, driver: Driver) -> None:
        while (job := driver.next()) is not None:
            self.jobs.append(job)
            driver.end(job.candidate, Outcome((Epoch(1, 2.0, 0.1, 1.0),), 1.0))


def resumed(run: Run, trials: int) -> list[Job]:
    engine = Instant()
    with run.members.joined(alone=True):
        search(run, engine, Silent(), Clock(), trials=trials, seconds=None)
    return engine.jobs


def test_its_results_are_what_they_were(run: Run) -> None:
    written = pd.read_csv(FOLDER / "results.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(run.results(), written, check_dtype=False)
    assert run.protocol.hash == run.protocol_hash


def test_resumed_it_proposes_what_the_first_version_would_have(run: Run) -> None:
    jobs = resumed(run, trials=6)
    assert [job.candidate.architecture.hash for job in jobs] == NEXT
    assert [job.candidate.number for job in jobs] == [3, 4, 5]
    assert list(run.results()["number"]) == list(range(6))


def test_a_candidate_that_was_under_way_is_trained_first(run: Run) -> None:
    journal = run.folder / "study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    assert b'"outcome"' in lines[-2]
    journal.write_bytes(b"".join(lines[:-2]))
    jobs = resumed(Run(run.folder), trials=4)
    assert [job.candidate.number for job in jobs] == [2, 3]
    assert jobs[1].candidate.architecture.hash == NEXT[0]


def test_what_had_been_trained_to_the_end_before_a_kill_is_not_trained_again(run: Run) -> None:
    journal = run.folder / "study.journal"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))
    assert resumed(Run(run.folder), trials=3) == []
    assert list(Run(run.folder).results()["state"]) == ["complete"] * 3
