"""``bft-nas train`` on what it cannot train: one line, exit 2, and nothing is left behind."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bft_nas
from bft_nas.cli.main import main
from bft_nas.data.dataset import load_dataset
from tests.dashboard.made_up import make_run
from tests.data.samples import write_class_folders

REAL = load_dataset("fashion-mnist", size=28, images=40).train
TINY = ("mobilenet_v3_small", "--flops", "2M", "--resolution", "32", "--epochs", "1")


def write_parts(root: Path, parts: Mapping[str, int]) -> None:
    """So many real images below each folder, which is there without any, too."""
    for place, count in parts.items():
        (root / place).mkdir(parents=True)
        if count:
            write_class_folders(
                root / place, REAL.images[:count], np.zeros(count, np.int64), (".",), suffix=".png"
            )


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of real images called photos, and a run on them with a candidate that failed."""
    monkeypatch.chdir(tmp_path)
    write_parts(tmp_path / "photos", {"a": 5, "b": 5})
    run = make_run(tmp_path / "runs", candidates=20, failed=0.3)
    run.keep(data=str(tmp_path / "photos"), confirm_divisor=1)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *line: str) -> str:
    """What is said against a command line, which leaves every file and folder as it was."""

    def files() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.name != ".lock"}

    before = files()
    assert main(["train", *line]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("bft-nas: error: ")
    assert err.count("\n") == 1
    assert files() == before
    return err.removeprefix("bft-nas: error: ").rstrip("\n")


def decoded(*arguments: object, **options: object) -> None:
    """In the place of what decodes images, where it is not to be reached."""
    pytest.fail("the images are decoded first")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"train/a": 3, "train/b": 3, "val": 0}, "own/val: no class folders; expected one folder of images"),
        ({"train/a": 3, "train/b": 3, "val/a": 0, "val/b": 0}, "own/val/a: no images; expected files ending"),
        ({"train": 0, "val/a": 3, "val/b": 3}, "own/train: no class folders; expected one folder of images"),
        ({"train/a": 3, "train/b": 0, "val/a": 1, "val/b": 1}, "own/train/b: no images; expected files"),
        (
            {"train/a": 3, "train/b": 3, "val/a": 1, "val/b": 1, "val/c": 1},
            "own/val: only here: c; expected the same classes in train/ and val/",
        ),
        (
            {"train/a": 3, "train/b": 3, "train/c": 3, "val/a": 1, "val/b": 1},
            "own/train: only here: c; expected the same classes in train/ and val/",
        ),
        # What is tried at the end alone is looked at before anything is trained.
        ({"a": 3, "b": 3, "test": 0}, "own/test: no class folders; expected one folder of images"),
        ({"a": 3, "b": 3, "test/a": 1, "test/b": 0}, "own/test/b: no images; expected files ending"),
        (
            {"a": 3, "b": 3, "test/a": 1, "test/b": 1, "test/c": 1},
            "own/test: only here: c; expected the same",
        ),
    ],
)
def test_a_split_or_a_class_without_images(
    parts: Mapping[str, int], said: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_parts(place / "own", parts)
    assert refused(capsys, *TINY, "--data", "own").startswith(said)


@pytest.mark.parametrize(
    ("part", "count", "labels", "said"),
    [
        ("val", 0, (), "own.npz: val_images has shape (0, 28, 28, 1); expected"),
        ("test", 0, (), "own.npz: test_images has shape (0, 28, 28, 1); expected"),
        (
            "val",
            3,
            (0, 1, 2),
            "own.npz: val_labels holds 2; expected at most 1, the highest label in training",
        ),
        (
            "test",
            3,
            (0, 1, 2),
            "own.npz: test_labels holds 2; expected at most 1, the highest label in training",
        ),
    ],
)
def test_a_part_of_a_file_without_images_and_a_class_that_only_one_part_has(
    part: str, count: int, labels: Sequence[int], said: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays: dict[str, Any] = {
        f"{part}_images": REAL.images[:count],
        f"{part}_labels": np.array(labels, np.int64),
    }
    np.savez(place / "own.npz", train_images=REAL.images[:6], train_labels=[0, 1] * 3, **arrays)
    assert refused(capsys, *TINY, "--data", "own.npz").startswith(said)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "epochs: 1\nbatch_size: 8\nrecipe: {warmth: 3}\n",
            "own.yaml: recipe: key 'warmth' is unknown; expected ",
        ),
        (
            "epochs: 1\nbatch_size: 8\nrecipe: {}\nsteps: 3\n",
            "own.yaml: key 'steps' is unknown; expected epochs",
        ),
        ("epochs: 1\nbatch_size: 8\n", "own.yaml: key 'recipe' is missing"),
        (
            "epochs: 1\nbatch_size: 8\nrecipe: {optimiser: lion}\n",
            "own.yaml: recipe: optimiser 'lion': expected ",
        ),
        ("epochs: [\n", "own.yaml: no YAML ("),
    ],
)
def test_a_recipe_with_what_none_has(
    content: str, said: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "own.yaml").write_text(content)
    assert refused(capsys, *TINY, "--data", "photos", "--recipe", "own.yaml").startswith(said)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--recipe", "nosuch"), "--recipe 'nosuch': not found; expected "),
        (("--teacher", "nosuch"), "--teacher 'nosuch': not found; expected a trained network"),
        (("--name", "a/b"), "--name 'a/b': expected the name of a folder"),
        (("--name", "taken"), "'trained/taken': there is one already; expected a new --name"),
        (("--batch-size", "1"), "--batch-size 1: a single image has no spread"),
        (("--recipe", "taught.yaml"), "recipe taught: distillation without a teacher; expected --teacher"),
    ],
)
def test_what_is_wrong_without_the_images_is_said_before_they_are_decoded(
    given: Sequence[str],
    said: str,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (place / "trained" / "taken").mkdir(parents=True)
    (place / "taught.yaml").write_text("epochs: 1\nbatch_size: 8\nrecipe: {distillation: 0.5}\n")
    monkeypatch.setattr("bft_nas.api.training.load_dataset", decoded)
    assert refused(capsys, *TINY, "--data", "photos", *given).startswith(said)


def test_a_teacher_that_is_gone_is_missed_before_the_images_are_decoded(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *TINY, "--data", "photos", "--name", "teacher"]) == 0
    assert main(["train", *TINY, "--data", "photos", "--name", "pupil", "--teacher", "teacher"]) == 0
    capsys.readouterr()
    (place / "trained" / "pupil" / "last.safetensors").unlink()
    (place / "trained" / "teacher").rename(place / "trained" / "moved")
    monkeypatch.setattr("bft_nas.api.training_work.load_dataset", decoded)
    said = refused(capsys, "--resume", "pupil")
    # Of a long path the beginning stands there.
    assert said.startswith(f"--teacher '{str(place / 'trained' / 'teacher')[:80]}': not found;")


