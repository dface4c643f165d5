"""The confirmation after a search: who is trained, what is recorded, and what a kill costs."""

from __future__ import annotations

import csv
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

import bft_nas.api.run
from bft_nas.core.errors import UserError
from bft_nas.data.images import Images
from bft_nas.engines import local_engine
from bft_nas.network import Architecture
from bft_nas.record import Run
from bft_nas.record.confirmations import CONFIRMATION_NAMES, aside
from bft_nas.record.pareto import by_proxy, winners
from bft_nas.record.standings import (
    UNCONFIRMED,
    verdicts_of,
    winner_text,
)
from bft_nas.searching.confirmation import Confirmations
from bft_nas.searching.contenders import contenders_of
from bft_nas.searching.loop import Clock, Prepared, search
from bft_nas.searching.references import compare, field_of
from bft_nas.searching.shortlist import SHORTLIST
from bft_nas.training.confirmation import Confirmation
from bft_nas.training.curve import Curve, Epoch
from bft_nas.training.loop import Training, accuracy
from bft_nas.training.protocol import Protocol
from tests.conftest import SPACE, Command, Silent, diverging_trainings, tiny_prepared, tiny_run
from tests.processes import start
from tests.searching.confirming import NAME, Impatient, confirmed, copy_of, moved_alone, without_seconds


@pytest.fixture(scope="module")
def prepared(data: Path) -> Prepared:
    return tiny_prepared(data=str(data), budgets=(2_000_000, 4_000_000), trials=4)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, prepared: Prepared) -> Run:
    run = tiny_run(tmp_path_factory.mktemp("searched"), prepared)
    search(run, local_engine(prepared.images, run.protocol), Silent(), Clock(), trials=4, seconds=None)
    return run


@pytest.fixture(scope="module")
def undisturbed(
    searched: Run, prepared: Prepared, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, Silent]:
    """A run with its whole confirmation, and what was said of it."""
    run = copy_of(searched, tmp_path_factory.mktemp("undisturbed"))
    return run, confirmed(run, prepared)


@pytest.fixture
def run(searched: Run, tmp_path: Path) -> Run:
    """A run whose search has ended."""
    return copy_of(searched, tmp_path)


@pytest.fixture
def done(undisturbed: tuple[Run, Silent], tmp_path: Path) -> Run:
    """A run whose confirmation has ended."""
    return copy_of(undisturbed[0], tmp_path)


def test_one_hash_stands_for_all_seeds_and_is_that_of_no_proxy() -> None:
    protocol = Protocol("images", "", 10, 100, 20, 4, epochs=2)
    confirmation = Confirmation.of(protocol)
    under = [confirmation.under(seed) for seed in confirmation.seeds]
    assert {each.epochs for each in under} == {8}
    assert [each.seed for each in under] == list(confirmation.seeds)
    assert protocol.seed not in confirmation.seeds
    hashes = [each.hash for each in under]
    assert len({*hashes, confirmation.hash, protocol.hash}) == len(hashes) + 2
    assert Confirmation.of(protocol, seeds=(5, 6)).hash == confirmation.hash
    assert Confirmation.of(protocol, divisor=2).hash != confirmation.hash


@pytest.mark.parametrize(
    ("proxy", "divisor", "seeds"), [(6, 1, 3), (6, 2, 3), (6, 3, 2), (6, 6, 3), (3, 3, 3), (4, 4, 3)]
)
def test_a_quick_look_has_two_seeds(proxy: int, divisor: int, seeds: int) -> None:
    protocol = Protocol("images", "", 10, 100, 20, proxy, epochs=2)
    assert len(Confirmation.of(protocol, divisor=divisor).seeds) == seeds


