"""What a list says of a trained network, and of one in training."""

from __future__ import annotations

from pathlib import Path

import pytest

from bft_nas.cli.main import main
from bft_nas.network import cost
from bft_nas.record.trained_summary import summary_of
from tests.dashboard.made_up_training import end, go_on, make_training


def test_it_says_how_far_a_training_has_come_and_what_came_of_it(tmp_path: Path) -> None:
    trained = make_training(tmp_path, "shoes")
    assert summary_of(trained).accuracy == "interrupted, epoch 0/4"
    with trained.at_work():
        assert summary_of(trained).accuracy == "in training, epoch 0/4"
        go_on(trained, 2)
        assert summary_of(trained).accuracy == "in training, epoch 2/4, best 65.00% (validation)"
    rows = [{**row, "averaged": float("nan")} for row in trained.curve()]
    trained.write_curve([*rows[:1], {**rows[1], "averaged": 0.7}])
    assert summary_of(trained).accuracy == "interrupted, epoch 2/4, best 70.00% (validation)"
    measures = end(trained).measures
    low, high = (f"{each:.1%}" for each in measures.interval)
    found = summary_of(trained)
    assert found.accuracy == f"{measures.accuracy:.2%} (test; 95 %: {low} to {high})"
    counted = cost(trained.architecture)
    assert (found.macs, found.params, found.candidate) == (counted.macs, counted.params, None)


def test_a_network_waits_for_its_teacher(tmp_path: Path) -> None:
    teacher = make_training(tmp_path, "shoes-teacher")
    pupil = make_training(tmp_path, "shoes", teacher=str(teacher.folder), teacher_first=True)
    with pupil.at_work():
        assert summary_of(pupil).accuracy == "in training, its teacher first"
        end(teacher)
        assert summary_of(pupil).accuracy == "in training, epoch 0/4"


def test_the_command_lists_runs_and_then_trained_networks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--runs", str(tmp_path / "runs"), "--trained", str(tmp_path / "trained")]
    assert main(["runs", *places]) == 0
    nothing = capsys.readouterr().out
    assert nothing.count("\n") == 1
    for name in ("shoes", "torn"):
        make_training(tmp_path / "trained", name)
    (tmp_path / "trained" / "torn" / "training.yaml").write_text("torn")
    assert main(["runs", *places]) == 0
    told = capsys.readouterr().out
    assert told.startswith(nothing)
    _, heading, row, reason = told.removeprefix(nothing).splitlines()
    assert heading.split() == [
        *("trained", "accuracy", "MACs", "parameters", "network", "data", "begun", "(UTC)")
    ]
    assert row.startswith("shoes")
    assert "interrupted, epoch 0/4" in row
    assert "mobilenet_v3_small within 5M @64" in row
    assert reason.startswith(
        f"trained network '{tmp_path / 'trained' / 'torn'}': training.yaml cannot be read"
    )
