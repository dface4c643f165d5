"""What the loaders of images promise, on the bundled images and on folders of copies of them."""

import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import bft_nas.data.dataset
from bft_nas.core.errors import printable
from bft_nas.data.dataset import (
    EXTENSIONS,
    FASHION_MNIST_CLASSES,
    Dataset,
    has_test,
    is_of_arrays,
    load_dataset,
    load_test,
)
from tests.data.checks import complaint, counts, mistake, refusal
from tests.data.samples import (
    numbered_images,
    numbers_of,
    solid_png,
    write_class_folders,
    write_files,
)

BUNDLED = Path(bft_nas.data.dataset.__file__).parent / "bundled"
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture(scope="module")
def bundled() -> Dataset:
    return load_dataset("fashion-mnist", size=28)


@pytest.fixture
def photos(tmp_path: Path, bundled: Dataset) -> Path:
    """Ten real images each of three classes, as a folder of PNG files."""
    root = tmp_path / "clothes"
    chosen = np.concatenate([np.flatnonzero(bundled.train.labels == label)[:10] for label in (0, 1, 7)])
    names = dict(zip((0, 1, 7), ("shirt", "trouser", "sneaker"), strict=True))
    labels = np.array([sorted(names.values()).index(names[label]) for label in bundled.train.labels[chosen]])
    write_class_folders(root, bundled.train.images[chosen], labels, sorted(names.values()))
    return root


def test_files_of_arrays_are_told_from_folders_and_the_hub_by_more_than_their_names(tmp_path: Path) -> None:
    (tmp_path / "folder.npz").mkdir()
    arrays = [
        "cifar10",
        f"cifar10={tmp_path}",
        "fashion-mnist",
        str(tmp_path / "gone.NPZ"),
        "~nobody/few.npz",
    ]
    assert all(map(is_of_arrays, arrays))
    assert not any(map(is_of_arrays, [str(tmp_path), str(tmp_path / "folder.npz"), "hf:me/photos.npz"]))


