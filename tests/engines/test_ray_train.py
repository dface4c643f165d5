"""A training to the end on a Ray cluster: the one of a single process, whatever dies meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bft_nas
from bft_nas.api.training_progress import Silent
from bft_nas.core.errors import UserError
from bft_nas.data.dataset import load_dataset
from bft_nas.training.curve import FullCurve
from tests.engines.clusters import TwoNodes, leave, of_two_nodes

NETWORK = "mobilenet_v3_small"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real images in a file of arrays."""
    path = tmp_path_factory.mktemp("data") / "few.npz"
    images = load_dataset("fashion-mnist", size=28, images=260).train
    np.savez(path, train_images=images.images, train_labels=images.labels)
    return path


@pytest.fixture(scope="module")
def cluster() -> Iterator[TwoNodes]:
    with pytest.MonkeyPatch.context() as patch:
        # Without it, a node would be refused where another cluster has left its token.
        patch.setenv("RAY_AUTH_MODE", "disabled")
        with of_two_nodes() as nodes:
            yield nodes


class Ends(Silent):
    """Sends SIGTERM to this process after the first epoch."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def epoch(self, curve: FullCurve) -> None:
        if len(curve) == 1:
            signal.raise_signal(signal.SIGTERM)


def test_two_workers_train_as_one_process_does_which_goes_on_where_they_were_interrupted(
    cluster: TwoNodes, data: Path, tmp_path: Path
) -> None:
    given: dict[str, Any] = {
        "flops": "2M",
        "resolution": 32,
        "data": data,
        "batch_size": 25,
        "sync_norms": True,
    }
    given |= {"epochs": 8, "trained": tmp_path}
    watcher = Ends()
    with pytest.raises(KeyboardInterrupt) as raised:
        bft_nas.train(
            NETWORK,
            name="cluster",
            engine="ray",
            ray_address=cluster[0],
            workers=2,
            progress=watcher,
            **given,
        )
    leave()
    assert getattr(raised.value, "number", None) == signal.SIGTERM
    assert watcher.said == ["2 workers"]
    files = {path.name for path in (tmp_path / "cluster").iterdir()}
    assert {"checkpoint.pt", "model.safetensors", "curve.csv"} <= files
    assert not {"last.safetensors", ".ray"} & files
    found = bft_nas.train(resume="cluster", trained=tmp_path, progress=False)
    assert [row["epoch"] for row in found.curve()] == list(range(1, 9))
    alone = bft_nas.train(NETWORK, name="alone", progress=False, **given)
    # Rounding grows from step to step: the first epoch is the same.
    assert found.curve()[0]["train_loss"] == pytest.approx(alone.curve()[0]["train_loss"], rel=1e-3)
    assert found.curve()[-1]["train_loss"] == pytest.approx(alone.curve()[-1]["train_loss"], rel=0.2)
    assert found.facts["protocol_hash"] == alone.facts["protocol_hash"]


def test_options_of_a_cluster_without_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="workers: needs engine ray"):
        bft_nas.train(NETWORK, flops="2M", workers=2, trained=tmp_path)
    with pytest.raises(UserError, match=r"ray_address '127\.0\.0\.1:1': cannot be joined"):
        bft_nas.train(NETWORK, flops="2M", engine="ray", ray_address="127.0.0.1:1", trained=tmp_path)


def test_a_node_that_is_lost_costs_no_more_than_the_epoch_under_way(
    cluster: TwoNodes, data: Path, tmp_path: Path
) -> None:
    address, kill_second = cluster
    training = subprocess.Popen(
        [
            *(sys.executable, "-m", "bft_nas", "train", NETWORK, "--flops", "2M", "--resolution", "32"),
            *("--data", str(data), "--epochs", "6", "--batch-size", "25", "--name", "lost"),
            *("--engine", "ray", "--ray-address", address, "--workers", "2"),
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    said: list[str] = []
    assert training.stdout is not None
    for line in training.stdout:
        said.append(line)
        if line.startswith("epoch 2/6"):
            kill_second()
    assert training.wait(400) == 0, said
    told = [line for line in said if line.startswith("epoch ")]
    assert [line.partition("/")[0] for line in told] == [f"epoch {number}" for number in range(1, 7)]
    assert [line.strip() for line in said if line.strip().endswith(("worker", "workers"))] == [
        "2 workers",
        "1 worker",
    ]
    assert any("the training goes on from its last epoch" in line for line in said)
    assert any(line.startswith("goes on after epoch ") for line in said)
    found = bft_nas.open_trained("lost", trained=tmp_path / "trained")
    assert found.finished
    assert not (found.folder / ".ray").exists()
