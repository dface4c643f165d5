"""Candidates that are left halfway through a confirmation, and what is said of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from bft_nas.engines import local_engine
from bft_nas.record import Run
from bft_nas.record.confirmations import LEFT, left_networks, samples_of
from bft_nas.record.facts import confirmed_text
from bft_nas.record.fidelity import fidelity_of
from bft_nas.record.pareto import winners
from bft_nas.record.standings import (
    UNCONFIRMED,
    candidate_texts,
    tau_of,
    verdict_rows,
    verdicts_of,
    winner_text,
)
from bft_nas.searching.confirmation import Confirmations, confirm
from bft_nas.searching.confirmation_cost import (
    cost_of,
    cost_of_contenders,
    expected_cost,
    seconds_of,
)
from bft_nas.searching.contenders import candidate_contender, contenders_of
from bft_nas.searching.loop import Clock, Prepared, search
from bft_nas.searching.sampling import sample_round
from bft_nas.searching.wider import expected_confirmation
from bft_nas.training.confirmation import Confirmation
from tests.conftest import Silent, tiny_prepared, tiny_run
from tests.searching.confirming import Impatient, Positions, confirmed, copy_of, without_seconds


@pytest.fixture(scope="module")
def crowded(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Prepared, Silent]:
    """A run with more candidates than go on, confirmed, and what was said of it."""
    prepared = tiny_prepared(data=str(data), budgets=(2_000_000,), trials=10)
    run = tiny_run(tmp_path_factory.mktemp("crowded"), prepared)
    search(run, local_engine(prepared.images, run.protocol), Silent(), Clock(), trials=10, seconds=None)
    return run, prepared, confirmed(run, prepared)


def test_who_is_behind_at_the_rung_goes_no_further(crowded: tuple[Run, Prepared, Silent]) -> None:
    run, _, watcher = crowded
    rows = run.confirmations()
    candidates = rows[rows["number"].notna() & (rows["seed"] == 1)]
    left = candidates[candidates["accuracy"].isna()]
    assert len(left) == len(candidates) - 4 > 0
    assert set(left["epochs"]) == {2}
    assert set(left["reason"]) == {LEFT}
    went_on = candidates[candidates["accuracy"].notna()]
    assert left["rung"].max() <= went_on["rung"].nlargest(3).min()
    assert set(went_on["epochs"]) == {4}
    # The epochs before the rung are trained once; what was trained of a training is told again when it goes on.
    assert len(set(watcher.epochs)) == rows["epochs"].sum()
    assert len(watcher.epochs) == rows["epochs"].sum() + len(went_on)
    told = [reason for _, accuracy, reason in watcher.ended if accuracy is None]
    assert len(told) == len(candidates)
    assert all(reason.startswith("stopped after epoch 2 at ") for reason in told)
    assert not list(run.folder.rglob("*.pt"))
    assert not list(run.folder.rglob("confirmation-*"))


def test_of_those_that_are_left_it_is_said_how_far_the_winner_was_ahead(
    crowded: tuple[Run, Prepared, Silent],
) -> None:
    run, _, _ = crowded
    (verdict,) = verdicts_of(run)
    rows = run.confirmations()
    left = rows[rows["accuracy"].isna()]
    numbers = [each.network.number for each in verdict.left]
    assert sorted(numbers) == sorted(left["number"])
    assert [each.network.accuracy for each in verdict.left] == sorted(left["rung"], reverse=True)
    assert not {*numbers} & {each.network.number for each in verdict.everyone}
    worst = verdict.left[-1].network
    winner = rows[(rows["number"] == verdict.winner.network.number) & (rows["seed"] == 1)]["rung"].item()
    told = f"left after epoch 2 at {worst.accuracy:.2%}, where the winner had {winner:.2%}, {UNCONFIRMED}"
    assert candidate_texts([verdict], worst.number) == [f"within 2M, {told}"]
    first, *_, last = verdict_rows(verdict)
    assert first[-1] == "winner"
    assert last[::6] == (f"candidate {worst.number}", told)
    assert f", {len(left)} of them left at the rung" in confirmed_text(run)
    # How well the proxy ranked them is asked of all.
    confirmed_ones = rows.loc[rows["number"].notna(), "number"].nunique()
    tau, networks = tau_of(run.results(), run.references(), rows)
    assert networks == confirmed_ones
    assert -1 <= tau <= 1
    assert fidelity_of(run).networks == networks
    # What was left is taken to have gained what the others did.
    whole = rows[(rows["seed"] == 1) & rows["number"].notna() & rows["accuracy"].notna()]
    gain = float((whole["accuracy"] - whole["rung"]).mean())
    assert samples_of(rows)[worst.number] == {1: pytest.approx(worst.accuracy + gain)}


def test_they_go_on_when_candidates_of_all_ranks_are_asked_for(
    crowded: tuple[Run, Prepared, Silent], tmp_path: Path
) -> None:
    undisturbed, prepared, _ = crowded
    run = copy_of(undisturbed, tmp_path)
    left = {each.number for each in left_networks(run.confirmations())}
    contenders = [candidate_contender(run, number) for number in sorted(left)]
    known = Confirmations(run, contenders, Confirmation.of(run.protocol), sample_round, whole=True)
    watcher, expected = Positions(), known.parts + len(known.missing())
    confirm(known, local_engine(prepared.images, run.protocol), watcher, Clock())
    assert watcher.positions == list(range(expected))
    assert left_networks(run.confirmations()) == ()
    rows = run.confirmations()
    assert rows.loc[rows["number"].isin(left), "accuracy"].notna().all()


def test_positions_follow_one_another_and_its_seconds_are_those_of_its_trainings(
    crowded: tuple[Run, Prepared, Silent], tmp_path: Path
) -> None:
    undisturbed, prepared, _ = crowded
    run = copy_of(undisturbed, tmp_path)
    (run.folder / "confirmations.csv").unlink()
    clock, watcher = Clock(), Positions()
    confirmation = Confirmation.of(run.protocol)
    known = Confirmations(run, contenders_of(run), confirmation)
    confirm(known, local_engine(prepared.images, run.protocol), watcher, clock)
    assert watcher.positions == list(range(len(watcher.ended)))
    assert len(watcher.ended) <= cost_of_contenders(contenders_of(run), confirmation).parts
    assert clock.training == 0
    # The clock has preparations besides. Counted twice, what came before the rung would be half as much again.
    assert clock.confirming == pytest.approx(run.confirmations()["seconds"].sum(), rel=0.2)


def test_a_forecast_counts_the_candidates_that_there_will_be_and_the_workers_that_they_keep_busy(
    crowded: tuple[Run, Prepared, Silent],
) -> None:
    run, prepared, _ = crowded
    confirmation = expected_confirmation(prepared)
    assert prepared.settings.trials == 10
    assert expected_cost(run, 0, confirmation) == cost_of(10, 0, budgets=1, confirmation=confirmation)
    alone = seconds_of(run, confirmation.protocol, 1)
    assert alone is not None
    assert seconds_of(run, confirmation.protocol, 5) == pytest.approx(alone / 5)
    assert seconds_of(run, confirmation.protocol, 500) == pytest.approx(alone / 10)


def test_killed_at_any_moment_it_leaves_the_same_ones(
    crowded: tuple[Run, Prepared, Silent], tmp_path: Path
) -> None:
    undisturbed, prepared, _ = crowded
    run = copy_of(undisturbed, tmp_path)
    shutil.rmtree(tmp_path / "runs" / "references", ignore_errors=True)
    (run.folder / "confirmations.csv").unlink()
    for path in run.folder.rglob("confirmed.safetensors"):
        path.unlink()
    for after in (2, 5, 3):
        with pytest.raises(KeyboardInterrupt):
            confirmed(run, prepared, Impatient(after))
        # Who is at the rung may go on yet.
        assert left_networks(run.confirmations()) == ()
    confirmed(run, prepared)
    pd.testing.assert_frame_equal(without_seconds(run), without_seconds(undisturbed))


def test_who_ends_first_is_no_winner_while_others_wait_at_the_rung(
    crowded: tuple[Run, Prepared, Silent], tmp_path: Path
) -> None:
    run = copy_of(crowded[0], tmp_path)
    rows = run.confirmations()
    first = rows[rows["number"].notna() & (rows["seed"] == 1)]
    (ended,) = first[first["accuracy"].notna()].head(1).to_dict("records")
    waiting = first[first["number"] != ended["number"]].assign(accuracy=None, reason="")
    run.record_confirmations([ended, *waiting.to_dict("records")])  # type: ignore[list-item]
    assert "confirmed" not in run.results()
    assert verdicts_of(run) == ()
    assert UNCONFIRMED in winner_text(winners(run.results(), run.settings.budgets).iloc[0].to_dict())
    # Two seeds are given to the best alone.
    run.record_confirmations([ended, {**ended, "seed": 2}, *waiting.to_dict("records")])  # type: ignore[list-item, dict-item]
    assert run.winner()["number"] == ended["number"]
