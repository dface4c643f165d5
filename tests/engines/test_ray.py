"""Trainings on a Ray cluster: the same record as on this machine, whatever dies meanwhile.

All are in one file, as they kill whatever Ray has started on this machine: no others may run at the same time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import torch

import bft_nas
from bft_nas.core.errors import UserError
from bft_nas.core.interrupts import Interrupt
from bft_nas.data.dataset import load_dataset
from bft_nas.data.images import Images
from bft_nas.engines import EngineOptions, choose_engine, local_engine
from bft_nas.engines._ray_worker import Portion
from bft_nas.record import Run
from bft_nas.searching.confirmation import Confirmations, confirm
from bft_nas.searching.contenders import contenders_of
from bft_nas.searching.jobs import Outcome
from bft_nas.searching.loop import Clock, Prepared, search
from bft_nas.training.confirmation import Confirmation
from tests.conftest import SPACE, Silent, of_threads, tiny_prepared, tiny_run
from tests.engines.clusters import TwoNodes, leave, of_two_nodes, wait_until
from tests.engines.watching import Meddler, record, record_of_one
from tests.processes import followed

TRIALS = 4


def is_joined() -> bool:
    return bool(sys.modules["ray"].is_initialized())


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return tiny_prepared(epochs=3, trials=TRIALS, sampler="tpe")


@pytest.fixture(scope="module")
def portion() -> Iterator[Portion]:
    """A cluster of this machine's own, two trainings at once."""
    from bft_nas.engines.ray_cluster import connect

    yield connect(None, workers=2, cpus=1)
    leave()


