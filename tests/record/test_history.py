"""What is known of a run's proposals: folded in change by change, it is what a fresh look finds."""

from __future__ import annotations

import random
from datetime import datetime
from pathlib import Path
from unittest.mock import patch

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.storages.journal import JournalFileBackend

from bft_nas.core.errors import UserError
from bft_nas.record import Candidate, Run
from bft_nas.record.pareto import front
from bft_nas.training.curve import Epoch
from tests.conftest import tiny_prepared, tiny_run

STEPS = st.lists(
    st.tuples(st.sampled_from(["propose", "finish", "fail", "stop", "claim", "repeat"]), st.integers(0, 9)),
    max_size=14,
)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return tiny_run(tmp_path_factory.mktemp("runs"), tiny_prepared())


def curve(tenths: int, epochs: int = 1) -> list[Epoch]:
    return [Epoch(n + 1, 2.0, tenths / 10, 1.0) for n in range(epochs)]


class Search:
    """Does to a run what a search does, step by step, without training."""

    def __init__(self, run: Run) -> None:
        self.run, self.ledger = run, run.ledger
        self.rng = random.Random(0)
        self.running: list[Candidate] = []
        self.stopped: list[Candidate] = []

    def do(self, step: str, tenths: int) -> None:
        ledger, now = self.ledger, datetime.now()
        if step == "propose":
            self.running.append(ledger.propose(self.run.space.sample(self.rng, 3_000_000), now))
        elif step == "repeat" and ledger.history.by_hash:
            number = next(iter(ledger.history.by_hash.values()))
            ledger.repeat(self.run.space.sample(random.Random(0), 3_000_000), number, now)
        elif step == "claim" and self.stopped:
            candidate = self.stopped.pop()
            self.running.append(ledger.claim(candidate.number, candidate.architecture))
        elif step in ("finish", "fail", "stop") and self.running:
            candidate = self.running.pop(0)
            if step == "finish":
                ledger.finish(candidate, curve(tenths, 2), 1.0)
            elif step == "fail":
                ledger.fail(candidate, "no luck", 1.0)
            else:
                ledger.stop(candidate, curve(tenths), 1.0)
                self.stopped.append(candidate)


def fresh(empty: Run, folder: Path) -> Run:
    """An empty run whose writes are not forced to the disk."""
    (folder / "study.journal").unlink(missing_ok=True)
    return Run(folder)


@given(STEPS)
def test_whatever_happens_what_is_known_is_what_a_fresh_look_finds(
    empty: Run, steps: list[tuple[str, int]]
) -> None:
    with patch("os.fsync", lambda file: None):
        search = Search(fresh(empty, empty.folder))
        for step in steps:
            search.do(*step)
            assert search.ledger.history.entries is not None
    known, again = search.ledger.history, Run(empty.folder).ledger.history
    assert [entry.state for entry in known.entries] == [entry.state for entry in again.entries]
    pd.testing.assert_frame_equal(pd.DataFrame(known.rows()), pd.DataFrame(again.rows()))
    for name in ("by_hash", "progress", "front", "ended", "proposed", "open"):
        assert getattr(known, name) == getattr(again, name), name
    results = search.run.results()
    assert sorted(known.front) == sorted(front(results)["number"])
    complete = set(results.loc[results["state"] == "complete", "number"])
    assert set(known.dominated) == complete - set(known.front)


def test_a_proposal_is_one_write_and_so_is_an_outcome(empty: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(fresh(empty, empty.folder))
    assert search.ledger.study.trials == search.ledger.history.entries == []
    written: list[int] = []
    real = JournalFileBackend.append_logs

    def counted(self: JournalFileBackend, logs: list[dict[str, object]]) -> None:
        written.append(len(logs))
        real(self, logs)

    monkeypatch.setattr(JournalFileBackend, "append_logs", counted)
    for step in ("propose", "finish", "propose", "fail", "repeat"):
        search.do(step, 5)
    # An outcome and the end of its trial are two lines of one write.
    assert written == [1, 2, 1, 2, 1]


def test_a_trial_that_no_version_wrote_is_named(empty: Run) -> None:
    run = fresh(empty, empty.folder)
    run.ledger.study.ask().set_user_attr("candidate", "mine")
    with pytest.raises(UserError, match=r"candidate 0 of its study cannot be read \(TypeError"):
        Run(run.folder).results()
