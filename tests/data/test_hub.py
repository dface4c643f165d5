"""Data sets that the library ``datasets`` reads: what is used of them, and the mistakes."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bft_nas
from bft_nas.cli.main import main
from bft_nas.data import decoders
from bft_nas.data.dataset import anchored, has_test, is_there, load_dataset, load_test, load_training
from bft_nas.data.sides import side_of
from tests.conftest import SPACE
from tests.data.checks import counts, mistake, refusal
from tests.data.samples import write_class_folders, write_every_mode

datasets: Any = pytest.importorskip("datasets")

REAL = load_dataset("fashion-mnist", size=28, images=120).train
NAMES = ("T-shirt/top", "..", "Pullover")
FEW = REAL.labels < len(NAMES)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder; the library keeps what it prepares beside it, and reaches no network."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(
    labels: Sequence[int | None], images: Iterable[Any], names: Sequence[str] = NAMES, **columns: Any
) -> Any:
    """Images as bytes of PNG files (or whatever they are), and their labels."""
    features = {"picture": datasets.Image(), "kind": datasets.ClassLabel(names=list(names)), **columns}
    rows = {"picture": [_encoded(image) for image in images], "kind": list(labels)}
    rows |= {name: [0] * len(labels) for name in columns}
    return datasets.Dataset.from_dict(rows, features=datasets.Features(features))


def _encoded(image: Any) -> dict[str, Any]:
    if isinstance(image, bytes):
        return {"bytes": image, "path": None}
    content = io.BytesIO()
    Image.fromarray(image[:, :, 0]).save(content, "PNG")
    return {"bytes": content.getvalue(), "path": None}


def real(part: slice = slice(None), **given: Any) -> Any:
    return table(REAL.labels[FEW][part].tolist(), REAL.images[FEW][part], **given)


def sorted_images(*parts: Any) -> list[bytes]:
    return sorted(image.tobytes() for part in parts for image in part.images)


def test_splits_are_found_by_their_names_and_columns_by_their_features(place: Path) -> None:
    splits = {"train": real(slice(18)), "dev": real(slice(18, 27)), "test": real(slice(27, None))}
    datasets.DatasetDict({**splits, "unsupervised": real(slice(3))}).save_to_disk("saved")
    dataset = load_dataset("hf:saved", size=28)
    assert (dataset.name, dataset.classes) == ("saved", NAMES)
    assert dataset.notes == ("splits left out: unsupervised",)
    for part, images, labels in (
        (dataset.train, REAL.images[FEW][:18], REAL.labels[FEW][:18]),
        (dataset.validation, REAL.images[FEW][18:27], REAL.labels[FEW][18:27]),
        (load_test("hf:saved", size=28), REAL.images[FEW][27:], REAL.labels[FEW][27:]),
    ):
        expected = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
        assert {i[:, :, :1].tobytes(): k for i, k in zip(part.images, part.labels, strict=True)} == expected
        assert (part.images == part.images[..., :1]).all()
    assert has_test("hf:saved")
    assert is_there("hf:saved")
    assert anchored("hf:saved") == f"hf:{place / 'saved'}"
    assert load_dataset(anchored("hf:saved"), size=28).digest == dataset.digest
    alone = load_training("hf:saved", size=28, images=9)
    assert sorted_images(alone) == sorted_images(load_dataset("hf:saved", size=28, images=9).train)
    assert side_of("hf:saved") == 28
    assert side_of("hf:gone") is None


def test_many_are_decoded_by_processes_and_are_the_same(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table([k % 3 for k in range(60)], [*REAL.images[:59], b"Dear all"]).save_to_disk("saved")
    threads = load_dataset("hf:saved", size=16)
    monkeypatch.setattr(decoders, "MANY", 1)
    processes = load_dataset("hf:saved", size=16)
    assert len(threads.left_out) == 1
    assert (processes.digest, processes.left_out) == (threads.digest, threads.left_out)


def test_test_images_are_on_the_scale_of_the_training(place: Path) -> None:
    def deep(*values: int) -> Any:
        return table(range(3), [np.full((9, 9, 1), value, np.uint16) for value in values])

    splits = {"train": deep(4000, 20_000, 0), "dev": deep(0, 0, 0), "test": deep(4000, 0, 0)}
    datasets.DatasetDict(splits).save_to_disk("saved")
    dataset = load_dataset("hf:saved", size=8)
    test = load_test("hf:saved", size=8, whites=dataset.whites)
    assert test.images.max() == dataset.train.images[0].max() == round(4000 * 255 / 65535)


def test_test_images_that_cannot_be_decoded_are_left_out_and_named(place: Path) -> None:
    splits = {"train": real(slice(18)), "test": table([0, 1, 2, 0], [*REAL.images[FEW][:3], b"Dear all"])}
    datasets.DatasetDict(splits).save_to_disk("saved")
    test = load_test("hf:saved", size=28)
    assert test.labels.tolist() == [0, 1, 2]
    (said,) = test.left_out
    assert said.startswith("test/3: not an image")


def test_a_class_may_be_without_test_images(place: Path) -> None:
    splits = {"train": real(slice(18)), "test": table([0, 2, 0], [*REAL.images[FEW][:2], b"Dear all"])}
    datasets.DatasetDict(splits).save_to_disk("saved")
    assert load_test("hf:saved", size=28).labels.tolist() == [0, 2]


def test_without_a_split_for_validation_a_fifth_of_each_class_is_held_out(place: Path) -> None:
    labels = [k % 3 for k in range(60)]
    whole = table(labels, REAL.images[:60])
    whole.save_to_disk("saved")
    dataset = load_dataset("hf:saved", size=28)
    assert counts(dataset) == ([16] * 3, [4] * 3)
    assert not has_test("hf:saved")
    assert "no test images; expected a split test with labels" in mistake(
        lambda: load_test("hf:saved", size=28)
    )
    # As parquet, which is read through the library's cache, they are the same ones.
    Path("parquet").mkdir()
    whole.to_parquet("parquet/train.parquet")
    assert load_dataset("hf:parquet", size=28).digest == dataset.digest
    assert sum(counts(load_dataset("hf:parquet", size=28, images=9))[0]) == 9


def test_images_of_every_mode_are_read_as_those_of_a_folder_are(place: Path) -> None:
    damaged = write_every_mode(place / "photos", REAL.images)
    for name in ("a", "b"):
        turned = Image.fromarray(REAL.images[0, :, :, 0])
        turned.getexif()[0x0112] = 6
        turned.save(place / "photos" / name / "turned.jpg", exif=turned.getexif())
    folder, hub = load_dataset("photos", size=28), load_dataset("hf:photos", size=28)
    assert hub.classes == folder.classes
    assert sorted_images(hub.train, hub.validation) == sorted_images(folder.train, folder.validation)
    assert len(hub.left_out) == len(damaged) == 8
    notes = [{note.partition(" are left out")[0] for note in each.notes} for each in (folder, hub)]
    assert notes[0] == notes[1]
    assert hub.left_out[0].startswith("train/")
    message = refusal("hf:photos", max_unreadable=7)
    assert message.startswith("hf:photos/train/")
    assert "more than 7 images that cannot be used" in message


def test_an_image_that_is_missing_or_no_image_is_named_by_its_row(place: Path) -> None:
    images = [*REAL.images[:8], b"", b"Dear all", REAL.images[9], REAL.images[10]]
    rows = table([0, 1] * 6, images, names=("a", "b"))
    rows.save_to_disk("saved")
    dataset = load_dataset("hf:saved", size=28)
    assert [line.partition(":")[0] for line in dataset.left_out] == ["train/8", "train/9"]
    assert sum(map(sum, counts(dataset))) == 10
    assert refusal("hf:saved", max_unreadable=0).startswith("hf:saved/train/")


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        ({"train": real(names=("a", "b", "c", "d"))}, "hf:saved/train: no images of class d; expected some"),
        (
            {"train": real(), "validation": real(names=("T-shirt/top", "..", "hat"))},
            "hf:saved/validation: other classes than in train; only here: hat; only in train: Pullover; expected",
        ),
        (
            {"train": real(), "validation": real(names=NAMES[::-1])},
            "hf:saved/validation: other classes than in train; another order; expected the same",
        ),
        (
            {"train": real(), "validation": real().filter(lambda row: row["kind"] != 1)},
            "hf:saved/validation: no images of class ..; expected some of each class",
        ),
        (
            {"train": table([0, 1, None, 1], REAL.images[:4])},
            "hf:saved/train/2: no label, as 1 images of 4; expected a class for each",
        ),
        ({"train": table([0] * 4, REAL.images[:4], names=("a",))}, "hf:saved/train: kind has 1 class"),
        ({"train": table([0, 0, 1, 1, 2], REAL.images[:5])}, "hf:saved/train/Pullover: one image; expected"),
        ({"validation": real()}, "hf:saved: no split train; expected one, its splits are validation"),
        ({"a": real(), "b": real()}, "hf:saved: no split train; expected one, its splits are a, b"),
        (
            {"train": real(other=datasets.ClassLabel(names=["x"]))},
            "hf:saved/train: several columns of ClassLabel; expected one; its columns are picture (Image), "
            "kind (ClassLabel), other (ClassLabel)",
        ),
        (
            {"train": real(number=datasets.Value("int32")).remove_columns("picture")},
            "hf:saved/train: no column of Image; expected one; its columns are kind (ClassLabel), number (int32)",
        ),
        (
            {"train": real().cast_column("kind", datasets.Value("int64"))},
            "hf:saved/train: no column of ClassLabel; expected one; its columns are picture (Image), kind (int64)",
        ),
    ],
)
def test_a_mistake_names_the_split_and_what_was_expected(splits: dict[str, Any], said: str) -> None:
    datasets.DatasetDict(splits).save_to_disk("saved")
    assert refusal("hf:saved").startswith(said)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("hf:", "hf:: no such folder; expected hf:NAME[:CONFIG]"),
        ("hf:/gone/away", "hf:/gone/away: no such folder; expected hf:NAME[:CONFIG]"),
        (
            "hf:nobody/beans:small",
            "hf:nobody/beans:small: cannot be loaded (Couldn't reach 'nobody/beans' on",
        ),
        ("hf:empty", "hf:empty: cannot be loaded ("),
        ("hf:script", "hf:script: cannot be loaded ("),
        ("hf:torn", "hf:torn: cannot be loaded ("),
    ],
)
def test_what_cannot_be_loaded_is_one_line(source: str, said: str, place: Path) -> None:
    for name in ("empty", "script", "torn"):
        (place / name).mkdir()
    (place / "script" / "script.py").write_text("raise SystemExit('the code of a data set was run')")
    (place / "torn" / "train.parquet").write_bytes(b"PAR1 and no more")
    assert refusal(source).startswith(said)
    assert is_there(source) == (
        not source.startswith(("hf:/", "hf:")) or (len(source) > 3 and source[3] != "/")
    )


def test_test_images_whose_labels_are_kept_secret_are_none(place: Path) -> None:
    hidden = table([-1] * 4, REAL.images[:4])
    datasets.DatasetDict({"train": real(), "test": hidden}).save_to_disk("saved")
    assert not has_test("hf:saved")


def test_an_older_library_which_runs_the_code_of_data_sets_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.__version__", "3.6.0")
    assert refusal("hf:beans").startswith("hf:beans: datasets 3.6.0 runs code of data sets; expected 4")


def test_every_command_takes_them(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_class_folders(place / "photos" / "train", REAL.images, REAL.labels, "abcdefghij", suffix=".jpg")
    write_class_folders(place / "photos" / "test", REAL.images, REAL.labels, "abcdefghij")
    (place / "tiny.yaml").write_text(SPACE)
    assert main(["data", "hf:photos", "-o", "sheet.html"]) == 0
    said = capsys.readouterr()
    assert "photos (digest " in said.out
    assert "there are test images" in said.out
    assert said.err == ""
    few = (
        "--workers",
        "1",
        "--no-references",
        "--no-confirm",
        "--no-timing",
        "--epochs",
        "1",
        "--trials",
        "1",
    )
    assert (
        main(["search", "--space", "tiny.yaml", "--flops", "3M", "--data", "hf:photos", "--name", "s", *few])
        == 0
    )
    assert bft_nas.open_run("s").settings.data == f"hf:{place / 'photos'}"
    assert main(["train", "s", "--name", "t", "--epochs", "1"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    trained = bft_nas.open_trained("t")
    assert trained.facts["data"] == f"hf:{place / 'photos'}"
    known = trained.evaluation()
    assert known is not None
    assert (known.split, known.measures.images) == ("test", 120)
    assert main(["evaluate", "t", "--data", "hf:photos"]) == 0
    assert f"{100 * known.measures.accuracy:.2f}% of 120 test images" in capsys.readouterr().out
    # Where they are gone, it is said as of a folder.
    (place / "photos").rename(place / "elsewhere")
    assert main(["train", "s", "--name", "u"]) == 2
    assert f"no data at hf:{place / 'photos'} any more; expected --data" in capsys.readouterr().err
