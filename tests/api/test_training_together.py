"""``bft-nas train`` under torchrun: what is said when a process is killed, and how the training goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bft_nas
from bft_nas.api.training import open_training
from bft_nas.core.errors import UserError
from bft_nas.data.dataset import load_dataset
from bft_nas.training.processes import Processes
from tests.processes import children_of, followed, kill

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
NETWORK = ("mobilenet_v3_small", "--flops", "2M", "--resolution", "32", "--data", "few.npz", "--name", "two")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with real images in a file of arrays."""
    folder = tmp_path_factory.mktemp("place")
    images = load_dataset("fashion-mnist", size=28, images=140).train
    np.savez(folder / "few.npz", train_images=images.images, train_labels=images.labels)
    return folder


def test_a_killed_process_ends_the_other_in_a_line_and_one_process_goes_on(place: Path) -> None:
    torchrun = subprocess.Popen(
        [*TORCHRUN, "-m", "bft_nas", "train", *NETWORK, "--epochs", "4", "--batch-size", "25"],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    said = followed(torchrun, "epoch 2/4", lambda: kill(children_of(torchrun.pid)[-1]))
    assert torchrun.wait(120) == 1
    assert sum(line.startswith("epoch 1/4") for line in said) == 1
    assert any(line.startswith("together") and "2 processes" in line for line in said)
    assert [line for line in said if line.startswith("resume with:")] == [
        "resume with: bft-nas train --resume trained/two\n"
    ]
    (complaint,) = (line for line in said if line.startswith("bft-nas: error:"))
    assert "another process of this training ended (" in complaint
    assert complaint.count(".cc") == 0
    found = bft_nas.train(resume="two", trained=place / "trained", data=place / "few.npz", progress=False)
    assert [row["epoch"] for row in found.curve()] == [1, 2, 3, 4]
    assert found.finished


def test_a_mistake_is_said_once(place: Path) -> None:
    said = subprocess.run(
        [*TORCHRUN, "-m", "bft_nas", "train", *NETWORK, "--epochs", "none"],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    ).stderr
    assert said.count("--epochs: 'none': expected a whole number of 1 or more") == 1


def test_what_torchrun_starts_again_goes_on_with_its_own_training(place: Path) -> None:
    given: dict[str, Any] = {
        **{"flops": "2M", "resolution": 32, "data": place / "few.npz", "epochs": 1, "batch_size": 25},
        **{"trained": place / "trained", "name": "again"},
    }

    def opened(launch: str) -> Path:
        with open_training("mobilenet_v3_small", given, processes=Processes(0, 1, launch)) as work:
            return work.trained.folder

    folder = opened("torchrun of Monday")
    assert opened("torchrun of Monday") == folder
    with pytest.raises(UserError, match="there is one already; expected a new name, or resume again"):
        opened("torchrun of Tuesday")


def test_processes_that_cannot_share_a_batch_are_refused(place: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {
        **{"flops": "2M", "resolution": 32, "data": place / "few.npz", "batch_size": 5},
        **{"trained": tmp_path / "trained"},
    }
    with (
        pytest.raises(
            UserError, match="batch_size 5: 3 processes share a batch; expected 2 images or more for each"
        ),
        open_training("mobilenet_v3_small", given, processes=Processes(0, 3)),
    ):
        pass
    assert not (tmp_path / "trained").exists()
