"""How large images are, at a glance."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bft_nas.data.sides import _in_order, side_of


@pytest.mark.parametrize(
    ("shape", "side"), [((5, 28, 28), 28), ((5, 20, 31, 3), 31), ((5, 3, 40, 24), 40), ((5, 24, 24, 1), 24)]
)
def test_the_larger_side_of_arrays(shape: tuple[int, ...], side: int, tmp_path: Path) -> None:
    path = tmp_path / "few.npz"
    np.savez_compressed(path, train_images=np.zeros(shape, np.uint8), train_labels=np.arange(5) % 2)
    assert side_of(str(path)) == side


def test_the_largest_of_the_first_images_of_a_folder(tmp_path: Path) -> None:
    for name, size in (("cats/a.png", (32, 20)), ("cats/b.jpg", (16, 64)), ("dogs/c.png", (8, 8))):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", size).save(tmp_path / name)
    (tmp_path / "cats" / "broken.png").write_bytes(b"no image")
    assert side_of(str(tmp_path)) == 64


@pytest.mark.filterwarnings("error")
def test_large_images_have_a_side_without_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (30, 30)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 800)
    assert side_of(str(tmp_path)) == 30


def test_links_are_followed_once_and_what_is_hidden_is_not_seen(tmp_path: Path) -> None:
    for name, size in (
        ("store/cats/a.png", 32),
        ("above.png", 99),
        ("linked/.small/b.png", 64),
        ("linked/__MACOSX/b.png", 64),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (size, size)).save(tmp_path / name)
    for name, target in (("cats", "../store/cats"), ("more", "../store/cats"), ("up", ".."), ("self", ".")):
        (tmp_path / "linked" / name).symlink_to(target)
    Image.new("RGB", (64, 64)).save(tmp_path / "linked" / "cats" / "._a.png")
    assert side_of(str(tmp_path / "linked")) == 32
    assert len(list(_in_order(tmp_path / "linked"))) == 1


def test_benchmarks_stand_in_for_larger_images_and_nothing_has_no_side(tmp_path: Path) -> None:
    (tmp_path / "damaged.npz").write_bytes(b"no arrays")
    for source in (
        "fashion-mnist",
        "cifar10",
        "cifar10=data",
        "nowhere",
        str(tmp_path),
        str(tmp_path / "damaged.npz"),
    ):
        assert side_of(source) is None


@pytest.mark.parametrize("at", range(10, 100, 10))
def test_arrays_that_are_damaged_anywhere_have_no_side(tmp_path: Path, at: int) -> None:
    path = tmp_path / "few.npz"
    pixels = np.random.default_rng(0).integers(256, size=(20, 16, 16), dtype=np.uint8)
    np.savez_compressed(path, train_images=pixels, train_labels=np.arange(20) % 2)
    with zipfile.ZipFile(path) as members:
        start = members.getinfo("train_images.npy").header_offset + at
    content = bytearray(path.read_bytes())
    content[start : start + 40] = b"\xff" * 40
    path.write_bytes(content)
    assert side_of(str(path)) is None


def test_an_array_of_a_version_that_nobody_writes_has_no_side(tmp_path: Path) -> None:
    path = tmp_path / "few.npz"
    with zipfile.ZipFile(path, "w") as members:
        members.writestr("train_images.npy", b"\x93NUMPY\x09\x00" + bytes(100))
        members.writestr("train_labels.npy", b"\x93NUMPY\x09\x00" + bytes(100))
    assert side_of(str(path)) is None