@pytest.fixture(scope="module")
def undisturbed(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return record_of_one(prepared, tmp_path_factory.mktemp("runs"), TRIALS)


def go(
    run: Run,
    prepared: Prepared,
    watcher: Silent,
    portion: Portion,
    *,
    trials: int = TRIALS,
    retries: int = 2,
    timeout: float = 600.0,
) -> None:
    from bft_nas.engines.ray_tune import ray_engine

    engine = ray_engine(
        prepared.images,
        run.protocol,
        portion=portion,
        storage=str(run.folder / ".ray"),
        retries=retries,
        timeout=timeout,
    )
    search(run, engine, watcher, Clock(), trials=trials, seconds=None)


def workers() -> list[int]:
    """The processes in which Ray trains."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        others = (b"ray::IDLE", b"ray::Shelf", b"ray::DashboardAgent", b"ray::RuntimeEnvAgent")
        if command.startswith(b"ray::") and not command.startswith(others):
            found.append(int(folder.name))
    return found


def test_two_workers_train_at_once_even_what_takes_less_time_than_their_start(
    prepared: Prepared, portion: Portion, tmp_path: Path
) -> None:
    run = tiny_run(tmp_path, prepared)
    watcher = Silent()
    go(run, prepared, watcher, portion)
    assert sorted(watcher.epochs) == [(number, epoch) for number in range(TRIALS) for epoch in (1, 2, 3)]
    assert watcher.epochs != sorted(watcher.epochs)


def test_a_candidate_whose_worker_is_killed_goes_on_from_its_last_epoch(
    prepared: Prepared, undisturbed: pd.DataFrame, portion: Portion, tmp_path: Path
) -> None:
    def kill() -> None:
        for worker in workers():
            os.kill(worker, signal.SIGKILL)

    run = tiny_run(tmp_path, prepared)
    watcher = Meddler([(1, 1)], kill)
    go(run, prepared, watcher, Portion(1, 1, 0))
    pd.testing.assert_frame_equal(record(run), undisturbed)
    assert [number for number, _ in watcher.losses] == [1]
    assert "its worker died" in watcher.losses[0][1]
    told = [(number, epoch) for number in range(TRIALS) for epoch in (1, 2, 3)]
    assert list(dict.fromkeys(watcher.epochs)) == told
    assert watcher.epochs.count((1, 3)) == 1
    assert not list(run.folder.rglob("checkpoint.pt"))
    assert not list((run.folder / ".ray").iterdir())
    assert run.weights(int(record(run)["accuracy"].argmax()))


def test_an_interrupted_search_goes_on_in_this_process_from_the_checkpoints(
    prepared: Prepared, undisturbed: pd.DataFrame, tmp_path: Path
) -> None:
    from bft_nas.engines.ray_cluster import connect

    def interrupt() -> None:
        raise KeyboardInterrupt

    run = tiny_run(tmp_path, prepared)
    with pytest.raises(KeyboardInterrupt):
        go(run, prepared, Meddler([(1, 3)], interrupt), connect(None, workers=1, cpus=1))
    assert not is_joined()
    assert not list((run.folder / ".ray").iterdir())
    # Of the last epoch but one.
    assert (run.folder / "candidates/0001/checkpoint.pt").is_file()
    again = Silent()
    with of_threads(1):
        search(run, local_engine(prepared.images, run.protocol), again, Clock(), trials=TRIALS, seconds=None)
    pd.testing.assert_frame_equal(record(run), undisturbed)
    assert (1, 1) not in again.epochs
    connect(None, workers=2, cpus=1)


def dying_once(mark: Path, *, trained: bool) -> Callable[..., None]:
    """What a worker does that dies the first time: before its training, or when it has reported the outcome."""

    def train(config: dict[str, Any], *, dataset: Any, setup: Any, shelf: Any) -> None:
        from bft_nas.engines import _ray_worker

        def die_once() -> None:
            if not mark.exists():
                mark.touch()
                os._exit(1)

        def train_job(*job: Any, **more: Any) -> Outcome:
            if not trained:
                die_once()
            return bft_nas.searching.jobs.train_job(*job, **more)

        with patch.object(_ray_worker, "train_job", train_job):
            _ray_worker.train_reporting(config, dataset=dataset, setup=setup, shelf=shelf)
        die_once()

    return train


def test_a_resumed_candidate_whose_worker_dies_before_an_epoch_is_over_does_not_begin_anew(
    prepared: Prepared,
    undisturbed: pd.DataFrame,
    portion: Portion,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    run = tiny_run(tmp_path, prepared)
    engine = local_engine(prepared.images, run.protocol)
    with of_threads(1), pytest.raises(KeyboardInterrupt):
        search(run, engine, Meddler([(0, 2)], interrupt), Clock(), trials=1, seconds=None)
    again = Silent()
    monkeypatch.setattr(
        "bft_nas.engines.ray_tune.train_reporting", dying_once(tmp_path / "dead", trained=False)
    )
    go(run, prepared, again, portion, trials=1)
    assert again.losses == [(0, "its worker died; resumes from its last epoch")]
    assert (0, 1) not in again.epochs
    pd.testing.assert_frame_equal(record(run), undisturbed.loc[[0]])


def test_a_worker_that_is_lost_after_its_last_word_costs_an_epoch(
    prepared: Prepared,
    undisturbed: pd.DataFrame,
    portion: Portion,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, watcher = tiny_run(tmp_path, prepared), Silent()
    monkeypatch.setattr(
        "bft_nas.engines.ray_tune.train_reporting", dying_once(tmp_path / "dead", trained=True)
    )
    go(run, prepared, watcher, portion, trials=1)
    assert watcher.losses == [(0, "its worker died; resumes from its last epoch")]
    assert watcher.epochs.count((0, 1)) == 1
    pd.testing.assert_frame_equal(record(run), undisturbed.loc[[0]])


def test_a_worker_in_which_nothing_happens_ends_itself(
    prepared: Prepared, portion: Portion, tmp_path: Path
) -> None:
    run = tiny_run(tmp_path, prepared)
    # No step is as quick as that.
    go(run, prepared, Silent(), portion, trials=1, retries=1, timeout=0.001)
    assert list(record(run)["state"]) == ["failed"]
    assert list(record(run)["reason"]) == ["its worker died, 2 times"]


def test_halving_stops_and_promotes_as_it_does_in_one_process(portion: Portion, tmp_path: Path) -> None:
    prepared = tiny_prepared(epochs=4, trials=6, scheduler="halving", eta=2)
    here, there = (tiny_run(tmp_path, prepared, name) for name in ("here", "there"))
    with of_threads(1):
        search(here, local_engine(prepared.images, here.protocol), Silent(), Clock(), trials=6, seconds=None)
    go(there, prepared, Silent(), Portion(1, 1, 0), trials=6)
    pd.testing.assert_frame_equal(record(there), record(here))
    assert set(record(here)["state"]) == {"complete", "stopped"}


def test_a_confirmation_finds_what_it_finds_in_this_process(
    prepared: Prepared, portion: Portion, tmp_path: Path
) -> None:
    """Each job has a protocol of its own, and its images are more than the search's."""
    from bft_nas.engines.ray_tune import ray_engine

    dataset = load_dataset("fashion-mnist", size=24, images=600)
    images = Images(dataset, torch.device("cpu"))
    found = []
    for name in ("here", "ray"):
        run = tiny_run(tmp_path, prepared, name)
        with of_threads(1):
            local = local_engine(prepared.images, run.protocol)
            search(run, local, Silent(), Clock(), trials=2, seconds=None)
            proxy = replace(run.protocol, epochs=1)
            wider = replace(proxy, data_digest=dataset.digest, train_images=600)
            longer = Confirmation.of(proxy, wider, seeds=(1,))
            known, watcher = Confirmations(run, contenders_of(run), longer), Silent()
            if name == "ray":
                storage = str(run.folder / ".ray")
                engine = ray_engine(
                    images, run.protocol, portion=portion, storage=storage, retries=0, timeout=600.0
                )
            else:
                engine = local_engine(images, run.protocol)
            confirm(known, engine, watcher, Clock())
        assert {epoch for _, epoch in watcher.epochs} == {1, 2}
        assert run.weights_file(int(run.winner()["number"])) is not None
        found.append(run.confirmations().drop(columns="seconds"))
    here, there = found
    pd.testing.assert_frame_equal(there, here)
    assert len(here) == 2


def test_more_than_any_node_has_is_refused(portion: Portion) -> None:
    from bft_nas.engines.ray_cluster import connect

    with pytest.raises(UserError, match="cpus_per_trial 4096: no node of the cluster has so many"):
        connect(None, cpus=4096)
    with pytest.raises(UserError, match="gpus_per_trial 99: no node of the cluster has so many"):
        connect(None, gpus=99)


def test_a_cluster_that_was_begun_for_a_search_ends_with_it(portion: Portion) -> None:
    from bft_nas.engines import ray_cluster

    ray_cluster.leave()
    assert not is_joined()
    options = EngineOptions.of({"engine": "ray", "workers": 1})
    with choose_engine(options, [64], 2_000_000):
        assert is_joined()
    assert not is_joined()
    # As a thread of Ray's may that goes on for a moment: it would have a session of its own.
    with pytest.raises(Exception, match="has not been started"):
        sys.modules["ray"].put(1)
    assert not is_joined()


def test_a_session_that_the_program_began_is_used_and_stays(prepared: Prepared, tmp_path: Path) -> None:
    import ray

    from bft_nas.engines.ray_cluster import connect

    def interrupt() -> None:
        raise KeyboardInterrupt

    def is_idle() -> bool:
        free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
        return not workers() and free.get("CPU") == os.cpu_count()

    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    address = ray.get_runtime_context().gcs_address
    with pytest.raises(UserError, match=rf"ray_address '10\.0\.0\.1:6379': .* in the cluster at {address}"):
        connect("10.0.0.1:6379")
    portion = connect(None, workers=1, cpus=1)
    assert connect(address, workers=1, cpus=1) == portion
    assert connect(f"localhost:{address.rpartition(':')[2]}", workers=1, cpus=1) == portion
    run = tiny_run(tmp_path, prepared)
    with pytest.raises(KeyboardInterrupt):
        go(run, prepared, Meddler([(0, 2)], interrupt), portion)
    assert is_joined()
    wait_until(is_idle)
    leave()


def test_a_node_that_is_lost_costs_no_more_than_an_epoch(two_nodes: TwoNodes, tmp_path: Path) -> None:
    address, kill_second = two_nodes
    (tmp_path / "tiny.yaml").write_text(SPACE)
    epochs = 6
    arguments = (
        *("search", "--flops", "2M", "--space", "tiny.yaml", "--sampler", "random", "--trials", "3"),
        *("--images", "1500", "--epochs", str(epochs), "--no-references", "--no-confirm", "--no-timing"),
    )

    def start(*more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "bft_nas.cli.main", *arguments, *more],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    lost = start("--name", "lost", "--engine", "ray", "--ray-address", address, "--workers", "2")
    assert lost.stdout is not None
    said: list[str] = []
    for line in lost.stdout:
        said.append(line)
        # Both nodes are at it, and have done more than what may be lost.
        if all(any(f"({k} of 3)" in told and "epoch 3/" in told for told in said) for k in (1, 2)):
            break
    kill_second()
    said += lost.stdout
    assert lost.wait(400) == 0, said
    assert any("its worker died" in line for line in said)
    assert any("resumes from its last epoch" in line for line in said)
    # An epoch is told twice when it was on record before its node was lost, and no more often.
    assert sum(", epoch " in line for line in said) <= 3 * epochs + 2

    peace = start("--name", "peace", "--workers", "2")
    assert peace.wait(400) == 0
    found, expected = (record(Run.open(name, runs=tmp_path / "runs")) for name in ("lost", "peace"))
    pd.testing.assert_frame_equal(
        found.sort_values("hash").reset_index(drop=True), expected.sort_values("hash").reset_index(drop=True)
    )


# Trainings to the end

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
    """Of two nodes, for the tests below."""
    with pytest.MonkeyPatch.context() as patch:
        # Without it, a node would be refused where another cluster has left its token.
        patch.setenv("RAY_AUTH_MODE", "disabled")
        with of_two_nodes() as nodes:
            yield nodes


TO_THE_END = [
    *(sys.executable, "-m", "bft_nas", "train", NETWORK, "--flops", "2M", "--resolution", "32"),
    *("--batch-size", "25", "--engine", "ray", "--workers", "2"),
]


def test_a_training_that_is_interrupted_before_its_workers_begin_leaves_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def soon() -> Iterator[Callable[[], None]]:
        looks = iter(range(8))

        def check() -> None:
            if next(looks) == 7:
                raise Interrupt(signal.SIGINT, at_once=False)

        yield check

    monkeypatch.setattr("bft_nas.engines.ray_train.awaited", soon)
    storage = tmp_path / "storage"
    cluster: dict[str, Any] = {"engine": "ray", "workers": 2, "ray_storage": str(storage)}
    with pytest.raises(Interrupt):
        bft_nas.train(
            NETWORK, flops="2M", resolution=32, data=data, trained=tmp_path, progress=False, **cluster
        )
    assert not is_joined()
    assert not list(storage.glob("*"))
    wait_until(lambda: not workers() and not any("(fit)" in thread.name for thread in threading.enumerate()))


def test_two_workers_train_as_one_process_does_which_goes_on_where_they_were_interrupted(
    cluster: TwoNodes, data: Path, tmp_path: Path
) -> None:
    given = ("--data", str(data), "--epochs", "8", "--sync-norms", "--ray-address", cluster[0])
    training = subprocess.Popen(
        [*TO_THE_END, *given, "--name", "cluster", "--trained", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    said = followed(training, "epoch 1/8", lambda: training.send_signal(signal.SIGTERM))
    assert training.wait(100) == 128 + signal.SIGTERM, said
    assert "2 workers" in map(str.strip, said)
    files = {path.name for path in (tmp_path / "cluster").iterdir()}
    assert {"checkpoint.pt", "model.safetensors", "curve.csv"} <= files
    assert not {"last.safetensors", ".ray"} & files
    found = bft_nas.train(resume="cluster", trained=tmp_path, progress=False)
    assert [row["epoch"] for row in found.curve()] == list(range(1, 9))
    same: dict[str, Any] = {
        "flops": "2M",
        "resolution": 32,
        "batch_size": 25,
        "epochs": 8,
        "sync_norms": True,
    }
    alone = bft_nas.train(NETWORK, name="alone", data=data, trained=tmp_path, progress=False, **same)
    # Rounding grows from step to step: the first epoch is the same.
    assert found.curve()[0]["train_loss"] == pytest.approx(alone.curve()[0]["train_loss"], rel=1e-3)
    assert found.curve()[-1]["train_loss"] == pytest.approx(alone.curve()[-1]["train_loss"], rel=0.2)
    assert found.facts["protocol_hash"] == alone.facts["protocol_hash"]


def test_options_of_a_cluster_without_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="workers: needs engine ray"):
        bft_nas.train(NETWORK, flops="2M", workers=2, trained=tmp_path)
    with pytest.raises(UserError, match=r"ray_address '127\.0\.0\.1:1': cannot be joined"):
        bft_nas.train(NETWORK, flops="2M", engine="ray", ray_address="127.0.0.1:1", trained=tmp_path)


def test_a_node_that_is_lost_costs_a_training_to_the_end_no_more_than_the_epoch_under_way(
    cluster: TwoNodes, data: Path, tmp_path: Path
) -> None:
    address, kill_second = cluster
    training = subprocess.Popen(
        [*TO_THE_END, "--data", str(data), "--epochs", "6", "--name", "lost", "--ray-address", address],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    said = followed(training, "epoch 2/6", kill_second)
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