def test_a_teacher_with_other_classes(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *TINY, "--data", "photos", "--name", "teacher"]) == 0
    capsys.readouterr()
    shutil.copytree(place / "photos", place / "other")
    (place / "other" / "b").rename(place / "other" / "c")
    assert refused(capsys, *TINY, "--data", "other", "--teacher", "teacher") == (
        "--teacher 'teacher': knows a, b; expected the classes of the data, a, c"
    )


def test_a_candidate_that_failed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = bft_nas.open_run("made-up").results()
    failed = rows[rows["state"] == "failed"].iloc[0]
    assert refused(capsys, "made-up", "--candidate", str(failed["number"])) == (
        f"candidate {failed['number']} of made-up: failed ({failed['reason']}); expected another one"
    )


def test_a_run_and_a_training_whose_data_are_gone(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *TINY, "--data", "photos", "--name", "begun"]) == 0
    capsys.readouterr()
    (place / "photos").rename(place / "moved")
    gone = f"no data at {place / 'photos'} any more; expected --data with where they are now"
    assert refused(capsys, "made-up") == gone
    (place / "trained" / "begun" / "evaluation.json").unlink()
    assert refused(capsys, "--resume", "begun") == gone
    assert main(["train", "--resume", "begun", "--data", "moved"]) == 0
