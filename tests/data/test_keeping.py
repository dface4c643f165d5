"""A folder's images are the same wherever they are: in memory, mapped from a file, or decoded anew each time."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bft_nas.core.errors import UserError
from bft_nas.data import decoders, keeping, reading
from bft_nas.data.dataset import Dataset, Room, Split, load_dataset, load_test, load_training
from bft_nas.data.feed import Feed, feed_of, feeds_of
from bft_nas.data.images import Images
from tests.core.test_files import without_home
from tests.data.samples import write_class_folders, write_every_mode

REAL = load_dataset("fashion-mnist", size=28, images=60).train
SIDE = 16
PLENTY = 1 << 40
BYTES = 3 * SIDE * SIDE


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Sixty real images of ten classes."""
    root = tmp_path / "photos"
    write_class_folders(root, REAL.images, REAL.labels, [f"c{label}" for label in range(10)])
    return root


@pytest.fixture
def rooms(tmp_path: Path) -> dict[str, Room]:
    return {
        "in memory": Room(PLENTY, 0, tmp_path / "unused"),
        "decoded once into": Room(0, PLENTY, tmp_path / "mapped"),
        "decoded anew in each epoch": Room(0, 0, tmp_path / "streamed"),
    }


def load(root: Path, room: Room | None, *, max_unreadable: int | None = None) -> Dataset:
    return load_dataset(str(root), size=SIDE, room=room, max_unreadable=max_unreadable)


