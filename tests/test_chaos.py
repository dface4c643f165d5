"""Kills at random: of workers and of whoever drives them, again and again, and in the end nothing is different.

``BFT_NAS_CHAOS_ROUNDS=20 pytest tests/test_chaos.py`` runs more rounds than every change has to pass.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from functools import partial
from pathlib import Path

import pandas as pd

from bft_nas.record import Run
from tests import processes
from tests.conftest import SPACE
from tests.processes import children_of, kill

ROUNDS = int(os.environ.get("BFT_NAS_CHAOS_ROUNDS", "3"))
TRIALS = 4 + ROUNDS
TRAINING = (
    "--trials",
    str(TRIALS),
    "--workers",
    "2",
    "--retries",
    "1000",
    "--no-references",
    "--no-confirm",
    "--no-timing",
)
SEARCH = (
    *("search", "--flops", "2M", "--space", "tiny.yaml", "--sampler", "random", "--seed", "7"),
    *("--images", "1500", "--epochs", "4", "--batch-size", "32", "--classes", "10"),
    *TRAINING,
)

start = partial(processes.start, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def workers_of(driver: int) -> list[int]:
    """The processes that train for it: what those that it started have started."""
    return [worker for child in children_of(driver) for worker in children_of(child)]


def has_begun(folder: Path) -> bool:
    return any((folder / "runs").glob("chaos/candidates/*/architecture.json"))


def record(run: Run) -> pd.DataFrame:
    """What is on record, but for the time it took: random proposals come in the order of their numbers."""
    return run.results().drop(columns="seconds").sort_values("number").reset_index(drop=True)


def test_a_search_under_fire_finds_what_an_undisturbed_one_does(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SPACE)
    peace = start(tmp_path, *SEARCH, "--name", "peace")
    assert peace.wait(600) == 0, peace.stderr and peace.stderr.read()

    rng = random.Random(0)
    arguments: tuple[str, ...] = (*SEARCH, "--name", "chaos")
    for _ in range(ROUNDS):
        driver = start(tmp_path, *arguments)
        deadline = time.monotonic() + 60
        while not has_begun(tmp_path) and driver.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        arguments = ("search", "--resume", "chaos", *TRAINING)
        for _ in range(rng.randrange(3)):
            time.sleep(rng.uniform(0.5, 3))
            workers = workers_of(driver.pid)
            if workers:
                kill(rng.choice(workers))
        time.sleep(rng.uniform(1, 4))
        kill(driver.pid)
        driver.wait()
        # Whatever moment it was, the record opens, and every description in it is whole.
        run = Run.open("chaos", runs=tmp_path / "runs")
        assert len(run.results()) <= TRIALS
        for description in run.folder.glob("candidates/*/architecture.json"):
            json.loads(description.read_text())

    end = start(tmp_path, *arguments)
    assert end.wait(600) == 0, end.stderr and end.stderr.read()
    chaos, undisturbed = (Run.open(name, runs=tmp_path / "runs") for name in ("chaos", "peace"))
    found, expected = record(chaos), record(undisturbed)
    assert len(found) == TRIALS
    assert (found["state"] == "complete").all()
    assert found["hash"].is_unique
    columns = ["hash", "accuracy", "macs", "epochs", "fusions"]
    pd.testing.assert_frame_equal(
        found[columns].sort_values("hash").reset_index(drop=True),
        expected[columns].sort_values("hash").reset_index(drop=True),
    )
    assert not list(chaos.folder.rglob("checkpoint.pt"))
