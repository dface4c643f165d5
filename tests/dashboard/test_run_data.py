from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from bft_nas.dashboard._candidate import CANDIDATE, candidate_values
from bft_nas.dashboard._run_data import PROPOSAL_COLUMNS, read_run, signature
from bft_nas.dashboard._runs import Runs
from bft_nas.dashboard._view import View
from bft_nas.record import Run
from tests.dashboard.made_up import make_run


def test_a_run_is_read_as_it_is(made_up: Run) -> None:
    data = read_run(made_up)
    assert data.name == "made-up"
    assert data.budgets == (20_000_000, 50_000_000)
    assert (data.epochs, data.rungs, data.imagenet) == (4, (1, 2), False)
    pd.testing.assert_frame_equal(data.results, made_up.results())
    pd.testing.assert_frame_equal(data.curves, made_up.curves())
    assert data.references.empty
    assert dict(data.facts)["Candidates"].startswith("60, ")


def test_proposals_have_what_was_sampled_and_when(made_up: Run) -> None:
    proposals = read_run(made_up).proposals
    assert list(proposals.columns[: len(PROPOSAL_COLUMNS)]) == list(PROPOSAL_COLUMNS)
    trial = made_up.ledger.study.trials[7]
    row = proposals.iloc[7]
    assert {name: row[name] for name in trial.params} == trial.params
    assert row["started"] == trial.datetime_start
    assert 0 < row["proposing"] < 1
    stopped = made_up.results().query("state == 'stopped'")["number"]
    assert proposals.set_index("number").loc[stopped, "ended"].isna().all()


def test_a_run_without_candidates_can_be_read(tmp_path: Path) -> None:
    data = read_run(make_run(tmp_path, candidates=0))
    assert data.results.empty
    assert data.proposals.empty
    assert data.curves.empty
    assert data.clock == {"proposing": 0.0, "training": 0.0, "waiting": 0.0}


def test_candidates_without_curves_can_be_read(tmp_path: Path) -> None:
    data = read_run(make_run(tmp_path, candidates=3, curves=False))
    assert data.curves.empty
    assert len(data.results) == 3


def test_the_signature_changes_with_the_records_and_is_empty_without_a_run(
    made_up: Run, tmp_path: Path
) -> None:
    run = Run(Path(shutil.copytree(made_up.folder, tmp_path / "copy")))
    before = signature(run.folder)
    assert before == signature(run.folder)
    run.ledger.study.ask()
    between = signature(run.folder)
    assert between != before
    run.record_references([])
    assert signature(run.folder) != between
    shutil.rmtree(run.folder)
    assert signature(run.folder) == ()


@pytest.mark.parametrize("candidates", [1, 5])
def test_reading_leaves_a_run_as_it_is(tmp_path: Path, candidates: int) -> None:
    run = make_run(tmp_path, candidates=candidates)
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    read_run(Run(run.folder))
    assert before == {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}


def test_reading_a_run_without_a_study_makes_none(tmp_path: Path) -> None:
    run = make_run(tmp_path, candidates=2)
    journal = run.folder / "study.journal"
    for remains in (None, b""):
        journal.unlink(missing_ok=True)
        if remains is not None:
            journal.write_bytes(remains)
        data = read_run(Run(run.folder))
        assert data.results.empty
        assert data.proposals.empty
        assert (journal.read_bytes() if journal.exists() else None) == remains


def test_a_run_that_is_a_link_has_the_name_of_the_link(tmp_path: Path) -> None:
    run = make_run(tmp_path / "away", "first", candidates=3, failed=0)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "old").symlink_to(run.folder)
    runs = Runs(tmp_path / "runs")
    data = runs.read("old")
    assert data.name == "old"
    shown = dict(zip(CANDIDATE, candidate_values(runs, data, View(run="old", candidate=1)), strict=True))
    assert shown["network-title.children"] == "The network of #1"
