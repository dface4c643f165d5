"""Arrays of images in a .npz: the forms that are read, and the mistakes."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bft_nas.data.dataset import load_dataset, load_test
from tests.data.checks import complaint, mistake, refusal
from tests.data.samples import (
    numbered_images,
    numbers_of,
    write_class_folders,
)

GREY = numbered_images(6)
COLOUR = np.repeat(GREY, 3, axis=3)
THREE = np.array([0, 1, 2, 0, 1, 2])


class TestArrays:
    @pytest.mark.parametrize("images", [GREY[..., 0], GREY, COLOUR], ids=["n h w", "n h w 1", "n h w 3"])
    @pytest.mark.parametrize("labels", [THREE, THREE[:, None].astype(np.uint8)], ids=["n", "n 1"])
    @pytest.mark.parametrize(
        ("train", "validation"),
        [
            (("train_images", "train_labels"), ("val_images", "val_labels")),
            (("x_train", "y_train"), ("x_val", "y_val")),
        ],
    )
    def test_keys_of_medmnist_and_keras(
        self,
        tmp_path: Path,
        images: np.ndarray,
        labels: np.ndarray,
        train: tuple[str, str],
        validation: tuple[str, str],
    ) -> None:
        arrays: dict[str, Any] = {
            train[0]: images,
            train[1]: labels,
            validation[0]: images[:3],
            validation[1]: labels[:3],
        }
        np.savez_compressed(tmp_path / "a.npz", **arrays)
        dataset = load_dataset(str(tmp_path / "a.npz"), size=8)
        assert dataset.name == "a.npz"
        assert dataset.classes == ("0", "1", "2")
        assert dataset.train.images.shape == (6, 8, 8, images.shape[3] if images.ndim == 4 else 1)
        assert numbers_of(dataset.train.images) == list(range(6))
        assert dataset.train.labels.tolist() == THREE.tolist()
        assert dataset.validation.labels.tolist() == [0, 1, 2]

    def test_keep_their_own_height_and_width(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", images=np.zeros((6, 10, 14, 3), np.uint8), labels=THREE)
        assert load_dataset(str(tmp_path / "a.npz"), size=64).train.images.shape == (3, 10, 14, 3)

    @pytest.mark.parametrize("keys", [("test_images", "test_labels"), ("x_test", "y_test")])
    def test_test_part_is_read_by_load_test_alone(self, tmp_path: Path, keys: tuple[str, str]) -> None:
        train = ("train_images", "train_labels") if keys[0] == "test_images" else ("x_train", "y_train")
        path = tmp_path / "a.npz"
        arrays: dict[str, Any] = {
            train[0]: GREY,
            train[1]: THREE,
            keys[0]: GREY[:2],
            keys[1]: np.array([2, 1]),
        }
        np.savez(path, **arrays)
        assert load_test(str(path), size=8).labels.tolist() == [2, 1]
        np.savez(path, **arrays | {keys[0]: np.array([None])})
        assert load_dataset(str(path), size=8).classes == ("0", "1", "2")
        assert f"{keys[0]} cannot be read" in mistake(lambda: load_test(str(path), size=8))

    @settings(max_examples=25)
    @given(number=st.integers(0, 11), row=st.integers(0, 7), column=st.integers(0, 7), bit=st.integers(0, 7))
    def test_digest_changes_with_any_pixel(
        self, tmp_path_factory: pytest.TempPathFactory, number: int, row: int, column: int, bit: int
    ) -> None:
        images, labels = numbered_images(12), np.arange(12) % 3
        path = tmp_path_factory.mktemp("digest") / "a.npz"
        digests = []
        for _ in range(2):
            np.savez(path, images=images, labels=labels)
            digests.append(load_dataset(str(path), size=8).digest)
            images[number, row, column, 0] ^= 1 << bit
        assert digests[0] != digests[1]
        assert [len(digest) for digest in digests] == [12, 12]

    def test_digest_changes_with_labels_and_class_names(self, tmp_path: Path) -> None:
        digests: set[str] = set()
        for names, labels in (
            (("a", "b"), [0, 0, 1, 1]),
            (("a", "c"), [0, 0, 1, 1]),
            (("a", "b"), [1, 1, 0, 0]),
        ):
            root = tmp_path / str(len(digests))
            write_class_folders(root, numbered_images(4), np.array(labels), names)
            digests.add(load_dataset(str(root), size=8).digest)
        assert len(digests) == 3


GOOD: dict[str, Any] = {"train_images": GREY, "train_labels": THREE, "val_images": GREY, "val_labels": THREE}
ARRAY_MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "no known keys": (
        {"data": GREY, "target": THREE},
        "has data, target; expected train_images, train_labels",
    ),
    "no arrays": ({}, "has nothing; expected train_images"),
    "no training labels": ({"x_train": GREY}, "x_train, y_train [, x_val, y_val] [, x_test, y_test]"),
    "no validation labels": ({"x_train": GREY, "y_train": THREE, "x_val": GREY}, "no y_val; expected"),
    "pixels on two scales": (
        GOOD | {"train_images": GREY / 255},
        "train_images holds float64 pixels from 0 to 0.0196078, unlike val_images; expected pixels on one scale",
    ),
    "pixels beyond 16 bits": (
        GOOD | {"val_images": GREY.astype(np.int32) * 20_000},
        "val_images holds int32 pixels from 0 to 100000; expected floats from 0 to 1",
    ),
    "negative pixels": (
        {"images": GREY / 5 - 0.5, "labels": THREE},
        "float64 pixels from -0.5 to 0.5; expected",
    ),
    "pixels of NaN": ({"images": GREY * np.nan, "labels": THREE}, "float64 pixels from nan to nan; expected"),
    "floats of an unknown scale": ({"images": GREY / 4, "labels": THREE}, "pixels from 0 to 1.25; expected"),
    "pixels as text": (GOOD | {"val_images": GREY.astype("U3")}, "val_images is <U3; expected floats"),
    "flat images": (GOOD | {"train_images": GREY.reshape(6, 64)}, "train_images has shape (6, 64); expected"),
    "two channels": (
        GOOD | {"train_images": np.zeros((6, 8, 8, 2), np.uint8)},
        "shape (6, 8, 8, 2); expected",
    ),
    "tiny images": (GOOD | {"train_images": np.zeros((6, 7, 8), np.uint8)}, "shape (6, 7, 8); expected"),
    "no images": (GOOD | {"val_images": GREY[:0], "val_labels": THREE[:0]}, "val_images has shape (0,"),
    "too few labels": (GOOD | {"train_labels": THREE[:5]}, "6 train_images but 5 train_labels; expected"),
    "labels with fractions": (
        GOOD | {"train_labels": THREE + 0.5},
        "train_labels is float64 and holds 0.5; expected whole numbers",
    ),
    "labels of NaN": (GOOD | {"val_labels": THREE * np.nan}, "val_labels is float64 and holds nan; expected"),
    "several labels an image": (
        GOOD | {"train_labels": np.eye(6, dtype=int) | np.eye(6, k=1, dtype=int)},
        "train_labels holds 2 classes for image 0; expected one class for each image",
    ),
    "no label": (GOOD | {"val_labels": np.eye(6, 3)}, "val_labels holds 0 classes for image 3; expected"),
    "two yes-or-no labels": (
        GOOD | {"train_labels": np.array([[0, 1], [1, 0], [1, 1], [0, 0], [1, 0], [0, 1]], bool)},
        "train_labels holds 2 classes for image 2; expected",
    ),
    "coarse and fine labels": (
        GOOD | {"train_labels": np.stack([THREE, THREE], 1)},
        "train_labels has shape (6, 2) and more in it than 0 and 1; expected",
    ),
    "soft labels": (GOOD | {"train_labels": np.full((6, 2), 0.5)}, "more in it than 0 and 1; expected"),
    "an empty name": (GOOD | {"train_labels": np.array(["a", "b", ""] * 2)}, "an empty name; expected"),
    "names that are not text": (
        GOOD | {"train_labels": np.array([b"a", b"\xff", b"c"] * 2)},
        "train_labels holds names that are not UTF-8; expected text",
    ),
    "names in one part alone": (
        GOOD | {"val_labels": np.array(["0", "1", "2"] * 2)},
        "val_labels is <U1; expected numbers as in training",
    ),
    "a name that training does not have": (
        GOOD | {"train_labels": np.array(["a", "b"] * 3), "val_labels": np.array(["a", "c"] * 3)},
        "val_labels holds c; expected labels that training has too",
    ),
    "a label in a gap of training's": (
        GOOD | {"train_labels": THREE * 2},
        "val_labels holds 1; expected labels that training has too",
    ),
    "negative label": (GOOD | {"val_labels": THREE - 1}, "val_labels holds -1; expected labels from 0"),
    "label that no signed number is": (
        GOOD | {"val_labels": THREE.astype(np.uint64) + np.uint64(2**64 - 5)},
        f"val_labels holds {2**64 - 3}; expected labels below 2^63",
    ),
    "label beyond": (GOOD | {"val_labels": THREE + 1}, "val_labels holds 3; expected at most 2"),
    "labels from one in training alone": (
        GOOD | {"train_labels": THREE + 1},
        "val_labels holds 0; expected labels that training has too",
    ),
    "one class": (GOOD | {"train_labels": THREE * 0}, "train_labels holds only one class, 0; expected"),
    "lone image": (
        {"images": GREY, "labels": np.array([0, 0, 1, 1, 1, 2])},
        "class 2 has one image; expected",
    ),
    "object images": (GOOD | {"train_images": np.array([None] * 6)}, "train_images cannot be read (Object"),
    "object labels": (GOOD | {"val_labels": np.array([None] * 6)}, "val_labels cannot be read (Object"),
    "other sizes": (
        GOOD | {"val_images": np.zeros((6, 9, 9), np.uint8)},
        "val_images are (9, 9, 1); expected",
    ),
}


class TestArrayMistakes:
    @pytest.mark.parametrize("name", ARRAY_MISTAKES)
    def test_names_the_file_and_the_key(self, tmp_path: Path, name: str) -> None:
        arrays, said = ARRAY_MISTAKES[name]
        path = tmp_path / "mine.npz"
        np.savez(path, **arrays)
        message = refusal(path)
        assert message.startswith(f"{path}: ")
        assert said in message

    @pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 and no more", pickle.dumps([1, 2])])
    def test_file_that_is_no_zip_of_arrays(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "mine.npz"
        path.write_bytes(content)
        assert refusal(path).startswith(f"{path}: not an .npz file; expected")

    def test_single_array(self, tmp_path: Path) -> None:
        content = io.BytesIO()
        np.save(content, GREY)
        path = tmp_path / "mine.npz"
        path.write_bytes(content.getvalue())
        assert refusal(path).startswith(f"{path}: not an .npz file; expected")

    @settings(max_examples=30)
    @given(at=st.floats(0, 1, exclude_max=True))
    def test_truncated_file(self, tmp_path_factory: pytest.TempPathFactory, at: float) -> None:
        path = tmp_path_factory.mktemp("cut") / "mine.npz"
        np.savez_compressed(path, **GOOD)
        path.write_bytes(path.read_bytes()[: int(at * path.stat().st_size)])
        assert str(path) in refusal(path)

    @settings(max_examples=150)
    @given(data=st.data())
    def test_any_damaged_byte_is_harmless_or_reported(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "damaged.npz"
        np.savez_compressed(path, **GOOD)
        content = bytearray(path.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        said = complaint(path)
        assert said is None or said.startswith(f"{path}: ")

    def test_damaged_member(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.npz"
        np.savez(path, **GOOD)
        content = bytearray(path.read_bytes())
        content[400] ^= 0xFF
        path.write_bytes(content)
        assert refusal(path).startswith(f"{path}: train_images cannot be read")

    def test_test_part_missing(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.npz"
        np.savez(path, **GOOD)
        assert "no test images; expected test_images" in mistake(lambda: load_test(str(path), size=8))

    def test_test_label_that_training_does_not_have(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.npz"
        np.savez(path, **GOOD, test_images=GREY[:1], test_labels=np.array([3]))
        assert "test_labels holds 3; expected at most 2" in mistake(lambda: load_test(str(path), size=8))


REAL = load_dataset("fashion-mnist", size=28, images=60).train
COLOURED = np.concatenate([REAL.images, 255 - REAL.images, REAL.images // 2], 3)


class TestArraysOfOtherForms:
    """Whatever can be meant in one way alone is read as the plain form is, and said."""

    def same(self, folder: Path, note: str, **arrays: Any) -> None:
        plain: dict[str, Any] = {"images": COLOURED, "labels": REAL.labels}
        np.savez(folder / "plain.npz", **plain)
        np.savez(folder / "other.npz", **(plain | arrays))
        expected, dataset = (
            load_dataset(str(folder / f"{name}.npz"), size=28) for name in ("plain", "other")
        )
        assert dataset.digest == expected.digest
        assert expected.notes == ()
        assert dataset.notes == ((note,) if note else ())

    @pytest.mark.parametrize(
        ("images", "note"),
        [
            ((COLOURED / 255).astype(np.float16), "float16 pixels from 0 to 1 scaled to 8 bits"),
            ((COLOURED / 255).astype(">f4"), ">f4 pixels from 0 to 1 scaled to 8 bits"),
            (COLOURED / 255, "float64 pixels from 0 to 1 scaled to 8 bits"),
            (COLOURED / 255 * 1.0001, "float64 pixels from 0 to 1 scaled to 8 bits"),
            (COLOURED.astype(np.float32), "float32 pixels from 0 to 255 read as 8 bits"),
            (COLOURED + np.float32(0.25), "float32 pixels from 0 to 255 read as 8 bits"),
            (COLOURED.astype(np.int64), "int64 pixels from 0 to 255 read as 8 bits"),
            (COLOURED.astype(np.uint16), "uint16 pixels from 0 to 255 read as 8 bits"),
            (COLOURED * np.uint16(257), "uint16 pixels from 0 to 65535 scaled to 8 bits"),
            (
                np.rint(COLOURED * (4095 / 255)).astype(np.int16),
                "int16 pixels from 0 to 4095 scaled to 8 bits",
            ),
            (np.moveaxis(COLOURED, 3, 1), "channels come first in the file"),
            (
                np.concatenate([COLOURED, COLOURED[..., :1]], 3),
                "the fourth channel, transparency, left out",
            ),
            (np.asfortranarray(COLOURED), ""),
        ],
        ids=lambda value: value if isinstance(value, str) else f"{value.dtype}{value.shape}",
    )
    def test_pixels(self, tmp_path: Path, images: np.ndarray, note: str) -> None:
        self.same(tmp_path, note, images=images)

    @pytest.mark.parametrize(
        ("labels", "note"),
        [
            (np.eye(10)[REAL.labels], "one-hot labels read as classes"),
            (np.eye(10, dtype=bool)[REAL.labels], "one-hot labels read as classes"),
            (REAL.labels.astype(np.float32), "float32 labels read as whole numbers"),
            (REAL.labels[:, None].astype(np.uint64), ""),
        ],
        ids=lambda value: value if isinstance(value, str) else f"{value.dtype}{value.shape}",
    )
    def test_labels(self, tmp_path: Path, labels: np.ndarray, note: str) -> None:
        self.same(tmp_path, note, labels=labels)

    @pytest.mark.parametrize(
        ("labels", "classes", "note"),
        [
            (THREE + 1, ("1", "2", "3"), "labels from 1 to 3 read as 3 classes"),
            (THREE * 2, ("0", "2", "4"), "labels from 0 to 4 without 1, 3 read as 3 classes"),
            (
                THREE * 10**12,
                ("0", "1000000000000", "2000000000000"),
                "labels from 0 to 2000000000000 without 1999999999998 between them read as 3 classes",
            ),
            (
                np.array(["cat", "ant", "bat"] * 2),
                ("ant", "bat", "cat"),
                "names as labels read as 3 classes in the order of the names",
            ),
            (
                np.array(["Kätzchen".encode(), b"ant"] * 3),
                ("Kätzchen", "ant"),
                "names as labels read as 2 classes in the order of the names",
            ),
            (THREE > 0, ("0", "1"), "false and true as labels read as 0 and 1"),
            (np.array([[0, 1], [1, 0]] * 3), ("0", "1"), "one-hot labels read as classes"),
        ],
    )
    def test_classes(self, tmp_path: Path, labels: np.ndarray, classes: tuple[str, ...], note: str) -> None:
        path = tmp_path / "a.npz"
        arrays: dict[str, Any] = {
            "train_images": GREY,
            "train_labels": labels,
            "val_images": GREY,
            "val_labels": labels,
        }
        np.savez(path, **arrays, test_images=GREY[4:5], test_labels=labels[4:5])
        dataset = load_dataset(str(path), size=8)
        assert dataset.classes == classes
        assert dataset.notes == (note,)
        named = [classes[label] for label in dataset.train.labels]
        stored = (
            labels.argmax(1)
            if labels.ndim == 2
            else np.char.decode(labels)
            if labels.dtype.kind == "S"
            else labels
        )
        assert named == [str(int(each) if stored.dtype.kind == "b" else each) for each in stored]
        assert load_test(str(path), size=8).labels.tolist() == dataset.train.labels[4:5].tolist()

    def test_several_are_said_each_once(self, tmp_path: Path) -> None:
        images = np.moveaxis(COLOURED, 3, 1) / 255
        arrays: dict[str, Any] = {
            "x_train": images,
            "y_train": REAL.labels + 1,
            "x_val": images,
            "y_val": REAL.labels + 1,
        }
        np.savez(tmp_path / "a.npz", **arrays)
        assert load_dataset(str(tmp_path / "a.npz"), size=28).notes == (
            "channels come first in the file",
            "float64 pixels from 0 to 1 scaled to 8 bits",
            "labels from 1 to 10 read as 10 classes",
        )

    def test_black_and_white_as_false_and_true(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", images=GREY > 2, labels=THREE)
        dataset = load_dataset(str(tmp_path / "a.npz"), size=8)
        assert set(np.unique(dataset.train.images)) == {0, 255}
        assert dataset.notes == ("false and true as pixels read as black and white",)

    def test_the_brightest_part_decides_the_scale_of_all(self, tmp_path: Path) -> None:
        arrays: dict[str, Any] = {"train_labels": THREE, "val_labels": THREE, "test_labels": THREE}
        dark, bright = GREY.astype(np.uint16) + 1000, GREY.astype(np.uint16) + 4000
        path = tmp_path / "a.npz"
        np.savez(path, **arrays, train_images=dark, val_images=bright, test_images=bright)
        dataset, test = load_dataset(str(path), size=8), load_test(str(path), size=8)
        assert dataset.notes == ("uint16 pixels from 0 to 4095 scaled to 8 bits",)
        assert (dataset.train.images.max(), dataset.validation.images.max()) == (63, 249)
        assert test.images.tobytes() == dataset.validation.images.tobytes()
        np.savez(path, **arrays, train_images=dark, val_images=bright, test_images=bright * 2)
        assert load_dataset(str(path), size=8).digest == dataset.digest
        assert "test_images holds uint16 pixels from 8000 to 8" in mistake(
            lambda: load_test(str(path), size=8)
        )

    @settings(max_examples=60)
    @given(
        bits=st.sampled_from([8, 10, 12, 14, 16]),
        stored=st.sampled_from(["uint16", "int32", "float32", "float64"]),
        seed=st.integers(0, 2**32 - 1),
    )
    def test_any_depth_keeps_the_order_of_brightness_and_both_ends(
        self, tmp_path_factory: pytest.TempPathFactory, bits: int, stored: str, seed: int
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "depth.npz"
        deep = np.random.RandomState(seed).randint(0, 2**bits, (6, 8, 8))
        deep[:, 0, 0], deep[:, 0, 1] = 0, 2**bits - 1
        np.savez(path, x_train=deep.astype(stored), y_train=THREE, x_val=deep.astype(stored), y_val=THREE)
        read = load_dataset(str(path), size=8).train.images[..., 0].astype(int)
        assert (read[:, 0, 0] == 0).all()
        assert (read[:, 0, 1] == 255).all()
        assert np.abs(read - deep * 255 / (2**bits - 1)).max() <= 0.5001
