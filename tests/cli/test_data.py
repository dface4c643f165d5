"""``bft-nas data``: what is said of images, and the page on which some of each class are seen."""

from __future__ import annotations

import base64
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bft_nas.cli.main import main
from tests.conftest import closed

COLOURS = {"red": (250, 10, 10), "blue <sea>": (10, 10, 250)}


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of one colour each, of which one has more images, and a file that is none."""
    monkeypatch.chdir(tmp_path)
    for (name, colour), count in zip(COLOURS.items(), (40, 5), strict=True):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (50 + number, 40), colour).save(folder / f"{number}.png")
    (tmp_path / "photos/red/torn.jpg").write_bytes(b"no image")
    return tmp_path / "photos"


def shown(page: str) -> dict[str, list[Image.Image]]:
    """The images of each class on a page."""
    found: dict[str, list[Image.Image]] = {}
    for name, content in re.findall(r'<img alt="([^"]*)" src="data:image/png;base64,([^"]*)">', page):
        found.setdefault(name, []).append(Image.open(io.BytesIO(base64.b64decode(content))))
    return found


def test_it_says_what_there_is_and_what_is_left_out(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "photos"]) == 0
    said = capsys.readouterr().out
    assert "36 to train on, 9 to validate" in said
    assert "2: blue <sea> 4, red 32" in said
    assert "red has 8.0 times the images of blue <sea>" in said
    assert "red/torn.jpg: " in said
    assert "no test images" in said
    assert "photos-images.html" in said


def test_pictures_that_are_held_out_and_trained_on_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, path in enumerate(("train/cat/1", "train/cat/2", "train/dog/1", "val/cat/1", "val/dog/1")):
        at = Path("photos", f"{path}.png")
        at.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (50, 40), (40 * number, 0, 0)).save(at)
    assert main(["data", "photos"]) == 0
    assert "twice" not in capsys.readouterr().out
    for to in ("cat/again", "dog/other"):
        shutil.copy("photos/train/cat/1.png", f"photos/val/{to}.png")
    assert main(["data", "photos"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "2 of 4 images to validate are also trained on, 1 of them as another class: val/cat/again.png, val"
        in said
    )


def test_test_images_that_a_training_refuses_are_not_called_good(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test = photos / "test"
    test.mkdir()

    def said() -> str:
        assert main(["data", "photos"]) == 0
        return " ".join(capsys.readouterr().out.split())

    assert "none that a training takes: photos/test: no class folders" in said()
    for name in ("red", "green"):
        (test / name).mkdir()
        Image.new("RGB", (50, 40)).save(test / name / "1.png")
    assert "none that a training takes: photos: only here: blue <sea>" in said()
    (test / "green").rename(test / "blue <sea>")
    assert "there are test images" in said()


def test_its_page_has_images_of_each_class_as_they_are(photos: Path) -> None:
    assert main(["data", "photos", "-o", "sheet.html"]) == 0
    page = Path("sheet.html").read_text(encoding="utf-8")
    images = shown(page)
    assert {name: len(found) for name, found in images.items()} == {"blue &lt;sea&gt;": 4, "red": 8}
    for name, found in images.items():
        for image in found:
            pixels = np.asarray(image.convert("RGB"))
            assert (
                np.abs(pixels.astype(int) - COLOURS[name.replace("&lt;", "<").replace("&gt;", ">")]).max()
                <= 2
            )
    assert "<sea>" not in page
    assert not re.search(r"https?://", page)
    # It may be made again, and nothing else is written over.
    assert main(["data", "photos", "-o", "sheet.html"]) == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (("nowhere",), "nowhere: no such dataset, file or folder"),
        (("photos", "-o", "mine.html"), "'mine.html': exists and is no contact sheet; expected another name"),
        (("photos", "-o", "none/sheet.html"), "'none/sheet.html': expected a folder that there is"),
        (("photos", "-o", "/proc/sheet.html"), "/proc: cannot be written ("),
        (("photos", "--max-unreadable", "0"), "photos/red/torn.jpg: "),
    ],
)
def test_a_mistake_is_one_line(
    line: tuple[str, ...], said: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.html").write_text("mine")
    assert main(["data", *line]) == 2
    complaint = capsys.readouterr().err
    assert complaint.removeprefix("bft-nas: error: ").removeprefix(f"{photos.parent}/").startswith(said)
    assert complaint.count("\n") == 1
    assert Path("mine.html").read_text() == "mine"
    assert not Path("photos-images.html").exists()


@pytest.mark.parametrize(
    "line", [("photos", "-o", "/proc/sheet.html"), ("photos", "-o", "mine.html"), ("photos",)]
)
def test_a_page_that_cannot_be_written_is_refused_before_images_are_read(
    line: tuple[str, ...], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bft_nas.data.dataset.load_dataset", lambda *given, **more: pytest.fail("read"))
    Path("mine.html").write_text("mine")
    with closed(Path()):
        assert main(["data", *line]) == 2
