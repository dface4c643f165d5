"""``bft-nas train`` under SIGKILL, again and again and at the worst moments: it ends as if nothing had happened.

``BFT_NAS_CHAOS_ROUNDS=10 pytest tests/api/test_training_killed.py`` kills more often than every change has to pass.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

import bft_nas
from tests.api.conftest import write_few

ROUNDS = int(os.environ.get("BFT_NAS_CHAOS_ROUNDS", "3"))
# At least an epoch is left to every round, and two to the last one.
EPOCHS = ROUNDS + 2
NAME = "mobilenet_v3_small"
STEPS = 5
SURE = [("predicting", 2), ("half of checkpoint.pt", 2)]
"""Moments that come up whatever the random numbers are: amid a validation, and amid the writing of a checkpoint."""
ANY = [
    *(("training", step) for step in range(1, STEPS + 1)),
    *((kind, turn) for kind in ("settling", "predicting") for turn in (1, 2)),
    *(
        (f"{moment} {file}", turn)
        for file in ("checkpoint.pt", "model.safetensors", "curve.csv")
        for moment in ("half of", "before", "after")
        for turn in (1, 2)
    ),
    *(("milliseconds", wait) for wait in range(0, 1000, 50)),
]
"""A moment, and at which of its kind in a process; or a time after the first step."""

# The command, with an end at one moment of its life. A file is half there when a process ends amid its writing: what it
# has written so far is cut, as nobody could tell otherwise how far it had come.
COMMAND = """
import os, signal, sys, threading, time
import torch
import bft_nas.training.finish as finish
from bft_nas.cli.main import main

kind, turn = sys.argv[1], int(sys.argv[2])

def come(to):
    global turn
    turn -= to == kind
    if to == kind and turn == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def told(name, function):
    def call(*given, **options):
        come(name)
        return function(*given, **options)
    return call

def half(function):
    def call(model, protocol, images, pixels, size, **options):
        function(model, protocol, images, pixels, size, places=slice(len(pixels) // 2))
        come("predicting")
        return function(model, protocol, images, pixels, size, **options)
    return call

def first(function):
    def call(*given):
        if kind == "milliseconds" and not clock.is_alive():
            clock.start()
        return function(*given)
    return call

def synced(fd, sync=os.fsync):
    name = os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))[1:].rsplit(".", 2)[0]
    if kind == f"half of {name}" and turn == 1:
        os.ftruncate(fd, os.fstat(fd).st_size // 2)
    come(f"half of {name}")
    return sync(fd)

def moved(source, target, *, move=os.replace):
    come(f"before {os.path.basename(target)}")
    move(source, target)
    come(f"after {os.path.basename(target)}")

clock = threading.Thread(
    target=lambda: (time.sleep(turn / 1000), os.kill(os.getpid(), signal.SIGKILL)), daemon=True
)
training = finish.FullTraining
training._train_step = first(told("training", training._train_step))
finish.settle_norms = told("settling", finish.settle_norms)
finish.predict = half(finish.predict)
os.fsync, os.replace = synced, moved
sys.exit(main(sys.argv[3:]))
"""


def run(folder: Path, moment: tuple[str, int], *line: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", COMMAND, moment[0], str(moment[1]), "train", *line]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


def same_weights(one: Path, other: Path) -> bool:
    a, b = load_file(one), load_file(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def without_times(rows: list[dict[str, float]]) -> list[str]:
    return [repr({name: value for name, value in row.items() if name != "seconds"}) for row in rows]


def test_killed_again_and_again_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    write_few(tmp_path / "few.npz", train=160, validation=60, test=60)
    given: dict[str, Any] = {"flops": "2M", "resolution": 32, "epochs": EPOCHS, "batch_size": 32}
    peace = bft_nas.train(
        NAME, data=tmp_path / "few.npz", trained=tmp_path / "peace", name="peace", progress=False, **given
    )
    options = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    line = [NAME, *options, "--data", "few.npz", "--name", "chaos"]
    choose = random.Random(int(os.environ.get("BFT_NAS_CHAOS_SEED", "0")))
    moments = (SURE + [choose.choice(ANY) for _ in range(ROUNDS)])[: ROUNDS - 1]
    # The last one when all is trained, and nothing evaluated yet.
    for moment in [*moments, ("before evaluation.json", 1)]:
        died = run(tmp_path, moment, *line)
        assert died.returncode == -signal.SIGKILL, (moment, died)
        line = ["--resume", "chaos"]
        found = bft_nas.open_trained("chaos", trained=tmp_path / "trained")
        assert found.evaluation() is None
    done = run(tmp_path, ("none", 0), *line)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("model.safetensors", "last.safetensors"):
        assert same_weights(found.folder / name, peace.folder / name)
    assert without_times(found.curve()) == without_times(peace.curve())
    expected = peace.evaluation()
    assert expected is not None
    assert found.evaluation() == expected
    # Nothing is left of what was begun.
    assert {path.name for path in found.folder.iterdir()} == {path.name for path in peace.folder.iterdir()}
    assert "60 test images (95 %: " in done.stdout
    assert "export   bft-nas export trained/chaos -o chaos" in done.stdout