def pixels(dataset: Dataset) -> list[np.ndarray]:
    """Of both splits, as a training gets them."""
    feeds = feeds_of(Images(dataset, torch.device("cpu")), SIDE * 7 // 8, workers=1)
    try:
        return [feed[torch.arange(len(feed))].numpy() for feed in (feeds.train, feeds.validation)]
    finally:
        feeds.close()


def said(dataset: Dataset) -> tuple[object, ...]:
    """All that must not depend on where the pixels are."""
    images = Images(dataset, torch.device("cpu"))
    labels = (dataset.train.labels.tolist(), dataset.validation.labels.tolist())
    names = dataset.validation.names
    assert len(names) == len(labels[1])
    return dataset.digest, dataset.notes, dataset.left_out, labels, names, images.mean, images.std


def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode_all(paths: list[Path], *_: object) -> None:
        raise AssertionError(f"{len(paths)} images were decoded")

    monkeypatch.setattr(reading, "decode_all", decode_all)


def test_damaged_deep_and_odd_images_are_the_same_wherever_they_are(
    tmp_path: Path, rooms: dict[str, Room], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_every_mode(tmp_path / "modes", REAL.images)
    # The first ones do not tell yet what is white in all of them.
    for number in range(4):
        Image.fromarray(np.full((9, 9), 100, np.uint16)).save(tmp_path / "modes" / "a" / f"!{number}.png")
    expected = load(tmp_path / "modes", None)
    assert expected.left_out
    assert any("more than 8 bits" in note for note in expected.notes)
    for how, room in rooms.items():
        dataset = load(tmp_path / "modes", room)
        used = len(expected.train.labels) + len(expected.validation.labels)
        assert dataset.kept.startswith(f"{used} images at 16x16 {how}")
        assert said(dataset) == said(expected)
        for found, there in zip(pixels(dataset), pixels(expected), strict=True):
            np.testing.assert_array_equal(found, there)
    no_decoding(monkeypatch)
    for how in ("decoded once into", "decoded anew in each epoch"):
        again = load(tmp_path / "modes", rooms[how])
        where = "as decoded before" if how == "decoded once into" else how
        assert again.kept.startswith(f"{used} images at 16x16 {where}")
        assert said(again) == said(expected)
        np.testing.assert_array_equal(pixels(again)[0], pixels(expected)[0])


def test_room_decides_to_the_byte(photos: Path, tmp_path: Path) -> None:
    needed = 60 * BYTES
    for memory, disk, how in (
        (needed, 0, "60 images at 16x16 in memory, 46.1 kB"),
        (needed - 1, needed, "60 images at 16x16 decoded once into"),
        (needed - 1, needed - 1, "60 images at 16x16 decoded anew in each epoch"),
    ):
        dataset = load(photos, Room(memory, disk, tmp_path / f"{memory}-{disk}"))
        assert dataset.kept.startswith(how)
    assert load(photos, None).kept == ""


def test_processes_that_train_together_share_the_memory_but_not_the_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeping, "usable_memory", lambda: 1 << 30)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    alone = Room.here()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    together = Room.here()
    assert (alone.memory, together.memory) == (1 << 29, 1 << 26)
    assert together.disk > alone.disk // 2


@pytest.mark.parametrize("disk", [PLENTY, 0])
def test_what_was_found_out_holds_until_a_file_changes(
    photos: Path, tmp_path: Path, disk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(0, disk, tmp_path / "caches")
    before = load(photos, room)
    path = sorted((photos / "c3").iterdir())[0]
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with monkeypatch.context() as patch:
        no_decoding(patch)
        with pytest.raises(AssertionError, match="60 images were decoded"):
            load(photos, room)
    assert load(photos, room).digest == before.digest
    Image.fromarray(REAL.images[0, ::-1, :, 0]).save(path)
    changed = load(photos, room)
    assert changed.digest == load(photos, None).digest != before.digest
    path.unlink()
    assert load(photos, room).digest == load(photos, None).digest != changed.digest
    # One folder, whatever became of its images.
    assert len(list(room.folder.iterdir())) == 1


@pytest.mark.parametrize("disk", [PLENTY, 0])
@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.EACCES])
def test_what_keeps_an_image_from_being_read_is_not_remembered_where_it_may_pass(
    photos: Path, tmp_path: Path, disk: int, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(0, disk, tmp_path / "caches")
    expected = load(photos, None)
    path = sorted((photos / "c3").iterdir())[0]
    opened = Image.open

    def fails(file: Path, **given: Any) -> Image.Image:
        if file == path:
            raise OSError(number, os.strerror(number))
        return opened(file, **given)

    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", fails)
        without, there = load(photos, None), load(photos, room)
        assert said(there) == said(without)
        assert [line.partition(":")[0] for line in there.left_out] == [f"c3/{path.name}"]
        for found, wanted in zip(pixels(there), pixels(without), strict=True):
            np.testing.assert_array_equal(found, wanted)
    assert load(photos, room).digest == expected.digest
    no_decoding(monkeypatch)
    assert load(photos, room).digest == expected.digest


@pytest.mark.parametrize("disk", [PLENTY, 0])
def test_what_a_file_itself_is_the_reason_of_is_remembered(
    photos: Path, tmp_path: Path, disk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(0, disk, tmp_path / "caches")
    (photos / "c0" / "no image.png").write_bytes(b"Dear all")
    (photos / "c0" / "nowhere.png").symlink_to("gone.png")
    (photos / "c0" / "round.png").symlink_to("round.png")
    whole = sorted((photos / "c1").iterdir())[0].read_bytes()
    (photos / "c0" / "cut.png").write_bytes(whole[: len(whole) // 2])
    # A TIFF whose directory lies before the file's beginning.
    (photos / "c0" / "before.tif").write_bytes(b"II+\0\x08\0\0\0" + b"\xff" * 100)
    expected = load(photos, room)
    assert len(expected.left_out) == 5
    no_decoding(monkeypatch)
    assert load(photos, room).left_out == expected.left_out


def test_fewer_unreadable_images_are_allowed_than_are_known(photos: Path, tmp_path: Path) -> None:
    (photos / "c0" / "x.png").write_bytes(b"")
    room = Room(0, 0, tmp_path / "caches")
    assert len(load(photos, room).left_out) == 1
    with pytest.raises(UserError, match=r"x\.png: not an image"):
        load(photos, room, max_unreadable=0)


def test_a_cache_is_whole_or_not_there(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(0, PLENTY, tmp_path / "caches")
    every = decoders.decode_all

    def dies(*asked: Any) -> object:
        for number, picture in enumerate(every(*asked)):
            if number == 30:
                raise KeyboardInterrupt
            yield picture

    with monkeypatch.context() as patch:
        patch.setattr(reading, "decode_all", dies)
        with pytest.raises(KeyboardInterrupt):
            load(photos, room)
    (cache,) = room.folder.iterdir()
    assert [path.name for path in cache.iterdir()] == ["lock"]
    # What a process leaves that is killed meanwhile.
    (cache / "unfinished").write_bytes(b"half")
    expected = load(photos, None)
    assert "decoded once" in load(photos, room).kept
    assert sorted(path.name for path in cache.iterdir()) == ["facts.json", "lock", "pixels"]
    os.truncate(cache / "pixels", 60 * BYTES - 1)
    repaired = load(photos, room)
    assert "decoded once" in repaired.kept
    np.testing.assert_array_equal(repaired.train.images, expected.train.images)
    (cache / "facts.json").write_text('{"fingerprint": ')
    assert "decoded once" in load(photos, room).kept
    # What is written to mapped pixels stays in the process.
    repaired.train.images[:] = 0
    np.testing.assert_array_equal(load(photos, room).train.images, expected.train.images)


def test_where_nothing_can_be_written_images_are_streamed(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    dataset = load(photos, Room(0, PLENTY, tmp_path / "file"))
    assert "decoded anew" in dataset.kept
    assert said(dataset) == said(load(photos, None))


@pytest.mark.parametrize("home", ["/" + 300 * "x", None])
def test_without_a_home_that_can_be_looked_into_images_are_streamed(
    photos: Path, monkeypatch: pytest.MonkeyPatch, home: str | None
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    without_home(monkeypatch)
    if home is not None:
        monkeypatch.setenv("HOME", home)
    dataset = load(photos, replace(Room.here(), memory=0))
    assert "decoded anew" in dataset.kept
    assert said(dataset) == said(load(photos, None))


def test_test_images_are_in_memory_or_in_their_files(photos: Path, rooms: dict[str, Room]) -> None:
    write_class_folders(photos / "test", REAL.images, REAL.labels, [f"c{k}" for k in range(10)], ".tif")
    Image.fromarray(REAL.images[0, :, :, 0] * np.uint16(257)).save(photos / "test" / "c0" / "deep.tif")
    (photos / "test" / "c0" / "x.png").write_bytes(b"")
    expected = load_test(str(photos), size=SIDE)
    assert [line.partition(":")[0] for line in expected.left_out] == ["test/c0/x.png"]
    for room in rooms.values():
        split = load_test(str(photos), size=SIDE, room=room)
        assert (split.files is None) == (room.memory > 0)
        assert split.left_out == expected.left_out
        np.testing.assert_array_equal(split.labels, expected.labels)
        for name, label in zip(split.names, split.labels, strict=True):
            assert (photos / name).parent == photos / "test" / f"c{label}"
        with feed_of(split, torch.device("cpu")) as feed:
            found = feed[torch.arange(len(feed))].permute(0, 2, 3, 1).numpy()
        np.testing.assert_array_equal(found, expected.images)


@pytest.mark.parametrize("images", [None, 20])
@pytest.mark.parametrize("held_out", [True, False])
def test_images_to_train_on_are_the_same_without_a_look_at_those_held_out(
    photos: Path, rooms: dict[str, Room], monkeypatch: pytest.MonkeyPatch, held_out: bool, images: int | None
) -> None:
    if not held_out:
        photos.rename(photos.parent / "train")
        photos = photos.parent
        write_class_folders(
            photos / "val", REAL.images[::-1], REAL.labels[::-1], [f"c{k}" for k in range(10)]
        )
    expected = load_dataset(str(photos), size=SIDE, images=images).train
    decoded: list[Path] = []
    every = decoders.decode_all

    def counting(paths: list[Path], *given: Any) -> Any:
        decoded.extend(paths)
        return every(paths, *given)

    monkeypatch.setattr(reading, "decode_all", counting)
    found = load_training(str(photos), size=SIDE, images=images, room=rooms["in memory"])
    np.testing.assert_array_equal(found.images, expected.images)
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert len(decoded) == len(expected.labels)


def deep_folder(root: Path, parts: dict[str, list[int]]) -> Path:
    """Class folders of grey images of 16 bits, each of one value."""
    for part, values in parts.items():
        for name in ("a", "b"):
            (root / part / name).mkdir(parents=True)
            for number, value in enumerate(values):
                Image.fromarray(np.full((9, 9), value, np.uint16)).save(root / part / name / f"{number}.png")
    return root


def levels(split: Split) -> list[int]:
    """The grey of each image of the first class, as a network gets it."""
    with feed_of(split, torch.device("cpu")) as feed:
        found = feed[torch.arange(len(feed))][:, 0, 0, 0]
    return found[torch.from_numpy(split.labels) == 0].tolist()


def test_test_images_are_on_the_scale_of_the_training_wherever_either_are(
    tmp_path: Path, rooms: dict[str, Room]
) -> None:
    # By themselves the test images would be of 12 bits, and the brightest of them is brighter than any before.
    root = deep_folder(tmp_path / "deep", {"train": [4000, 16_000], "val": [4000], "test": [4000, 0]})
    for room in rooms.values():
        for _ in ("read", "known from before"):
            dataset = load(root, room)
            test = load_test(str(root), size=SIDE, whites=dataset.whites, room=room)
            assert levels(dataset.train) == [62, 249]
            assert levels(dataset.validation) == [62]
            assert levels(test) == [62, 0]


def test_what_is_brighter_than_the_white_of_the_training_is_white(tmp_path: Path) -> None:
    root = deep_folder(tmp_path / "deep", {"train": [2000, 4000], "test": [2000, 60_000]})
    whites = load(root, None).whites
    assert levels(load_test(str(root), size=SIDE, whites=whites)) == [125, 255]


def test_test_images_of_a_kind_that_training_has_not_tell_their_white(tmp_path: Path) -> None:
    root = deep_folder(tmp_path / "deep", {"test": [4000]})
    write_class_folders(root / "train", REAL.images[:8], np.arange(8) % 2, ["a", "b"])
    whites = load(root, None).whites
    assert whites == {}
    assert levels(load_test(str(root), size=SIDE, whites=whites)) == [249]


def test_batches_come_in_any_order_whatever_was_announced(photos: Path, rooms: dict[str, Room]) -> None:
    expected = load(photos, None)
    dataset = load(photos, rooms["decoded anew in each epoch"])
    feeds = feeds_of(Images(dataset, torch.device("cpu")), SIDE * 7 // 8, workers=2)
    plain = Feed(torch.from_numpy(expected.train.images), len(expected.train.labels), torch.device("cpu"))
    batches = torch.split(torch.randperm(len(plain), generator=torch.Generator().manual_seed(0)), 7)
    asked = [batches[0], batches[3], batches[1], batches[1], torch.tensor([4, 4]), batches[2]]
    try:
        feeds.train.ahead(batches)
        for picked in asked:
            assert torch.equal(feeds.train[picked], plain[picked])
        feeds.train.ahead(batches[2:])
        for picked in batches[2:]:
            assert torch.equal(feeds.train[picked], plain[picked])
    finally:
        feeds.close()
