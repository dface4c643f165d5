"""The main job for real: a search of a minute on the bundled images, killed in the middle, resumed, exported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from bft_nas.record import Run
from tests.conftest import Command

SEARCH = (
    *("search", "--flops", "5M,10M", "--trials", "4", "--images", "2000", "--epochs", "2", "--seed", "4"),
    "--no-references",
    "--no-confirm",
    "--no-timing",
)


# A shell that runs the tests in the background has its children ignore Ctrl-C.
LISTENING = """\
import signal, sys
from bft_nas.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main())
"""


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", LISTENING, *arguments], cwd=folder, stdout=subprocess.PIPE, text=True
    )


def wait_for_line(process: subprocess.Popen[str], *parts: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if all(part in line for part in parts):
            return
    raise AssertionError(f"the search ended without a line with {parts}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("search")


@pytest.fixture(scope="module")
def killed_and_resumed(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The candidates finished before a SIGKILL in the middle of the third's training, and those after resuming."""
    process = start(folder, *SEARCH, "--name", "first", "--workers", "1")
    wait_for_line(process, "candidate 2 (3 of 4)", "epoch 1/2")
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = Run.open("first", runs=folder / "runs").results()
    resumed = subprocess.run(
        [sys.executable, "-m", "bft_nas.cli.main", "search", "--resume", "first"]
        + ["--no-references", "--no-confirm", "--no-timing", "--workers", "1"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert resumed.returncode == 0, resumed.stderr
    assert "candidate 2 (3 of 4)" in resumed.stdout
    assert "candidate 1 (2 of 4)" not in resumed.stdout
    return before, Run.open("first", runs=folder / "runs").results()


def test_every_finished_candidate_is_kept_and_none_is_evaluated_twice(
    killed_and_resumed: tuple[pd.DataFrame, pd.DataFrame], folder: Path
) -> None:
    before, after = killed_and_resumed
    assert len(before) == 2
    assert len(after) == 4
    pd.testing.assert_frame_equal(after.head(2), before, check_dtype=False)
    assert after["hash"].is_unique
    assert (after["macs"] <= after["budget"]).all()
    assert after["accuracy"].max() > 0.5
    assert not list((folder / "runs").rglob("*.tmp"))


def test_an_undisturbed_search_finds_the_same(
    killed_and_resumed: tuple[pd.DataFrame, pd.DataFrame], folder: Path
) -> None:
    """In a fresh process: the same seed gives the same candidates, and the same accuracies on this machine."""
    process = start(folder, *SEARCH, "--name", "second", "--workers", "1")
    wait_for_line(process, "candidate 3 (4 of 4)", "epoch 1/2")
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    out = process.stdout.read()
    assert process.wait(60) == 130
    # Ctrl-C ends with the table and the report of what is there.
    # Nor does it do what it was told not to.
    resume = "bft-nas search --resume second --no-references --no-confirm --no-timing"
    assert f"interrupted; resume with: {resume}\n" in out
    assert "Front of second" in out
    # With as many candidates as were asked for.
    assert out.splitlines()[-1] == f"resume   {resume}"
    assert (folder / "runs/second/report.html").stat().st_size > 1_000_000
    again = Run.open("second", runs=folder / "runs").results()
    pd.testing.assert_frame_equal(
        again.drop(columns="seconds"),
        killed_and_resumed[1].head(3).drop(columns="seconds"),
        check_dtype=False,
    )


def test_sigterm_ends_cleanly_too(folder: Path) -> None:
    process = start(folder, *SEARCH, "--name", "third", "--workers", "1")
    wait_for_line(process, "run ", "runs/third")
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    out = process.stdout.read()
    assert process.wait(60) == 143
    assert "interrupted" in out


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_interrupt_stops_at_once(folder: Path, workers: str) -> None:
    name = f"stopped-by-{workers}"
    process = start(folder, *SEARCH, "--name", name, "--workers", workers)
    wait_for_line(process, "candidate 0 (", "epoch 1/2")
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    out = process.stdout.read()
    assert process.wait(60) == 130
    # Neither the table nor the report is waited for; what was trained is in the study.
    assert "Front of" not in out
    assert not (folder / "runs" / name / "report.html").exists()
    assert Run.open(name, runs=folder / "runs").results()["state"].tolist() == []


def test_what_the_search_found_is_shown_and_exported(
    killed_and_resumed: tuple[pd.DataFrame, pd.DataFrame], folder: Path, bft_nas: Command
) -> None:
    runs = str(folder / "runs")
    shown = bft_nas("show", "first", "--runs", runs)
    assert shown.returncode == 0, shown.stderr
    target = folder / "winner"
    exported = bft_nas("export", "first", "--runs", runs, "-o", str(target))
    assert exported.returncode == 0, exported.stderr
    environment = {"PATH": os.environ["PATH"]}
    alone = subprocess.run(
        [sys.executable, "-I", str(target / "model.py")],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert alone.returncode == 0, alone.stderr
    assert "1000" in alone.stdout
