"""Every ``bft-nas`` line of README.md, of docs/ and of ``make search`` runs, as a newcomer would type it.

They run one after the other in one directory, which holds what their pages speak of: photos/, pneumonia.npz,
cifar10 and mine.yaml, the space that docs/spaces.md prints. What stands on several pages runs for the first of them.
Changed is only what takes minutes or another machine:

- a search trains 1 candidate (a resumed one 2) for 1 epoch of 200 images and validates it with as many, by one worker
  or two where it says more;
- the references are two of all, no winner is confirmed, and of so few candidates none is trained longer;
- what is trained to the end is trained for one epoch on 40 images;
- a candidate by number is the winner, as there are not so many;
- Ray's cluster is one of this machine, and the database a file;
- latencies are predicted from a stored table, not from layers that are timed;
- the data set of the hub is a folder, which goes before the hub's own of that name;
- the dashboard listens where no other test does, and is stopped as soon as it serves.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bft_nas.data import dataset
from bft_nas.data.dataset import Dataset
from bft_nas.data.division import Parts, Split
from bft_nas.network.references import REFERENCES
from bft_nas.record import Run
from tests.command_lines import Interrupted
from tests.conftest import Command, free_port
from tests.data.samples import cifar10_files, write_class_folders, write_files
from tests.latency.stored import stored_predictor

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
HOMES = ("--ray-address", "--ray-storage", "--gpus-per-trial", "--time", "--train")
"""Options that are left out, with their values."""


def lines_of(page: Path) -> list[str]:
    """The commands in a page's blocks, without what stands beside them."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```([a-z]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    lines = [line for language, block in blocks if not language for line in block.splitlines()]
    lines = [line for line in lines if line.startswith("bft-nas ")]
    return [re.split(r"\s{2,}", line)[0] for line in lines]


def made_small(line: str, folder: Path, port: int) -> list[str]:
    """A command's arguments with what this file's docstring says changed."""
    words = shlex.split(line)[1:]
    for name in HOMES:
        if name in words:
            del words[words.index(name) : words.index(name) + 2]
    changes = {"--storage": "sqlite:///study.db", "--workers": "2"}
    if words[0] == "search":
        again = "--resume" in words or "--join" in words
        changes["--trials"] = "2" if again else "1"
        words += [] if "--trials" in words else ["--trials", "1"]
        # A run's own protocol stays.
        words += [] if again else ["--epochs", "1", "--images", "200"]
        words += [each for each in ("--no-confirm", "--no-timing") if each not in words]
    if words[0] in ("search", "compare"):
        words += [] if "--workers" in words else ["--workers", "1"]
    if words[0] == "latency":
        words += ["--queries", "8", "--seconds", "0"]
    if words[0] == "train":
        words += ["--epochs", "1", "--data", "pneumonia.npz"]
    if words[0] == "dashboard" and "--port" not in words:
        words += ["--port", str(port)]
    if "--candidate" in words:
        changes["--candidate"] = str(Run.open(words[1], runs=folder / "runs").winner()["number"])
    for name, value in changes.items():
        if name in words:
            words[words.index(name) + 1] = value
    return words


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("newcomer")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (40, 40, 40, 3), dtype=np.uint8)
    labels = np.arange(40) % 2
    write_class_folders(folder / "photos", images, labels, ["cats", "dogs"])
    write_class_folders(folder / "AI-Lab-Makerere/beans/train", images, labels, ["healthy", "rust"])
    np.savez(
        folder / "pneumonia.npz",
        train_images=images,
        train_labels=labels,
        val_images=images[::-1],
        val_labels=labels[::-1],
    )
    write_files(folder / "data/cifar10", cifar10_files("cifar-10-batches-bin"))
    spaces = (ROOT / "docs/spaces.md").read_text(encoding="utf-8")
    (folder / "mine.yaml").write_text(spaces.partition("```yaml\n")[2].partition("```")[0])
    return folder


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def typed() -> set[tuple[str, ...]]:
    """The commands that ran before, on other pages."""
    return set()


def few_to_validate(make: Callable[[str, Parts], Dataset], name: str, parts: Parts) -> Dataset:
    few = Split(parts.validation.images[:200], parts.validation.labels[:200])
    return make(name, replace(parts, validation=few))


@pytest.fixture
def newcomer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(folder / "cache"))
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("bft_nas.data.dataset._dataset", partial(few_to_validate, dataset._dataset))
    monkeypatch.setattr("bft_nas.searching.references.REFERENCES", REFERENCES[:2])
    monkeypatch.setattr("bft_nas.latency.calibration.predictor_for", lambda *arguments: stored_predictor())
    monkeypatch.setattr("bft_nas.searching.references.USUAL", REFERENCES[:2])
    monkeypatch.setattr("bft_nas.export.runtimes.onnx_int8.SECONDS", 0.0)
    monkeypatch.setattr("bft_nas.api.evaluation.CALIBRATION_IMAGES", 40)
    monkeypatch.setattr(
        "bft_nas.dashboard._server.make_http_server", lambda app, listener: Interrupted(listener)
    )
    return folder


def test_make_search_is_a_command_that_this_file_runs() -> None:
    made = subprocess.run(
        ["make", "--dry-run", "search"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert ".venv/bin/bft-nas search --flops 50M --confirm-divisor 3\n" in made


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_run(
    page: Path,
    newcomer: Path,
    port: int,
    typed: set[tuple[str, ...]],
    bft_nas: Command,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from bft_nas.cli.main import main

    begin = ["bft-nas search --flops 50M"] if not (newcomer / "runs/mobile-50M").exists() else []
    for line in begin + lines_of(page):
        words = made_small(line, newcomer, port)
        if tuple(words) in typed:
            continue
        typed.add(tuple(words))
        if "ray" in words:
            # A cluster of its own ends with its process.
            done = bft_nas(*words, "--runs", str(newcomer / "runs"), "--no-references")
            assert (line, done.returncode, done.stderr) == (line, 0, "")
            continue
        code = main(words)
        assert (line, code, capfd.readouterr().err) == (line, 0, "")


def test_every_page_of_commands_is_read() -> None:
    lines = [line for page in PAGES for line in lines_of(page)]
    assert len(lines) >= 25
    assert {shlex.split(line)[1] for line in lines} == {
        *(
            "search",
            "show",
            "train",
            "evaluate",
            "export",
            "latency",
            "compare",
            "fidelity",
            "dashboard",
            "runs",
            "report",
        ),
        *("references", "spaces", "data"),
    }