def test_further_seeds_than_it_asks_for_are_kept(done: Run) -> None:
    before = without_seconds(done)
    fewer = Confirmation.of(done.protocol, seeds=(1, 2))
    known = Confirmations(done, contenders_of(done, field_of(done, [NAME]).entrants), fewer)
    assert known.missing() == []
    known.end()
    now = without_seconds(done)
    columns = ["number", "name", "budget", "seed"]
    pd.testing.assert_frame_equal(
        now.sort_values(columns, ignore_index=True), before.sort_values(columns, ignore_index=True)
    )


def test_who_may_win_and_whom_it_is_compared_with_are_trained_longer(
    undisturbed: tuple[Run, Silent],
) -> None:
    run, watcher = undisturbed
    rows = run.confirmations()
    assert tuple(rows.columns) == CONFIRMATION_NAMES
    # Whoever is far behind after half of it is left there.
    went_on = rows["accuracy"].notna()
    assert dict(zip(went_on, rows["epochs"], strict=True)) in ({True: 4, False: 2}, {True: 4})
    assert rows["rung"].notna().tolist() == rows["number"].notna().tolist()
    assert set(rows["protocol"]) == {Confirmation.of(run.protocol).hash}
    assert rows.loc[went_on, "accuracy"].between(0, 1).all()
    assert not rows.duplicated(["number", "name", "budget", "seed"]).any()
    assert len(rows) == len({number for number, _, _ in watcher.ended})
    assert len(watcher.ended) == len(rows) + sum(went_on & rows["number"].notna() & (rows["seed"] == 1))
    # Everybody has the first seed, and the winner all of them.
    numbers = rows["number"].dropna()
    assert 1 <= len(set(numbers)) <= 2 * (SHORTLIST + 1)
    assert (rows.groupby(["number", "name", "budget"], dropna=False)["seed"].min() == 1).all()
    assert Counter(numbers)[run.winner()["number"]] == 3
    assert set(rows.loc[rows["number"].isna(), "budget"]) == set(run.settings.budgets)
    assert set(rows.loc[rows["number"].isna(), "name"]) == {NAME}
    assert not list(run.folder.rglob("*.pt"))


def test_the_winner_is_the_best_mean_and_says_so(searched: Run, done: Run) -> None:
    before = searched.winner()
    assert "confirmed" not in before
    budgets = searched.settings.budgets
    assert UNCONFIRMED in winner_text(winners(searched.results(), budgets).iloc[-1].to_dict())
    run = done
    rows = run.confirmations()
    each = rows.dropna(subset=["number", "accuracy"]).groupby("number")["accuracy"]
    # One that was out of it after its first seed may have had a lucky one.
    means = each.mean()[each.size() == 3]
    winner = run.winner()
    # Two may have the same mean.
    assert means[winner["number"]] == pytest.approx(means.max())
    assert winner["confirmed"] == pytest.approx(means.max())
    assert winner["confirmed_error"] > 0
    # The proxy's own ranking is what it was.
    best = winners(by_proxy(run.results()), budgets[-1:]).iloc[0]
    assert best["number"] == before["number"]
    (*_, verdict) = verdicts_of(run)
    assert verdict.winner.network.number == winner["number"]
    assert {each.network.name for each in verdict.others if each.network.number is None} == {NAME}
    text = winner_text(winners(run.results(), budgets).iloc[-1].to_dict())
    assert "confirmed" in text
    assert UNCONFIRMED not in text


def test_its_weights_are_those_of_the_best_seed(done: Run, prepared: Prepared) -> None:
    number = int(done.winner()["number"])
    kept = done.weights_file(number)
    assert kept is not None
    assert kept.name == "confirmed.safetensors"
    assert [path.name for path in done.folder.rglob("confirmation-*")] == []
    model = bft_nas.api.run.Run(done.folder).model()
    size = done.protocol.proxy_resolution(done.architecture(number).resolution)
    rows = done.confirmations()
    best = rows.loc[rows["number"] == number, "accuracy"].max()
    assert accuracy(model, done.protocol, prepared.images, size) == pytest.approx(best)


