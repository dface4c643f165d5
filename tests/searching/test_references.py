"""References beside a run: within its budgets, under its protocol, trained once."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import bft_nas.searching.references
from bft_nas.engines import local_engine
from bft_nas.network import REFERENCES, cost
from bft_nas.record import REFERENCE_NAMES, Candidate, Run
from bft_nas.searching.loop import Clock, Prepared, search
from bft_nas.searching.reference_store import ReferenceStore
from bft_nas.searching.references import compare, field_of
from tests.conftest import Silent, diverging_trainings, tiny_prepared, tiny_run
from tests.searching.confirming import moved_alone

FEW = ("mobilenet_v1", "shufflenet_v2_bft")


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return tiny_prepared(budgets=(2_000_000, 4_000_000), trials=2, classes=10)


@pytest.fixture
def run(tmp_path: Path, prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(bft_nas.searching.references, "REFERENCES", FEW)
    return tiny_run(tmp_path, prepared)


def compared(run: Run, prepared: Prepared) -> list[str]:
    """The names of the references that were trained for it."""
    watcher = Silent()
    compare(run, field_of(run), local_engine(prepared.images, run.protocol), watcher, Clock())
    return [candidate.architecture.family for candidate in watcher.begun]


def searched(run: Run, prepared: Prepared) -> None:
    engine = local_engine(prepared.images, run.protocol)
    search(run, engine, Silent(), Clock(), trials=2, seconds=None)


def test_every_reference_is_as_wide_as_each_budget_allows_at_the_resolution_of_its_winner(
    run: Run, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bft_nas.searching.references, "REFERENCES", REFERENCES)
    assert {entrant.candidate.architecture.resolution for entrant in field_of(run).entrants} == {96}
    searched(run, prepared)
    winner = run.results().sort_values("accuracy").iloc[-1]
    field = field_of(run)
    for entrant in field.entrants:
        candidate = entrant.candidate
        assert cost(candidate.architecture).macs == candidate.macs <= candidate.budget
        assert candidate.architecture.classes == 10
        if candidate.budget == 4_000_000:
            assert candidate.architecture.resolution == winner["resolution"]
    met = [(e.candidate.architecture.family, e.candidate.budget) for e in field.entrants]
    asked = [(name, budget) for budget in run.settings.budgets for name in REFERENCES]
    assert sorted(met + list(field.infeasible)) == sorted(asked)


def test_what_they_came_to_joins_the_runs_results(run: Run, prepared: Prepared) -> None:
    searched(run, prepared)
    assert run.references().empty
    compared(run, prepared)
    references = run.references()
    assert tuple(references.columns) == REFERENCE_NAMES
    assert (references["state"] == "complete").all()
    assert references["accuracy"].between(0, 1).all()
    assert (references["macs"] <= references["budget"]).all()
    assert len(run.results()) == 2
    written = pd.read_csv(run.write_results())
    assert written["number"].isna().sum() == len(references)
    assert written["name"].dropna().tolist() == references["name"].tolist()


def test_a_reference_is_trained_once_per_protocol(run: Run, prepared: Prepared, tmp_path: Path) -> None:
    first = compared(run, prepared)
    assert first
    assert compared(run, prepared) == []
    other = tiny_run(tmp_path, prepared, "other")
    assert compared(other, prepared) == []
    pd.testing.assert_frame_equal(other.references(), run.references())
    longer = tiny_prepared(budgets=(2_000_000, 4_000_000), classes=10, epochs=2)
    assert compared(tiny_run(tmp_path, longer, "longer"), longer) == first


def test_a_record_that_cannot_be_read_is_made_again(run: Run, prepared: Prepared, tmp_path: Path) -> None:
    compared(run, prepared)
    record = next((tmp_path / ".references").rglob("*.json"))
    other = tiny_run(tmp_path, prepared, "other")
    record.write_text("{")
    assert len(compared(other, prepared)) == 1
    pd.testing.assert_frame_equal(
        other.references().drop(columns="seconds"), run.references().drop(columns="seconds")
    )


def test_a_run_that_was_moved_alone_keeps_its_references_and_trains_none(
    run: Run, prepared: Prepared, tmp_path: Path
) -> None:
    compared(run, prepared)
    before = (run.folder / "references.csv").read_text()
    moved = moved_alone(run, tmp_path)
    assert compared(moved, prepared) == []
    assert (moved.folder / "references.csv").read_text() == before
    # Every run beside it knows them from now on.
    assert compared(tiny_run(moved.folder.parent, prepared, "other"), prepared) == []


def test_a_run_that_was_moved_alone_trains_only_what_it_has_no_outcome_of(
    run: Run, prepared: Prepared, tmp_path: Path
) -> None:
    compared(run, prepared)
    first, *others = run.references().astype(object).to_dict("records")
    failed = {**first, "state": "failed", "accuracy": float("nan"), "epochs": 0, "reason": "diverged"}
    nameless = {**others[0], "hash": ""}
    run.record_references([failed, nameless, *others[1:]])  # type: ignore[list-item]
    moved = moved_alone(run, tmp_path)
    assert len(compared(moved, prepared)) == 2
    assert moved.references()["accuracy"].notna().all()


@pytest.mark.parametrize("digits", ["000123456789", "12345e678901"])
def test_a_hash_of_digits_is_no_number(digits: str, run: Run) -> None:
    row = dict.fromkeys(REFERENCE_NAMES, 1) | {"name": "mobilenet_v1", "hash": digits}
    run.record_references([row])
    assert run.references()["hash"].tolist() == [digits]


@pytest.mark.parametrize("name", ["../outside", "/outside", ".", "a/b", "a" * 300, "", float("nan")])
def test_no_table_names_a_file_outside_the_store(
    name: object, run: Run, prepared: Prepared, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    store = ReferenceStore(tmp_path, run.protocol)
    store.take_in({"hash": name, "accuracy": 0.5, "epochs": 1, "seconds": 1.0, "name": "x", "width": 1.0})
    assert sorted(tmp_path.rglob("*")) == sorted([*before, store.folder.parent, store.folder])


def test_an_interruption_keeps_what_was_trained_before_it(
    run: Run, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Impatient(Silent):
        def begin(self, candidate: Candidate, position: int) -> None:
            super().begin(candidate, position)
            if len(self.begun) == 2:
                raise KeyboardInterrupt

    engine = local_engine(prepared.images, run.protocol)
    with pytest.raises(KeyboardInterrupt):
        compare(run, field_of(run), engine, Impatient(), Clock())
    assert len(run.references()) == 1
    everyone = len(field_of(run).entrants)
    assert len(compared(run, prepared)) == everyone - 1
    assert len(run.references()) == everyone


def test_a_training_that_breaks_down_is_recorded_and_tried_again(
    run: Run, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    with diverging_trainings():
        compared(run, prepared)
    failed = run.references()
    assert (failed["state"] == "failed").all()
    assert (failed["reason"] == "diverged").all()
    assert failed["accuracy"].isna().all()
    assert len(compared(run, prepared)) == len(failed)
    assert (run.references()["state"] == "complete").all()
