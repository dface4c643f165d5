"""The images that a trained network is tried on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import bft_nas
from bft_nas.api.evaluation import _dealt, judged
from bft_nas.api.trained import Trained
from bft_nas.api.training_work import images_of
from bft_nas.cli.main import main
from bft_nas.core.errors import UserError
from bft_nas.data.dataset import load_dataset
from tests.api.conftest import NAME, SMALL
from tests.data.samples import write_class_folders, write_files


def write_grey(root: Path, part: str, *values: int) -> None:
    """Images of 16 bits, each of one value, in two class folders."""
    for name in ("a", "b"):
        (root / part / name).mkdir(parents=True)
        for number, value in enumerate(values):
            Image.fromarray(np.full((9, 9), value, np.uint16)).save(root / part / name / f"{number}.png")


@given(counts=st.lists(st.integers(0, 6), min_size=1, max_size=120).filter(any))
def test_both_halves_of_those_for_int8_have_all_classes(counts: list[int]) -> None:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    order = _dealt(labels)
    assert sorted(order.tolist()) == list(range(len(labels)))
    half = len(labels) // 2
    several = {label for label, count in enumerate(counts) if count > 1}
    for part in (order[:half], order[half:]):
        assert several <= set(labels[part].tolist())


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of which the test images alone would be of 12 bits, and no cache but one of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for part, values in (("train", (4000, 20_000)), ("val", (4000,)), ("test", (4000,))):
        write_grey(tmp_path / "photos", part, *values)
    return tmp_path / "photos"


def test_they_are_on_the_scale_of_those_that_it_was_trained_on(photos: Path) -> None:
    split, test = judged(str(photos), load_dataset(str(photos), size=16), 16)
    assert split == "test"
    assert set(test.images.ravel()) == {round(4000 * 255 / 65535)}


def test_other_data_are_on_the_scale_of_the_training(photos: Path, tmp_path: Path) -> None:
    small = {**SMALL, "epochs": 1, "batch_size": 4}
    trained = bft_nas.train(NAME, data=photos, trained=tmp_path / "trained", **small)  # type: ignore[arg-type]
    other = tmp_path / "other"
    write_grey(other, "train", 4000, 2000)
    write_grey(other, "val", 4000)
    shutil.copytree(photos / "test", other / "test")

    def white() -> int:
        known = Trained(trained.folder)
        images, source = images_of(known, {"data": str(other)}, checked=False)
        (level,) = set(judged(source, images.dataset, 32, tested=True)[1].images.ravel())
        return round(4000 * 255 / int(level))

    assert white() > 60_000
    # Those that were trained before it was kept.
    file = trained.folder / "training.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert content["data_facts"].pop("whites") == [65_535, 0]
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert white() < 4100


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bft_nas.Trained]:
    """A network trained on a folder of which more images than usual may be unreadable."""
    place = tmp_path_factory.mktemp("place")
    known = load_dataset("fashion-mnist", size=28, images=60).train
    write_class_folders(place / "photos", known.images, known.labels % 2, ["a", "b"])
    write_files(place / "photos" / "a", {f"x{number}.png": b"no image" for number in range(25)})
    write_class_folders(place / "photos" / "test", known.images[:20], known.labels[:20] % 2, ["a", "b"])
    write_files(place / "photos" / "test" / "b", {"x.png": b"no image"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        yield bft_nas.train(
            NAME,
            data=place / "photos",
            trained=place / "trained",
            max_unreadable=100,
            **SMALL,  # type: ignore[arg-type]
        )


def test_as_many_may_be_unreadable_as_the_training_left_out(damaged: bft_nas.Trained, tmp_path: Path) -> None:
    data = damaged.facts["data"]
    assert len(damaged.data.left_out) == 25
    images, _ = images_of(damaged, {})
    assert images.dataset.digest == damaged.protocol.data_digest
    moved = shutil.copytree(data, tmp_path / "moved")
    images, _ = images_of(damaged, {"data": str(moved)})
    assert images.dataset.digest == damaged.protocol.data_digest
    images, _ = images_of(damaged, {"data": data}, checked=False)
    assert len(images.dataset.left_out) == 25


def test_of_other_data_as_many_as_usual(damaged: bft_nas.Trained, tmp_path: Path) -> None:
    other = shutil.copytree(damaged.facts["data"], tmp_path / "other")
    with pytest.raises(UserError, match="more than 20 images"):
        images_of(damaged, {"data": str(other)}, checked=False)
    with pytest.raises(UserError, match="more than 24 images"):
        images_of(damaged, {"max_unreadable": 24})


def test_other_data_that_are_not_there_are_named(damaged: bft_nas.Trained, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    with pytest.raises(UserError, match=f"^{gone}: no such dataset, file or folder; expected fashion-mnist,"):
        bft_nas.evaluate(damaged.folder, data=gone)


def test_a_damaged_test_image_is_left_out_and_said(
    damaged: bft_nas.Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluation = damaged.evaluation()
    assert evaluation is not None
    assert (evaluation.split, evaluation.measures.images) == ("test", 20)
    (said,) = evaluation.left_out
    assert said.startswith("test/b/x.png: not an image; expected")
    card = (damaged.folder / "card.md").read_text(encoding="utf-8")
    assert " of 20 test images, without 1 that cannot be decoded (95 %: " in card
    assert main(["evaluate", str(damaged.folder)]) == 0
    told = capsys.readouterr().out
    assert "without 1 that cannot be decoded" in " ".join(told.split())
    assert "test/b/x.png: not an image" in told
    # Those that were evaluated before there was anything to leave out.
    file = damaged.folder / "evaluation.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    del content["left_out"]
    older = Trained(Path(shutil.copytree(damaged.folder, damaged.folder.parent / "older")))
    (older.folder / "evaluation.json").write_text(json.dumps(content), encoding="utf-8")
    assert older.evaluation() == replace(evaluation, left_out=())
