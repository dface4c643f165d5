"""What several tests share: small real images, small spaces, and the command line in a process of its own."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest
import torch
from hypothesis import HealthCheck, settings

from bft_nas.data.dataset import Split, load_dataset
from bft_nas.data.images import Images
from bft_nas.record import Candidate, DataFacts, Run, Settings
from bft_nas.searching.loop import Prepared, prepare
from bft_nas.space.space import SearchSpace
from bft_nas.training.curve import Epoch
from bft_nas.training.loop import TrainingFailed

# Machines are slow now and then, and no test is about time.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
# What `.ci/run` asks for: a change is judged by itself, not by what a property was asked this time.
settings.register_profile("repeatable", settings.get_profile("untimed"), derandomize=True)

FORMER = Path(__file__).parent / "former_run"
"""A run as an early version recorded it, which every later one reads."""
SPACE = """
family: tiny
resolution: [64, 96]
budget_share: [0.5, 0.75, 1.0]
width: {min: 0.25, max: 4}
stem: {channels: 16}
stages:
  - {block: separable, channels: 32, stride: 2, depth: [1, 2], kernel: [3, 5],
     fusion: [dense, butterfly], radix: [2, 4, 8]}
  - {block: separable, channels: 64, stride: 2, depth: [1, 2], kernel: [3, 5],
     fusion: [dense, butterfly], radix: [2, 4, 8]}
"""
"""Networks that train in about a second, with choices enough that proposals differ."""


LONGEST_FILES = (
    "test_ray.py",
    "test_end_to_end.py",
    "test_confirmation.py",
    "test_app.py",
    "test_disasters.py",
    "test_report_in_browser.py",
    "test_sanitized.py",
    "test_export.py",
    "test_chaos.py",
    "test_documented_commands.py",
    "test_app_live.py",
    "test_storage.py",
    "test_missing_views.py",
    "test_loop.py",
    "test_unforeseen.py",
    "test_names.py",
    "test_api.py",
    "test_wheel.py",
    "test_app_server.py",
    "test_report_of_a_search.py",
    "test_searched.py",
    "test_cost.py",
    "test_compilers.py",
    "test_space.py",
    "test_cuda.py",
    "test_references.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes minutes: of several processes none is left with it while the others have nothing to do."""
    place = {name: k for k, name in enumerate(LONGEST_FILES)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Silent:
    """A watcher that keeps what it was told."""

    def __init__(self) -> None:
        self.begun: list[Candidate] = []
        self.epochs: list[tuple[int, int]] = []
        self.losses: list[tuple[int, str]] = []
        self.ended: list[tuple[int, float | None, str]] = []
        self.advice: list[str] = []

    def begin(self, candidate: Candidate, position: int) -> None:
        self.begun.append(candidate)

    def step(self, candidate: Candidate, done: int, total: int) -> None: ...

    def epoch(self, candidate: Candidate, row: Epoch) -> None:
        self.epochs.append((candidate.number, row.epoch))

    def lost(self, candidate: Candidate, reason: str) -> None:
        self.losses.append((candidate.number, reason))

    def end(self, candidate: Candidate, accuracy: float | None, reason: str, seconds: float) -> None:
        self.ended.append((candidate.number, accuracy, reason))

    def advise(self, text: str) -> None:
        self.advice.append(text)


@contextmanager
def of_threads(count: int) -> Iterator[None]:
    """Within it, this process computes with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def diverging_trainings() -> Iterator[None]:
    """Within it, every training fails."""

    def fail(*arguments: object, **options: object) -> None:
        raise TrainingFailed("diverged")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bft_nas.training.loop.build_and_train", fail)
        yield


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    """Whatever a test does to the number of threads ends with it."""
    with of_threads(torch.get_num_threads()):
        yield


@contextmanager
def closed(folder: Path) -> Iterator[None]:
    """Nothing can be made in a folder meanwhile, as far as anybody asks: root may write everywhere."""
    make = tempfile.TemporaryFile

    def refuse(*, dir: Path) -> IO[bytes]:
        if dir == folder:
            raise PermissionError(errno.EACCES, "Permission denied", str(dir))
        return make(dir=dir)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.TemporaryFile", refuse)
        yield


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def tiny_space(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(SPACE)
    return path


@pytest.fixture
def bft_nas(tmp_path: Path) -> Command:
    """Runs ``bft-nas`` in an empty directory and returns what it printed and its exit code."""

    def run(*arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bft_nas.cli.main", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def images() -> Images:
    return Images(load_dataset("fashion-mnist", size=24, images=300), torch.device("cpu"))


def tiny_settings(**changes: object) -> Settings:
    given: dict[str, object] = {
        "budgets": (3_000_000,),
        "space": "tiny",
        "resolutions": (64, 96),
        "classes": 1000,
        "data": "fashion-mnist",
        "images": 300,
        "epochs": 1,
        "batch_size": 32,
        "proxy_divisor": 4,
        "sampler": "random",
        "seed": 0,
        "trials": 3,
        "seconds": None,
    }
    return Settings(**(given | changes))  # type: ignore[arg-type]


def tiny_prepared(**changes: object) -> Prepared:
    """On a tenth of the images for validation, which would take longer than the training."""
    prepared = prepare(tiny_settings(**changes), SearchSpace.parse(SPACE, where="tiny.yaml", name="tiny"))
    whole = prepared.images.dataset
    validation = Split(whole.validation.images[::10], whole.validation.labels[::10])
    return replace(prepared, images=Images(replace(whole, validation=validation), torch.device("cpu")))


def tiny_run(folder: Path, prepared: Prepared, name: str = "tiny") -> Run:
    facts = DataFacts(prepared.images.dataset.classes, prepared.images.mean, prepared.images.std)
    return Run.create(name, prepared.settings, prepared.space, prepared.protocol, data=facts, runs=folder)
