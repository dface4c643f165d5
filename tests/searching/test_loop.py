"""The loop and the record: what is proposed, kept, answered from the record, and resumed."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from optuna.storages.journal import JournalFileBackend

import bft_nas.training.loop
from bft_nas.core.errors import RunError, UserError
from bft_nas.data.dataset import Dataset, Split, load_dataset
from bft_nas.engines import local_engine
from bft_nas.network import Architecture, build, cost
from bft_nas.record import RESULT_NAMES, Ledger, Run, run_names
from bft_nas.record.pareto import front
from bft_nas.searching.jobs import Driver, Outcome
from bft_nas.searching.loop import (
    ALIKE_IN_A_ROW,
    Clock,
    Prepared,
    check_protocol,
    prepare,
    propose_new,
    search,
)
from bft_nas.searching.proposers import PROPOSERS
from bft_nas.space.space import SearchSpace
from bft_nas.training.curve import Epoch
from bft_nas.training.loop import Diverged, TrainingFailed
from tests.conftest import Silent, diverging_trainings, tiny_prepared, tiny_run, tiny_settings
from tests.data.samples import cifar10_files, write_files
from tests.searching.looping import go


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return tiny_prepared()


@pytest.fixture(scope="module")
def finished(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = tiny_run(tmp_path_factory.mktemp("runs"), prepared)
    go(run, prepared, trials=6)
    run.write_results()
    return run


def test_every_candidate_is_within_the_budget_and_on_record(finished: Run) -> None:
    results = finished.results()
    assert tuple(results.columns) == RESULT_NAMES
    assert list(results["state"]) == ["complete"] * 6
    assert (results["macs"] <= 3_000_000).all()
    assert results["hash"].is_unique
    for row in results.to_dict("records"):
        architecture = finished.architecture(row["number"])
        assert architecture.hash == row["hash"]
        assert cost(architecture).macs == row["macs"]
        assert cost(architecture).params == row["params"]


def test_results_csv_holds_the_results(finished: Run) -> None:
    read = pd.read_csv(finished.folder / "results.csv", keep_default_na=False)
    assert list(read.columns) == list(RESULT_NAMES)
    assert list(read["hash"]) == list(finished.results()["hash"])


def test_each_candidate_has_its_folder_and_only_the_front_its_weights(finished: Run) -> None:
    for number in finished.results()["number"]:
        folder = finished.folder / "candidates" / f"{number:04d}"
        json.loads((folder / "architecture.json").read_text())
        with (folder / "curve.csv").open() as file:
            assert [row["epoch"] for row in csv.DictReader(file)] == ["1"]
    kept = {int(p.parent.name) for p in finished.folder.glob("candidates/*/weights.safetensors")}
    assert kept == set(front(finished.results())["number"])


def test_the_kept_weights_give_the_recorded_accuracy(finished: Run, prepared: Prepared) -> None:
    row = front(finished.results()).iloc[-1]
    architecture = finished.architecture(int(row["number"]))
    model = build(architecture)
    model.load_state_dict(finished.weights(int(row["number"])))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    size = finished.protocol.proxy_resolution(architecture.resolution)
    accuracy = bft_nas.training.loop.accuracy(model, finished.protocol, prepared.images, size)
    assert accuracy == pytest.approx(row["accuracy"], abs=1e-9)


def test_run_yaml_holds_all_that_made_the_run(finished: Run, prepared: Prepared) -> None:
    content = yaml.safe_load((finished.folder / "run.yaml").read_text())
    assert content["protocol_hash"] == prepared.protocol.hash
    assert set(content) >= {"command", "created", "settings", "protocol", "space", "versions", "data"}
    again = Run.open(str(finished.folder))
    assert again.settings == prepared.settings
    assert again.protocol == prepared.protocol
    assert again.space.families == prepared.space.families
    assert again.data.classes == prepared.images.dataset.classes


def test_the_study_has_both_objectives(finished: Run) -> None:
    assert [d.name for d in finished.ledger.study.directions] == ["MAXIMIZE", "MINIMIZE"]
    values = [trial.values for trial in finished.ledger.study.trials]
    results = finished.results()
    assert values == [[a, m] for a, m in zip(results["accuracy"], results["macs"], strict=True)]


def hashes(run: Run) -> list[str]:
    return list(run.results()["hash"])


@pytest.mark.parametrize("sampler", ["surrogate", "random", "tpe", "nsga2"])
def test_a_search_in_pieces_proposes_what_one_in_one_piece_does(sampler: str, tmp_path: Path) -> None:
    prepared = tiny_prepared(sampler=sampler, images=64, seed=3)
    whole = tiny_run(tmp_path, prepared, "whole")
    tiny_run(tmp_path, prepared, "pieces")
    go(whole, prepared, trials=13)
    for trials in (2, 11, 13):
        go(Run.open("pieces", runs=tmp_path), prepared, trials=trials)
    assert hashes(Run.open("pieces", runs=tmp_path)) == hashes(whole)


def test_another_seed_proposes_something_else(tmp_path: Path) -> None:
    runs = []
    for seed in (0, 1):
        prepared = tiny_prepared(images=64, seed=seed)
        runs.append(tiny_run(tmp_path, prepared, f"seed{seed}"))
        go(runs[-1], prepared)
    assert not set(hashes(runs[0])) & set(hashes(runs[1]))


def test_several_budgets_share_a_run_and_none_is_exceeded(tmp_path: Path) -> None:
    prepared = tiny_prepared(budgets=(1_500_000, 4_000_000), images=64)
    run = tiny_run(tmp_path, prepared)
    go(run, prepared, trials=10)
    results = run.results()
    assert set(results["budget"]) == {1_500_000, 4_000_000}
    assert (results["macs"] <= results["budget"]).all()


def test_a_failed_training_is_recorded_with_its_reason_and_the_search_goes_on(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = bft_nas.training.loop.build_and_train, []

    def fails_second(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            raise TrainingFailed("the training loss became nan in epoch 1")
        return real(*arguments, **options)

    monkeypatch.setattr(bft_nas.training.loop, "build_and_train", fails_second)
    run = tiny_run(tmp_path, prepared)
    watcher = go(run, prepared, trials=3)
    assert [reason for _, _, reason in watcher.ended] == ["", "the training loss became nan in epoch 1", ""]
    results = run.results()
    assert list(results["state"]) == ["complete", "failed", "complete"]
    assert results["reason"][1] == "the training loss became nan in epoch 1"
    with pytest.raises(UserError, match="candidate 1: its training failed"):
        run.weights(1)


def failing_trainings(
    monkeypatch: pytest.MonkeyPatch, errors: Callable[[int], Exception | None]
) -> Callable[[], None]:
    """Let the building of the i-th network raise ``errors(i)``; returns how to undo it."""
    calls: list[Architecture] = []

    def building(architecture: Architecture) -> torch.nn.Module:
        error = errors(len(calls))
        calls.append(architecture)
        if error is not None:
            raise error
        return build(architecture)

    monkeypatch.setattr(bft_nas.training.loop, "build", building)
    return lambda: monkeypatch.setattr(bft_nas.training.loop, "build", build)


def test_an_error_of_torch_fails_its_candidate_alone_and_its_traceback_is_kept(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_trainings(monkeypatch, lambda i: ValueError("Expected more than 1 value") if i == 1 else None)
    run = tiny_run(tmp_path, prepared)
    go(run, prepared, trials=3)
    results = run.results()
    assert list(results["state"]) == ["complete", "failed", "complete"]
    assert results["reason"][1] == "ValueError: Expected more than 1 value"
    kept = [path.relative_to(run.folder).as_posix() for path in run.folder.rglob("traceback.txt")]
    assert kept == ["candidates/0001/traceback.txt"]
    text = (run.folder / kept[0]).read_text()
    assert text.startswith("Traceback")
    assert "in building" in text


@pytest.mark.parametrize("limits", [{"trials": 20}, {"trials": None, "seconds": 600.0}])
def test_a_search_in_which_all_fail_alike_ends_and_goes_on_once_that_is_repaired(
    limits: dict[str, Any], prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repair = failing_trainings(monkeypatch, lambda i: RuntimeError(f"error {i} of the driver"))
    run = tiny_run(tmp_path, prepared)
    with pytest.raises(
        RunError, match=r"the last 5 candidates failed alike \(RuntimeError: error 4 .*0004/trace"
    ):
        go(run, prepared, **limits)
    assert list(run.results()["state"]) == ["failed"] * ALIKE_IN_A_ROW
    repair()
    go(run, prepared, trials=ALIKE_IN_A_ROW + 1)
    assert list(run.results()["state"]) == ["failed"] * ALIKE_IN_A_ROW + ["complete"]


@pytest.mark.parametrize(
    "errors",
    [
        lambda i: Diverged("the training loss became nan in epoch 1"),
        lambda i: RuntimeError("one kind") if i % 2 else ValueError("another"),
        lambda i: None if i == 4 else RuntimeError("always the same"),
    ],
    ids=["by their loss", "in two ways", "but for one"],
)
def test_failures_that_say_nothing_of_the_next_candidate_do_not_end_a_search(
    errors: Callable[[int], Exception | None],
    prepared: Prepared,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failing_trainings(monkeypatch, errors)
    run = tiny_run(tmp_path, prepared)
    go(run, prepared, trials=ALIKE_IN_A_ROW + 2)
    assert len(run.results()) == ALIKE_IN_A_ROW + 2


def test_two_candidates_in_a_row_that_run_out_of_memory_lead_to_advice(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["could not create a primitive", "std::bad_alloc", "Cannot allocate memory"]
    failing_trainings(monkeypatch, lambda i: MemoryError(words[i // 2]) if i in (0, 2, 4, 5) else None)
    run = tiny_run(tmp_path, prepared)
    watcher, clock = Silent(), Clock(workers=2)
    search(run, local_engine(prepared.images, run.protocol), watcher, clock, trials=7, seconds=None)
    assert list(run.results()["state"]).count("failed") == 4
    assert len(watcher.advice) == 1
    assert "workers 1 (now 2)" in watcher.advice[0]
    assert "batch_size 16 (now 32)" in watcher.advice[0]


def test_batches_and_data_of_a_single_image_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"batch_size 1: .*expected 2 or more"):
        tiny_prepared(batch_size=1)
    monkeypatch.setattr("bft_nas.searching.loop.load_dataset", lambda *given, **options: one_image())
    with pytest.raises(UserError, match=r"data 'fashion-mnist': 1 image .*expected 2 or more"):
        tiny_prepared()


def one_image() -> Dataset:
    whole = load_dataset("fashion-mnist", size=24, images=10)
    return replace(whole, train=Split(whole.train.images[:1], whole.train.labels[:1]))


def test_a_proposal_evaluated_before_is_answered_from_the_record(tmp_path: Path) -> None:
    one_point = "family: dot\nresolution: 64\nwidth: {min: 1, max: 1}\nstem: {channels: 16}\n" + (
        "stages: [{block: separable, channels: 32, kernel: [3, 5]}]\n"
    )
    space = SearchSpace.parse(one_point, where="dot.yaml", name="dot")
    prepared = prepare(tiny_settings(resolutions=(64,), images=64), space)
    run = tiny_run(tmp_path, prepared)
    watcher = go(run, prepared, trials=10)
    assert watcher.advice == ["the space seems to hold no other network: 2 were found"]
    assert len(watcher.ended) == 2
    assert len(run.results()) == 2
    repeats = [t for t in run.ledger.study.trials if "repeats" in t.user_attrs]
    assert repeats
    assert all(t.values == run.ledger.study.trials[t.user_attrs["repeats"]].values for t in repeats)


def interrupted_at(place: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make ``Ledger.place`` die before it does anything, as under a kill; returns how to undo it."""

    def dies(*arguments: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    original = getattr(Ledger, place)
    monkeypatch.setattr(Ledger, place, dies)
    return lambda: monkeypatch.setattr(Ledger, place, original)


@pytest.mark.parametrize(
    "place", ["propose", "_create", "finish", "_write_curve", "_close", "_forget_dominated_weights"]
)
def test_whenever_a_search_dies_nothing_is_lost_or_done_twice(
    place: str, prepared: Prepared, finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run(tmp_path, prepared)
    go(run, prepared, trials=2)
    undo = interrupted_at(place, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        go(run, prepared, trials=6)
    undo()
    again = Run.open("tiny", runs=tmp_path)
    watcher = go(again, prepared, trials=6)
    results = again.results()
    assert hashes(again) == hashes(finished)
    assert list(results["accuracy"]) == list(finished.results()["accuracy"])
    assert not set(results["number"][:2]) & {number for number, *_ in watcher.ended}


@pytest.mark.parametrize("fails", [False, True])
def test_a_candidate_that_was_trained_but_not_told_is_not_trained_again(
    fails: bool, prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run(tmp_path, prepared)
    real = JournalFileBackend.append_logs

    def dies_after_the_outcome(self: JournalFileBackend, logs: list[dict[str, Any]]) -> None:
        # The outcome and the end of the trial are one write, of which half a page may reach the disk.
        outcome = [i for i, log in enumerate(logs) if "outcome" in log.get("user_attr", {})]
        real(self, logs[: outcome[0] + 1] if outcome else logs)
        if outcome:
            raise KeyboardInterrupt

    monkeypatch.setattr(JournalFileBackend, "append_logs", dies_after_the_outcome)
    with diverging_trainings() if fails else nullcontext(), pytest.raises(KeyboardInterrupt):
        go(run, prepared, trials=1)
    monkeypatch.setattr(JournalFileBackend, "append_logs", real)
    again = Run.open("tiny", runs=tmp_path)
    assert go(again, prepared, trials=1).ended == []
    (row,) = again.results().to_dict("records")
    if fails:
        assert (row["state"], row["reason"]) == ("failed", "diverged")
        assert math.isnan(row["accuracy"])
    else:
        assert row["state"] == "complete"
        assert again.weights(0)


def test_no_candidate_begins_that_would_end_after_the_time_is_up(prepared: Prepared, tmp_path: Path) -> None:
    run = tiny_run(tmp_path, prepared)
    watcher = Silent()
    curve = tuple(Epoch(epoch, 2.0, 0.1, 5.0) for epoch in range(1, prepared.settings.epochs + 1))

    class AsTrained(Clock):
        @property
        def whole(self) -> float:
            return self.training

    def engine(driver: Driver) -> None:
        while job := driver.next():
            driver.end(job.candidate, Outcome(curve, 10.0))

    # The fourth one would end after 40.
    search(run, engine, watcher, AsTrained(), trials=None, seconds=39.0)
    assert len(watcher.ended) == 3


def test_the_clock_counts_what_this_process_trained() -> None:
    clock = Clock()
    curve = tuple(Epoch(epoch, 2.0, 0.1, seconds) for epoch, seconds in enumerate((5.0, 3.0, 4.0), start=1))
    # It went on after one epoch, and its worker was lost once.
    for epochs in (2, 3, 3):
        clock.epoch(7, curve[:epochs])
    assert clock.spent(7, Outcome(curve, 12.0)) == 7.0
    # Of one that fails it is told how long it was trained here.
    clock.epoch(8, curve[:2])
    assert clock.spent(8, Outcome((), 3.5, "diverged")) == 3.5
    # Halving trains it further.
    assert clock.spent(7, Outcome(curve[:1], 5.0)) == 5.0


def test_a_search_that_goes_on_from_a_checkpoint_counts_the_rest_alone(
    prepared: Prepared, tmp_path: Path
) -> None:
    curve = tuple(Epoch(epoch, 2.0, 0.1, 5.0) for epoch in range(1, prepared.settings.epochs + 2))
    clock = Clock()

    def engine(driver: Driver) -> None:
        job = driver.next()
        assert job is not None
        driver.epoch(job.candidate, curve)
        driver.end(job.candidate, Outcome(curve, 5.0 * len(curve)))

    search(tiny_run(tmp_path, prepared), engine, Silent(), clock, trials=1, seconds=None)
    assert clock.training == 5.0


def test_who_only_looks_at_a_run_writes_nothing(finished: Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.folder.rglob("*")}
    again = Run(finished.folder)
    assert len(again.results()) == 6
    assert not again.curves().empty
    assert {path: path.stat().st_mtime_ns for path in finished.folder.rglob("*")} == before


def test_only_one_search_at_a_time_works_on_a_run(prepared: Prepared, tmp_path: Path) -> None:
    run = tiny_run(tmp_path, prepared)
    again = Run.open("tiny", runs=tmp_path)
    with (
        run.members.joined(alone=True),
        pytest.raises(UserError, match="another search is working on it"),
        again.members.joined(alone=True),
    ):
        pass
    with again.members.joined(alone=True):
        pass


def test_another_protocol_is_refused_and_what_differs_is_named(finished: Run) -> None:
    check_protocol(finished, tiny_prepared().protocol)
    with pytest.raises(UserError, match="epochs 1 there, 2 here"):
        check_protocol(finished, tiny_prepared(epochs=2).protocol)


def test_a_name_in_use_is_refused_and_a_missing_name_is_made_up(prepared: Prepared, tmp_path: Path) -> None:
    tiny_run(tmp_path, prepared, "mine")
    with pytest.raises(UserError, match="there is one already"):
        tiny_run(tmp_path, prepared, "mine")
    for name in ("../up", "a/b", "", ".", "-x"):
        with pytest.raises(UserError):
            tiny_run(tmp_path, prepared, name)
    facts = Run.open("mine", runs=tmp_path).data
    arguments = (prepared.settings, prepared.space, prepared.protocol)
    names = [Run.create(None, *arguments, data=facts, runs=tmp_path).name for _ in range(2)]
    assert names == ["tiny-3M", "tiny-3M-2"]
    assert set(run_names(tmp_path)) == {"mine", *names}
    assert not list(tmp_path.glob(".*"))


def test_an_unknown_run_or_candidate_lists_the_known_ones(finished: Run) -> None:
    with pytest.raises(UserError, match="expected tiny"):
        Run.open("nobody", runs=finished.folder.parent)
    with pytest.raises(UserError, match="expected 0, 1, 2, 3, 4, 5"):
        finished.row(99)


def test_a_broken_run_yaml_is_named(finished: Run, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for text in ("{", "settings: 3\n", "[]", "settings: {}\nprotocol: {}\n"):
        (broken / "run.yaml").write_text(text)
        with pytest.raises(UserError, match=r"run\.yaml cannot be read") as caught:
            Run.open(str(broken))
        assert len(str(caught.value).splitlines()) == 1


def test_the_same_seed_proposes_the_same_networks_under_both_data_choices(tmp_path: Path) -> None:
    """Fashion-MNIST and CIFAR-10, the default sampler and space: all that it proposes before it learns anything."""
    write_files(tmp_path / "cifar", cifar10_files("cifar-10-batches-bin"))
    proposed = []
    for data in ("fashion-mnist", f"cifar10={tmp_path / 'cifar'}"):
        settings = tiny_settings(budgets=(50_000_000,), data=data, sampler="tpe", images=64)
        prepared = prepare(settings, SearchSpace.load("mobile"))
        run = tiny_run(tmp_path, prepared, data.partition("=")[0])
        tpe = PROPOSERS["tpe"]()
        candidates = [propose_new(run, run.space, tpe) for _ in range(10)]
        proposed.append([candidate.architecture.hash for candidate in candidates if candidate])
    assert len(proposed[0]) == 10
    assert proposed[0] == proposed[1]