class TestShippedDataset:
    def test_has_ten_thousand_training_and_three_thousand_validation_images(self, bundled: Dataset) -> None:
        assert bundled.name == "fashion-mnist"
        assert bundled.classes == FASHION_MNIST_CLASSES
        assert bundled.train.images.shape == (10_000, 28, 28, 1)
        assert bundled.validation.images.shape == (3_000, 28, 28, 1)
        assert counts(bundled) == ([1000] * 10, [300] * 10)
        for part in (bundled.train, bundled.validation):
            assert part.images.dtype == np.uint8
            assert part.labels.dtype == np.int64

    def test_no_image_occurs_twice_in_training_validation_and_test(self, bundled: Dataset) -> None:
        test = load_test("fashion-mnist", size=28)
        assert np.bincount(test.labels).tolist() == [400] * 10
        images = [*bundled.train.images, *bundled.validation.images, *test.images]
        assert len({image.tobytes() for image in images}) == 17_000

    def test_stays_what_accuracies_were_measured_on(self, bundled: Dataset) -> None:
        assert bundled.digest == "f63dc234c0f8"

    def test_is_small_and_comes_with_its_licence(self) -> None:
        assert (BUNDLED / "fashion-mnist.npz").stat().st_size <= 8_000_000
        assert "Zalando SE" in (BUNDLED / "LICENSE-fashion-mnist").read_text(encoding="utf-8")

    def test_pictures_look_like_their_classes(self, bundled: Dataset) -> None:
        """Trousers are dark between the legs, where a pullover is bright."""
        between = bundled.train.images[:, 20:27, 13:15, 0].mean((1, 2))
        trousers, pullovers = (between[bundled.train.labels == label].mean() for label in (1, 2))
        assert trousers < 80 < pullovers

    def test_needs_neither_torch_nor_pillow(self) -> None:
        code = (
            "import sys; from bft_nas.data.dataset import load_dataset; load_dataset('fashion-mnist', size=28); "
            "assert not {'torch', 'PIL'} & sys.modules.keys()"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


class TestFewerTrainingImages:
    @pytest.mark.parametrize("images", [10, 137, 9_999])
    def test_are_spread_evenly_over_equal_classes(self, bundled: Dataset, images: int) -> None:
        fewer = load_dataset("fashion-mnist", size=28, images=images)
        train, validation = counts(fewer)
        assert sum(train) == images
        assert max(train) - min(train) <= 1
        assert validation == [300] * 10
        assert fewer.digest != bundled.digest

    def test_are_not_the_first_ones(self, bundled: Dataset) -> None:
        fewer = load_dataset("fashion-mnist", size=28, images=1000)
        positions = {image.tobytes(): at for at, image in enumerate(bundled.train.images)}
        assert np.mean([positions[image.tobytes()] for image in fewer.train.images]) > 4_000

    def test_are_the_same_on_every_machine(self) -> None:
        assert load_dataset("fashion-mnist", size=28, images=500).digest == "7ecdc4621dbb"

    def test_asking_for_more_than_there_are_gives_all(self, bundled: Dataset) -> None:
        assert load_dataset("fashion-mnist", size=28, images=1_000_000).digest == bundled.digest

    @pytest.mark.parametrize(("images", "said"), [(0, "images 0"), (-3, "images -3"), (9, "each of the 10")])
    def test_fewer_than_classes_are_refused(self, images: int, said: str) -> None:
        assert said in refusal("fashion-mnist", images=images)


class TestHeldOutImages:
    """Without a validation part a fifth of each class is held out, the same one everywhere."""

    @settings(max_examples=40)
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


def write_two_classes(root: Path, copies: int) -> None:
    """So many images in each of two class folders."""
    for copy in range(copies):
        solid_png(root / "a" / f"{copy}.png", RED)
        solid_png(root / "b" / f"{copy}.png", BLUE)


class TestFolder:
    def test_gives_the_pixels_of_the_files(self, photos: Path, bundled: Dataset) -> None:
        dataset = load_dataset(str(photos), size=28)
        originals = {image.tobytes() for image in bundled.train.images}
        for image in (*dataset.train.images, *dataset.validation.images):
            assert image.shape == (28, 28, 3)
            assert image[:, :, 1].tobytes() in originals

    @pytest.mark.parametrize(
        ("train", "validation", "test"),
        [
            ("train", "val", "test"),
            ("train", "valid", "test"),
            ("train", "validation", "test"),
            ("train", "dev", "test"),
            ("Train", "Val", "Test"),
            ("TRAIN", "VALID", "TEST"),
            ("training", "validation", "testing"),
            ("Training", "Dev", "Testing"),
        ],
    )
    def test_uses_given_train_and_validation_folders(
        self, tmp_path: Path, train: str, validation: str, test: str
    ) -> None:
        for part, copies in ((train, 3), (validation, 1), (test, 2)):
            write_two_classes(tmp_path / part, copies)
        dataset = load_dataset(str(tmp_path), size=8)
        assert dataset.notes == ()
        assert counts(dataset) == ([3, 3], [1, 1])
        assert load_test(str(tmp_path), size=8).labels.tolist() == [0, 0, 1, 1]

    @pytest.mark.parametrize(
        ("train", "test"), [("Train", "TEST"), ("train", "Testing"), ("training", "Test")]
    )
    def test_never_trains_on_test_images_whatever_the_folders_are_called(
        self, tmp_path: Path, train: str, test: str
    ) -> None:
        write_two_classes(tmp_path / train, 5)
        write_two_classes(tmp_path / test, 2)
        dataset = load_dataset(str(tmp_path), size=8)
        assert (dataset.classes, counts(dataset)) == (("a", "b"), ([4, 4], [1, 1]))
        assert has_test(str(tmp_path))

    @pytest.mark.parametrize("test", ["test", "Test", "testing", "TESTING"])
    def test_a_test_folder_beside_the_classes_is_none(self, photos: Path, test: str) -> None:
        expected = load_dataset(str(photos), size=16).digest
        for name in ("shirt", "sneaker", "trouser"):
            solid_png(photos / test / name / "1.png", RED)
        assert load_dataset(str(photos), size=16).digest == expected
        assert load_test(str(photos), size=16).labels.tolist() == [0, 1, 2]

    def test_the_usual_name_goes_before_others(self, tmp_path: Path) -> None:
        for copies, name in enumerate(
            ("train", "training", "Train", "val", "dev", "test", "Test", "testing"), 1
        ):
            write_two_classes(tmp_path / name, copies)
        dataset = load_dataset(str(tmp_path), size=8)
        assert counts(dataset) == ([1, 1], [4, 4])
        assert len(load_test(str(tmp_path), size=8).labels) == 2 * 6
        assert dataset.notes == ("folders beside train/ left out: Test, Train, dev and 2 more",)

    def test_a_folder_is_called_what_it_is_called(self, tmp_path: Path) -> None:
        for name in ("Training", "Dev", "Testing", "extra"):
            write_two_classes(tmp_path / name, 1)
        assert load_dataset(str(tmp_path), size=8).notes == ("folders beside Training/ left out: extra",)
        solid_png(tmp_path / "Testing" / "hat" / "1.png", RED)
        assert mistake(lambda: load_test(str(tmp_path), size=8)) == (
            f"{tmp_path / 'Testing'}: only here: hat; expected the same classes in Training/ and Testing/"
        )
        solid_png(tmp_path / "Dev" / "hat" / "1.png", RED)
        assert refusal(tmp_path).endswith("expected the same classes in Training/ and Dev/")

    def test_holds_out_of_train_when_there_is_no_validation_folder(
        self, photos: Path, tmp_path: Path
    ) -> None:
        expected = load_dataset(str(photos), size=16).digest
        (tmp_path / "parts").mkdir()
        photos.rename(tmp_path / "parts" / "train")
        assert load_dataset(str(tmp_path / "parts"), size=16).digest == expected

    @pytest.mark.parametrize("called", ["train", "Train", "training", "testing", "dev"])
    def test_a_class_may_be_called_train(self, tmp_path: Path, called: str) -> None:
        for name in ("bus", called):
            for copy in range(2):
                solid_png(tmp_path / name / f"{copy}.png", RED)
        assert load_dataset(str(tmp_path), size=8).classes == tuple(sorted(("bus", called)))
        assert not has_test(str(tmp_path))

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

    def test_passes_over_what_the_zip_of_a_mac_brings_along(self, photos: Path) -> None:
        before = load_dataset(str(photos), size=16)
        for folder in (photos / "__MACOSX", photos / "__MACOSX" / "shirt", photos / "shirt" / "__MACOSX"):
            write_files(folder, {"._1.png": b"", "1.png": b""})
        after = load_dataset(str(photos), size=16)
        assert (after.digest, after.classes, after.notes) == (before.digest, before.classes, before.notes)

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
        self, tmp_path: Path, bundled: Dataset, extension: str
    ) -> None:
        write_class_folders(
            tmp_path, bundled.train.images[:4], np.array([0, 0, 1, 1]), ("a", "b"), f".{extension}"
        )
        dataset = load_dataset(str(tmp_path), size=28)
        assert dataset.train.images.shape == (2, 28, 28, 3)

    def test_jpeg_stays_close_to_the_original(self, tmp_path: Path, bundled: Dataset) -> None:
        write_class_folders(
            tmp_path, bundled.train.images[:4], np.array([0, 0, 1, 1]), ("a", "b"), suffix=".jpg"
        )
        dataset = load_dataset(str(tmp_path), size=28)
        originals = bundled.train.images[:4, :, :, 0].astype(int)
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
        assert refusal(tmp_path).endswith("only one class, hat; expected at least 2 class folders")
        # Folders below a class's own are nothing unusual.
        solid_png(tmp_path / "hat" / "more" / "2.png", RED)
        solid_png(tmp_path / "hat" / "other" / "3.png", RED)
        assert refusal(tmp_path).endswith("expected at least 2 class folders")

    @pytest.mark.parametrize("names", [("a", "b"), ("train/a", "train/b", "val/a", "val/b")])
    def test_classes_one_folder_further_down_are_pointed_out(
        self, tmp_path: Path, names: tuple[str, ...]
    ) -> None:
        inner = tmp_path / "photos"
        for name in names:
            for number in range(2):
                solid_png(inner / name / f"{number}.png", RED)
        said = f"only one class, photos; expected at least 2 class folders; those in {inner} may be meant"
        assert refusal(tmp_path) == f"{tmp_path}: {said}"
        assert load_dataset(str(inner), size=8).classes == ("a", "b")

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

    def test_what_only_train_and_what_only_validation_has_are_both_named(self, tmp_path: Path) -> None:
        for name in ("train/a", "train/b", "val/a", "val/c", "val/d", "val/e", "val/f"):
            solid_png(tmp_path / name / "1.png", RED)
        assert refusal(tmp_path) == (
            f"{tmp_path / 'train'}: only here: b; only in val/: c, d, e and 1 more; "
            "expected the same classes in train/ and val/"
        )

    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".bmp", ".webp", ".tif", ".ppm"])
    def test_truncated_image(self, photos: Path, suffix: str) -> None:
        path = photos / "shirt" / f"cut{suffix}"
        noise = np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8)
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert refusal(photos, max_unreadable=0).startswith(f"{path}: ")

    @settings(max_examples=70)
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
        assert refusal(photos, max_unreadable=0).startswith(f"{path}: not an image; expected")

    def test_link_that_leads_nowhere(self, photos: Path) -> None:
        path = photos / "sneaker" / "gone.jpg"
        path.symlink_to(photos / "missing.jpg")
        assert refusal(photos, max_unreadable=0).startswith(f"{path}: ")

    def test_image_larger_than_pillow_trusts(self, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
        path = photos / "shirt" / "bomb.png"
        solid_png(path, RED, (50, 50))
        assert refusal(photos, max_unreadable=0).startswith(f"{path}: too large")

    def test_name_with_a_line_break(self, photos: Path) -> None:
        (photos / "two\nlines").mkdir()
        assert "two\\nlines: no images" in refusal(photos)

    def test_fewer_images_than_classes(self, photos: Path) -> None:
        assert "images 2: expected at least one for each of the 3 classes" in refusal(photos, images=2)

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
        assert printable(source) in message
        assert "expected fashion-mnist, cifar10, cifar10=FOLDER, a folder" in message

    def test_file_of_another_kind(self, tmp_path: Path) -> None:
        (tmp_path / "images.zip").write_bytes(b"PK")
        assert refusal(tmp_path / "images.zip").startswith(
            f"{tmp_path / 'images.zip'}: not a dataset; expected"
        )

    def test_name_longer_than_a_file_system_takes(self) -> None:
        assert refusal("x" * 5000)
