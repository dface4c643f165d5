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
    "float pixels": (GOOD | {"train_images": GREY / 255}, "train_images is float64; expected uint8"),
    "wide pixels": (GOOD | {"val_images": GREY.astype(np.int32)}, "val_images is int32; expected uint8"),
    "flat images": (GOOD | {"train_images": GREY.reshape(6, 64)}, "train_images has shape (6, 64); expected"),
    "channels first": (
        GOOD | {"train_images": np.zeros((6, 3, 8, 8), np.uint8)},
        "shape (6, 3, 8, 8); expected",
    ),
    "tiny images": (GOOD | {"train_images": np.zeros((6, 7, 8), np.uint8)}, "shape (6, 7, 8); expected"),
    "no images": (GOOD | {"val_images": GREY[:0], "val_labels": THREE[:0]}, "val_images has shape (0,"),
    "too few labels": (GOOD | {"train_labels": THREE[:5]}, "6 train_images but 5 train_labels; expected"),
    "float labels": (
        GOOD | {"train_labels": THREE.astype(float)},
        "train_labels is float64; expected integers",
    ),
    "one-hot labels": (
        GOOD | {"train_labels": np.eye(6, dtype=int)},
        "train_labels has shape (6, 6); expected",
    ),
    "negative label": (GOOD | {"val_labels": THREE - 1}, "val_labels holds -1; expected labels from 0"),
    "label beyond": (GOOD | {"val_labels": THREE + 1}, "val_labels holds 3; expected at most 2"),
    "labels from one": (GOOD | {"train_labels": THREE + 1}, "train_labels never holds 0 but goes up to 3"),
    "huge label": (GOOD | {"train_labels": THREE * 10**12}, "train_labels never holds 1"),
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
