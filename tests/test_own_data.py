"""Searches and trainings on images as people have them: what the plan says, and where they are on resuming."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from bft_nas.cli.main import main
from bft_nas.data.dataset import load_dataset
from bft_nas.record import Run
from bft_nas.record.trained import Trained
from tests.conftest import SPACE, tiny_run
from tests.conftest import tiny_prepared as prepared
from tests.data.odd_images import write_odd_images
from tests.data.samples import write_class_folders, write_every_mode

REAL = load_dataset("fashion-mnist", size=28, images=60).train
SEARCH = (
    "search",
    "--space",
    "tiny.yaml",
    "--flops",
    "3M",
    "--epochs",
    "1",
    "--no-references",
    "--no-confirm",
    "--no-timing",
    "--workers",
    "1",
    "--trials",
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tiny.yaml").write_text(SPACE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    out, err = capsys.readouterr()
    return code, out, err


def test_images_of_every_mode_are_searched_and_the_plan_counts_what_was_left_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = write_every_mode(folder / "photos", REAL.images)
    code, out, err = command(capsys, *SEARCH, "1", "--name", "modes", "--data", "photos")
    assert code == 0, err
    first, second, third = (path.relative_to(folder / "photos") for path in damaged[:3])
    plan = out.partition("protocol")[0]
    assert (
        f" 8 of 200 images cannot be decoded and are left out: {first}, {second}, {third} and 5 more\n"
        in plan
    )
    assert " images of floats: pixels from 0 to 1 scaled to 8 bits\n" in plan
    run = Run.open("modes")
    assert run.results()["state"].tolist() == ["complete"]
    assert len(run.data.left_out) == 8
    assert "8 of 200 images cannot be decoded" in (run.folder / "report.html").read_text(encoding="utf-8")

    code, out, err = command(
        capsys, *SEARCH, "1", "--name", "strict", "--data", "photos", "--max-unreadable", "7"
    )
    assert code == 2
    assert err.startswith(f"bft-nas: error: {Path('photos') / first}: ")
    assert "more than 7 images that cannot be used" in err
    assert "or --max-unreadable above their number" in err
    assert len(err.splitlines()) == 1
    assert not (folder / "runs" / "strict").exists()


def test_three_hundred_odd_files_are_trained_on_upright_and_in_their_colours(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = write_odd_images(folder / "photos")
    assert sum(path.is_file() for path in odd.root.rglob("*")) == 300
    small = ("mobilenet_v3_small", "--flops", "3M", "--resolution", "64", "--epochs", "1")
    code, out, err = command(capsys, "train", *small, "--data", "photos", "--name", "odd")
    assert (code, err) == (0, "")
    assert " 14 of 300 images cannot be decoded and are left out: " in out
    trained = Trained.open("odd")
    left_out = dict(line.split(": ", 1) for line in trained.data.left_out)
    assert sorted(left_out) == sorted(odd.damaged)
    assert {name.partition("/")[2] for name, why in left_out.items() if why.startswith("too large")} == {
        "bomb.png",
        "small bomb.png",
    }
    # The same pixels as it was trained on, by their digest.
    dataset = load_dataset("photos", size=73)
    assert dataset.digest == trained.protocol.data_digest
    seen = [
        odd.check(image, int(label))
        for part in (dataset.train, dataset.validation)
        for image, label in zip(part.images, part.labels, strict=True)
    ]
    assert sorted(seen) == list(range(286))


def test_a_run_remembers_how_many_images_may_be_unreadable(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_class_folders(folder / "photos", REAL.images, REAL.labels, [f"c{k}" for k in range(10)])
    for at in range(25):
        (folder / "photos" / "c1" / f"x{at}.png").write_bytes(b"")
    begin = (*SEARCH, "1", "--name", "many", "--data", "photos")
    assert command(capsys, *begin)[0] == 2
    assert command(capsys, *begin, "--max-unreadable", "30")[0] == 0
    code, out, err = command(
        capsys,
        "search",
        "--resume",
        "many",
        "--trials",
        "2",
        "--no-references",
        "--no-confirm",
        "--no-timing",
        "--workers",
        "1",
    )
    assert code == 0, err
    assert "25 of 85 images cannot be decoded" in out
    assert command(capsys, "search", "--resume", "many", "--trials", "2", "--max-unreadable", "3")[0] == 2


def test_a_plan_says_how_arrays_were_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(folder / "a.npz", images=np.moveaxis(REAL.images, 3, 1) / 255, labels=np.eye(10)[REAL.labels])
    code, out, err = command(capsys, *SEARCH, "1", "--name", "arrays", "--data", "a.npz")
    assert code == 0, err
    for note in (
        "channels come first in the file",
        "one-hot labels read as classes",
        "float64 pixels from 0 to 1 scaled to 8 bits",
    ):
        assert f" {note}\n" in out.partition("protocol")[0]
        assert note in Run.open("arrays").data.notes


class TestMovedData:
    @pytest.fixture
    def photos(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
        """What a run called first was begun on."""
        write_class_folders(folder / "photos", REAL.images, REAL.labels, [f"c{k}" for k in range(10)])
        tiny = prepared(data=str(folder / "photos"), images=8000, trials=1)
        tiny_run(folder / "runs", tiny, "first")
        return folder / "photos"

    def test_a_run_goes_on_where_they_are_now(
        self, photos: Path, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = (folder / "runs" / "first" / "run.yaml").read_text(encoding="utf-8")
        protocol = Run.open("first").protocol
        moved = photos.rename(folder / "pictures")
        resume = (
            "search",
            "--resume",
            "first",
            "--no-references",
            "--no-confirm",
            "--no-timing",
            "--workers",
            "1",
            "--trials",
        )
        code, _, err = command(capsys, *resume, "1")
        assert code == 2
        assert err == (
            f"bft-nas: error: run 'first': no data at {photos} any more; expected --data with where they are now\n"
        )
        code, out, err = command(capsys, *resume, "1", "--data", "pictures")
        assert code == 0, err
        assert "photos, now pictures, 10 classes" in out
        run = Run.open("first")
        assert (run.protocol, run.settings.data) == (protocol, str(moved))
        after = (folder / "runs" / "first" / "run.yaml").read_text(encoding="utf-8")
        assert after == before.replace(f"data: {photos}\n", f"data: {moved}\n")
        code, _, err = command(capsys, *resume, "2")
        assert code == 0, err
        assert len(Run.open("first").results()) == 2

    def test_references_are_trained_where_they_are_now(
        self, photos: Path, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        moved = photos.rename(folder / "pictures")
        monkeypatch.setattr("bft_nas.searching.references.REFERENCES", ["mobilenet_v1"])
        assert "no data at" in command(capsys, "compare", "first")[2]
        code, _, err = command(capsys, "compare", "first", "--data", "pictures", "--workers", "1")
        assert code == 0, err
        run = Run.open("first")
        assert run.settings.data == str(moved)
        assert run.references()["name"].tolist() == ["mobilenet_v1"]
        assert len(list((folder / "runs" / ".references" / run.protocol_hash).glob("*.json"))) == 1

    def test_whoever_joins_may_have_them_elsewhere(
        self, photos: Path, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "copy").symlink_to(photos, target_is_directory=True)
        code, _, err = command(
            capsys,
            "search",
            "--join",
            "first",
            "--trials",
            "1",
            "--data",
            "copy",
            "--no-references",
            "--no-confirm",
            "--no-timing",
            "--workers",
            "1",
        )
        assert code == 0, err
        assert Run.open("first").settings.data == str(photos)

    @pytest.mark.parametrize("arguments", [("search", "--resume", "first"), ("compare", "first")])
    def test_other_images_are_refused_and_the_place_is_kept(
        self, photos: Path, folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
    ) -> None:
        before = yaml.safe_load((folder / "runs" / "first" / "run.yaml").read_text(encoding="utf-8"))
        write_class_folders(folder / "other", 255 - REAL.images, REAL.labels, [f"c{k}" for k in range(10)])
        code, _, err = command(capsys, *arguments, "--data", "other")
        assert code == 2
        assert "data_digest" in err
        assert yaml.safe_load((folder / "runs" / "first" / "run.yaml").read_text(encoding="utf-8")) == before