def test_each_row_tells_of_a_training_under_its_own_seed(
    run: Run, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: set[Protocol] = set()

    def seed_as_accuracy(
        architecture: Architecture,
        protocol: Protocol,
        images: Images,
        *,
        on_epoch: Callable[[Curve], bool],
        **others: object,
    ) -> Training:
        trained.add(protocol)
        curve: Curve = ()
        for epoch in range(1, protocol.epochs + 1):
            curve = (*curve, Epoch(epoch, 1.0, protocol.seed / 10, 0.0))
            if not on_epoch(curve):
                return Training(curve, {})
        return Training(curve, {"seed": torch.tensor(protocol.seed)})

    monkeypatch.setattr("bft_nas.training.loop.build_and_train", seed_as_accuracy)
    confirmed(run, prepared)
    confirmation, rows = Confirmation.of(run.protocol), run.confirmations()
    assert trained == {confirmation.under(seed) for seed in confirmation.seeds}
    for reached in ("rung", "accuracy"):
        told = rows.dropna(subset=reached)
        assert told[reached].tolist() == [seed / 10 for seed in told["seed"]]
    winner = rows[rows["number"] == run.winner()["number"]]
    assert sorted(winner["accuracy"]) == [0.1, 0.2, 0.3]


def test_a_confirmation_that_is_done_trains_nobody(done: Run, prepared: Prepared) -> None:
    before = without_seconds(done)
    assert confirmed(done, prepared).begun == []
    confirmation = Confirmation.of(done.protocol)
    known = Confirmations(done, contenders_of(done, field_of(done, [NAME]).entrants), confirmation)
    assert known.trainings == before["epochs"].sum() / confirmation.epochs
    pd.testing.assert_frame_equal(without_seconds(done), before)


def test_references_are_confirmed_once_for_all_runs_of_a_protocol(done: Run, prepared: Prepared) -> None:
    before = without_seconds(done)
    (done.folder / "confirmations.csv").unlink()
    begun = confirmed(done, prepared).begun
    assert begun
    assert NAME not in {candidate.architecture.family for candidate in begun}
    pd.testing.assert_frame_equal(without_seconds(done), before)


def test_a_finished_run_that_was_moved_alone_trains_nobody_and_loses_nothing(
    done: Run, prepared: Prepared, tmp_path: Path
) -> None:
    engine = local_engine(prepared.images, done.protocol)
    compare(done, field_of(done, [NAME]), engine, Silent(), Clock())
    run, watcher = moved_alone(done, tmp_path), Silent()
    search(run, engine, watcher, Clock(), trials=4, seconds=None)
    compare(run, field_of(run, [NAME]), engine, watcher, Clock())
    confirmed(run, prepared, watcher)
    assert watcher.begun == []
    for table in ("references.csv", "confirmations.csv"):
        assert (run.folder / table).read_text() == (done.folder / table).read_text()
    pd.testing.assert_frame_equal(run.results(), done.results())


def test_a_run_that_was_moved_alone_and_goes_on_loses_no_confirmation_of_a_reference(
    done: Run, prepared: Prepared, tmp_path: Path
) -> None:
    before = done.confirmations()
    last = before["name"].ne("").to_numpy().nonzero()[0][-1]
    done.record_confirmations(before.drop(index=last).to_dict("records"))
    run = moved_alone(done, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        confirmed(run, prepared, Impatient(after=0))
    assert len(run.confirmations()) == len(before) - 1
    assert len(confirmed(run, prepared).begun) == 1
    pd.testing.assert_frame_equal(without_seconds(run), before.drop(columns="seconds"))


@pytest.mark.parametrize("after", [1, 7])
def test_an_interruption_costs_no_training_that_had_ended(
    after: int, run: Run, undisturbed: tuple[Run, Silent], prepared: Prepared
) -> None:
    interrupted = Impatient(after)
    with pytest.raises(KeyboardInterrupt):
        confirmed(run, prepared, interrupted)
    assert len(run.confirmations()) == len({number for number, _, _ in interrupted.ended})
    begun = confirmed(run, prepared).begun
    assert len(interrupted.ended) == after
    assert len(begun) == len(undisturbed[1].ended) - after
    pd.testing.assert_frame_equal(without_seconds(run), without_seconds(undisturbed[0]))


def test_a_training_that_breaks_down_is_recorded_and_tried_again(
    run: Run, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    with diverging_trainings():
        confirmed(run, prepared)
    failed = run.confirmations()
    assert set(failed["reason"]) == {"diverged"}
    assert failed["accuracy"].isna().all()
    assert "confirmed" not in run.winner()
    with pytest.raises(KeyboardInterrupt):
        confirmed(run, prepared, Impatient(after=1))
    assert run.confirmations()["rung"].notna().all()
    assert set(run.confirmations()["reason"]) == {""}


def test_what_was_confirmed_before_stays_when_better_candidates_come(done: Run, prepared: Prepared) -> None:
    run = done
    before = run.confirmations()
    engine = local_engine(prepared.images, run.protocol)
    search(run, engine, Silent(), Clock(), trials=10, seconds=None)
    confirmed(run, prepared)
    key = ["number", "seed", "accuracy"]
    known = ["number", "accuracy"]
    assert {*before.dropna(subset=known)[key].itertuples(index=False)} <= {
        *run.confirmations().dropna(subset=known)[key].itertuples(index=False)
    }


def test_what_was_confirmed_under_another_protocol_is_kept_beside(done: Run, prepared: Prepared) -> None:
    path = done.folder / "confirmations.csv"
    protocol = done.confirmations()["protocol"].iloc[0]
    path.write_text(path.read_text().replace(protocol, "0" * 12))
    before = path.read_text()
    with pytest.raises(KeyboardInterrupt):
        confirmed(done, prepared, Impatient(after=0))
    assert (done.folder / aside("0" * 12)).read_text() == before
    assert done.results()["confirmed"].isna().all()


def test_references_of_the_proxy_keep_the_resolution_of_its_winner(done: Run, prepared: Prepared) -> None:
    run, engine = done, local_engine(prepared.images, done.protocol)
    search(run, engine, Silent(), Clock(), trials=10, seconds=None)
    before = field_of(run, [NAME])
    first = next(each for each in contenders_of(run) if not each.racer.reference)
    results = run.results()
    resolutions = dict(zip(results["number"].tolist(), results["resolution"].tolist(), strict=True))
    leaders = winners(by_proxy(run.results()), run.settings.budgets)["resolution"].tolist()
    other = next(number for number, each in resolutions.items() if each != leaders[-1])
    row = {**first.facts, "number": other, "macs": 1, "hash": "", "protocol": "", "seed": 1, "accuracy": 1.0}
    before_it = [{str(k): v for k, v in each.items()} for each in run.confirmations().to_dict("records")]
    run.record_confirmations([*before_it, {**row, "epochs": 4, "seconds": 1.0}])
    assert run.winner()["resolution"] == resolutions[other] != leaders[-1]
    assert field_of(run, [NAME]) == before
    compare(run, before, engine, Silent(), Clock())
    assert run.references()["confirmed"].notna().all()


def test_a_winner_by_one_seed_is_unconfirmed(done: Run) -> None:
    rows = done.confirmations()
    done.record_confirmations(rows[rows["seed"] == 1].to_dict("records"))  # type: ignore[arg-type]
    text = winner_text(winners(done.results(), done.settings.budgets).iloc[-1].to_dict())
    assert "(unconfirmed: by one seed of its confirmation)" in text


def test_confirmations_of_before_there_was_a_rung_are_read(done: Run) -> None:
    path = done.folder / "confirmations.csv"
    before = pd.read_csv(path, dtype=str, keep_default_na=False).drop(columns="rung")
    before.to_csv(path, index=False)
    rows = done.confirmations()
    assert tuple(rows.columns) == CONFIRMATION_NAMES
    assert rows["rung"].isna().all()
    assert done.winner()["confirmed"] > 0


def test_a_file_of_something_else_is_a_mistake(run: Run) -> None:
    (run.folder / "confirmations.csv").write_text("number,seed\n1,x\n")
    with pytest.raises(UserError, match=r"confirmations\.csv: expected the confirmations of the run"):
        run.results()


# In processes of their own


def search_line(data: Path, name: str, *more: str) -> tuple[str, ...]:
    return (
        *("search", "--flops", "2M", "--space", "tiny.yaml", "--data", str(data), "--sampler", "random"),
        *(
            "--epochs",
            "1",
            "--trials",
            "3",
            "--batch-size",
            "32",
            "--name",
            name,
            "--no-references",
            "--no-timing",
            *more,
        ),
    )


def confirmations(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "runs" / name / "confirmations.csv").open(encoding="utf-8") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_killed_in_the_middle_and_resumed_it_ends_as_if_nothing_had_happened(
    data: Path, tmp_path: Path, tiny_space: Path, bft_nas: Command
) -> None:
    undisturbed = bft_nas(*search_line(data, "peace", "--workers", "1"))
    assert undisturbed.returncode == 0, undisturbed.stderr
    assert "confirmation  " in undisturbed.stdout
    assert "winner within 2M: candidate " in undisturbed.stdout
    assert " confirmed, at " in undisturbed.stdout
    process = start(tmp_path, *search_line(data, "killed", "--workers", "1"))
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("confirmation, part 3 of ") and "epoch 1/" in line:
            break
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    assert len(confirmations(tmp_path, "killed")) == 2
    resumed = bft_nas("search", "--resume", "killed", "--no-references", "--no-timing", "--workers", "1")
    assert resumed.returncode == 0, resumed.stderr
    # From its last epoch: the first one is not trained again.
    assert "confirmation, part 3 of " in resumed.stdout
    assert "confirmation, part 2 of " not in resumed.stdout
    assert confirmations(tmp_path, "killed") == confirmations(tmp_path, "peace")
    assert len(confirmations(tmp_path, "peace")) >= 5


def test_of_several_that_share_a_run_one_confirms(data: Path, tmp_path: Path, tiny_space: Path) -> None:
    first = start(tmp_path, *search_line(data, "shared", "--workers", "1", "--no-confirm"))
    assert first.wait(120) == 0
    line = ("search", "--join", "shared", "--trials", "6", "--no-references", "--workers", "1")
    told = [process.communicate(timeout=240)[0] for process in [start(tmp_path, *line) for _ in range(2)]]
    assert sum("\nconfirmation, part 1 of " in text for text in told) == 1, told
    rows = confirmations(tmp_path, "shared")
    assert len({(row["number"], row["seed"]) for row in rows}) == len(rows)
    assert len(Run.open("shared", runs=tmp_path / "runs").results()) == 6
    assert tiny_space.read_text() == SPACE


def test_left_out_it_leaves_the_winner_unconfirmed(
    data: Path, tmp_path: Path, tiny_space: Path, bft_nas: Command
) -> None:
    done = bft_nas(*search_line(data, "plain", "--no-confirm", "--workers", "1"))
    assert done.returncode == 0, done.stderr
    assert "confirmation" not in done.stdout
    assert "(unconfirmed: by its brief proxy training)" in done.stdout
    assert not (tmp_path / "runs/plain/confirmations.csv").exists()
    shown = bft_nas("show", "plain").stdout
    assert "confirmed    unconfirmed\n" in shown
    report = (tmp_path / "runs/plain/report.html").read_text(encoding="utf-8")
    assert "The most accurate candidate within the budget, unconfirmed." in report
    fidelity = bft_nas("fidelity", "plain")
    assert fidelity.returncode == 0
    assert "train more candidates as the confirmation does: --train 12" in fidelity.stdout
