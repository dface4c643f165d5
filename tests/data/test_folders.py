"""Folders of images as people have them: of every mode, nested, and with files that cannot be decoded."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bft_nas.data.dataset import Dataset, load_dataset, load_test
from tests.data.checks import counts, mistake, refusal
from tests.data.samples import (
    EVERY_MODE,
    numbered_images,
    solid_png,
    write_class_folders,
    write_every_mode,
    write_files,
)

REAL = load_dataset("fashion-mnist", size=28, images=60).train
ONE = REAL.images[0, :, :, 0]
BIG_ENDIAN = (ONE * np.uint16(257)).astype(">u2")
RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Sixty real images of ten classes."""
    root = tmp_path / "photos"
    write_class_folders(root, REAL.images, REAL.labels, [f"c{label}" for label in range(10)])
    return root


def load(
    root: Path, *, size: int = 28, images: int | None = None, max_unreadable: int | None = None
) -> Dataset:
    return load_dataset(str(root), size=size, images=images, max_unreadable=max_unreadable)


def of_two_classes(root: Path, picture: Image.Image, suffix: str) -> Path:
    """A folder of two classes with two equal images each."""
    for name in ("a/1", "a/2", "b/1", "b/2"):
        path = root / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, exif=picture.getexif())
    return root


class TestImagesOfOtherModes:
    @pytest.mark.parametrize(
        ("values", "mode", "suffix", "said"),
        [
            (
                ONE * np.uint16(257),
                "I;16",
                ".png",
                "more than 8 bits: pixels from 0 to 65535 scaled to 8 bits",
            ),
            (
                ONE * np.uint16(257),
                "I;16",
                ".tif",
                "more than 8 bits: pixels from 0 to 65535 scaled to 8 bits",
            ),
            (BIG_ENDIAN, "I;16B", ".tif", "more than 8 bits: pixels from 0 to 65535 scaled to 8 bits"),
            (np.uint16(16) * ONE, "I;16", ".png", "more than 8 bits: pixels from 0 to 4095 scaled to 8 bits"),
            (ONE.astype(np.uint16), "I;16", ".png", "more than 8 bits: pixels from 0 to 255 read as 8 bits"),
            (
                ONE.astype(np.int32) * 257,
                "I",
                ".tif",
                "more than 8 bits: pixels from 0 to 65535 scaled to 8 bits",
            ),
            (ONE.astype(np.float32), "F", ".tif", "floats: pixels from 0 to 255 read as 8 bits"),
            (ONE.astype(np.float32) / 255, "F", ".tif", "floats: pixels from 0 to 1 scaled to 8 bits"),
        ],
    )
    def test_more_than_eight_bits_and_floats_are_scaled(
        self, tmp_path: Path, values: np.ndarray, mode: str, suffix: str, said: str
    ) -> None:
        picture = Image.frombytes(mode, (28, 28), values.tobytes())
        dataset = load(of_two_classes(tmp_path, picture, suffix))
        with Image.open(tmp_path / "a" / f"1{suffix}") as stored:
            assert stored.mode == mode
        assert dataset.notes == (f"4 images of {said}",)
        # An image is scaled by what 12 or 16 bits can hold, 4095 and not 16 times 255.
        assert np.abs(dataset.train.images[0].astype(int) - ONE[:, :, None].astype(int)).max() <= (
            mode == "I;16"
        )

    def test_all_images_of_a_kind_are_on_one_scale(self, tmp_path: Path) -> None:
        for at, name in enumerate(("a/dark", "a/darker", "b/bright", "b/brighter")):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            Image.fromarray(np.full((9, 9), (200, 100, 30_000, 60_000)[at], np.uint16)).save(
                tmp_path / f"{name}.png"
            )
        dataset = load(tmp_path, size=8)
        levels = {
            int(image[0, 0, 0]) for part in (dataset.train, dataset.validation) for image in part.images
        }
        assert levels == {0, 1, 117, 233}

    @pytest.mark.parametrize("turn", range(1, 9))
    def test_a_deep_photograph_is_turned_upright_as_one_of_8_bits_is(self, tmp_path: Path, turn: int) -> None:
        loaded = []
        for name, values in (("eight", ONE), ("sixteen", ONE * np.uint16(257))):
            picture = Image.fromarray(values)
            picture.getexif()[0x0112] = turn
            loaded.append(load(of_two_classes(tmp_path / name, picture, ".png")).train.images)
        np.testing.assert_array_equal(loaded[0], loaded[1])

    def test_transparency_and_further_frames_are_said(self, tmp_path: Path) -> None:
        root = of_two_classes(tmp_path, Image.fromarray(ONE), ".png")
        plain = load(root)
        assert plain.notes == ()
        faint = Image.merge("LA", (Image.fromarray(ONE), Image.fromarray(ONE)))
        faint.save(root / "a" / "1.png")
        palette = Image.fromarray(ONE).convert("P")
        palette.save(root / "b" / "1.png", transparency=bytes(range(256)))
        Image.merge("LA", (Image.fromarray(ONE), Image.new("L", (28, 28), 255))).save(root / "b" / "2.png")
        frames = [Image.new("L", (28, 28), 9), Image.new("L", (28, 28), 200)]
        Image.fromarray(ONE).save(root / "a" / "2.png", save_all=True, append_images=frames)
        dataset = load(root)
        assert dataset.notes == (
            "1 image of several frames: the first is used",
            "2 images with transparency: drawn without it",
        )
        assert dataset.digest == plain.digest

    @pytest.mark.parametrize("suffix", [".gif", ".webp", ".tif", ".png"])
    def test_the_first_frame_of_a_moving_image_is_used(self, tmp_path: Path, suffix: str) -> None:
        first, second = Image.new("RGB", (16, 16), "white"), Image.new("RGB", (16, 16), "black")
        for name in ("a/1", "a/2", "b/1", "b/2"):
            path = tmp_path / f"{name}{suffix}"
            path.parent.mkdir(exist_ok=True)
            first.save(path, save_all=True, append_images=[second, second])
        dataset = load(tmp_path, size=8)
        assert dataset.notes == ("4 images of several frames: the first is used",)
        assert (dataset.train.images == 255).all()

    @pytest.mark.parametrize("values", [np.nan, -20.0, 70_000.0])
    def test_a_float_that_cannot_be_scaled_is_left_out(self, photos: Path, values: float) -> None:
        expected = load(photos)
        Image.fromarray(np.full((9, 9), values, np.float32)).save(photos / "c3" / "odd.tif")
        dataset = load(photos)
        assert dataset.digest == expected.digest
        assert dataset.left_out == (
            f"c3/odd.tif: pixels from {values:g} to {values:g};"
            " expected floats from 0 to 1, or numbers from 0 to 255 or of at most 16 bits",
        )

    def test_floats_whose_scale_is_a_guess_are_left_out(self, photos: Path) -> None:
        expected = load(photos)
        for label, value in ((1, 0.5), (2, 3.2)):
            Image.fromarray(np.full((9, 9), value, np.float32)).save(photos / f"c{label}" / "odd.tif")
        dataset = load(photos)
        assert dataset.digest == expected.digest
        assert [line.partition(";")[0] for line in dataset.left_out] == [
            "c1/odd.tif: pixels from 0.5 to 3.2",
            "c2/odd.tif: pixels from 0.5 to 3.2",
        ]


DAMAGED = {
    "empty.png": b"",
    "letter.jpg": b"Dear all",
    "cut.gif": b"GIF89a\x10\x00\x10\x00",
    "page.tif": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
}


class TestImagesThatCannotBeDecoded:
    def test_are_left_out_named_and_counted(self, photos: Path) -> None:
        expected = load(photos)
        write_files(photos / "c4", DAMAGED)
        dataset = load(photos)
        assert dataset.digest == expected.digest
        assert counts(dataset) == counts(expected)
        assert dataset.notes == (
            "4 of 64 images cannot be decoded and are left out: c4/cut.gif, c4/empty.png, c4/letter.jpg and 1 more",
        )
        assert [line.partition(":")[0] for line in dataset.left_out] == [
            f"c4/{name}" for name in sorted(DAMAGED)
        ]
        assert dataset.left_out[2].startswith("c4/letter.jpg: not an image; expected JPEG")

    @pytest.mark.parametrize("damaged", [0, 1, 7, 20])
    def test_up_to_twenty_by_default(self, photos: Path, damaged: int) -> None:
        write_files(photos / "c4", {f"{at}.png": b"" for at in range(damaged)})
        assert len(load(photos).left_out) == damaged
        write_files(photos / "c4", {f"{at}.png": b"" for at in range(21)})
        message = refusal(photos)
        assert message.startswith(f"{photos / 'c4' / '0.png'}: not an image; expected")
        assert "; ... more than 20 images that cannot be used; expected" in message
        assert "max_unreadable" in message
        assert len(load(photos, max_unreadable=21).left_out) == 21

    def test_or_a_hundredth(self, tmp_path: Path) -> None:
        write_class_folders(tmp_path, numbered_images(2_500, side=8), np.arange(2_500) % 2, ("a", "b"))
        write_files(tmp_path / "a", {f"x{at}.png": b"" for at in range(25)})
        assert len(load(tmp_path, size=8).left_out) == 25
        write_files(tmp_path / "b", {f"x{at}.png": b"" for at in range(25)})
        assert "more than 25 images" in refusal(tmp_path, size=8)

    def test_none_when_none_is_allowed(self, photos: Path) -> None:
        path = photos / "c0" / "empty.png"
        path.write_bytes(b"")
        message = refusal(photos, max_unreadable=0)
        assert message.startswith(f"{path}: not an image; expected")

    def test_the_next_ones_take_their_place(self, photos: Path) -> None:
        assert sum(counts(load(photos, images=30))[0]) == 30
        for path in sorted((photos / "c5").iterdir())[:2]:
            path.write_bytes(path.read_bytes()[:100])
        dataset = load(photos, images=30)
        assert sum(counts(dataset)[0]) == 30
        assert dataset.train.images.shape == (30, 28, 28, 3)
        assert min(map(min, counts(dataset))) >= 1

    @settings(max_examples=25)
    @given(data=st.data())
    def test_are_as_if_they_were_not_there(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        roots = [tmp_path_factory.mktemp("holes") / name for name in ("with", "without")]
        sizes = data.draw(st.lists(st.integers(2, 12), min_size=2, max_size=4))
        labels = np.repeat(np.arange(len(sizes)), sizes)
        for root in roots:
            write_class_folders(root, numbered_images(len(labels)), labels, "abcd")
        for label, size in enumerate(sizes):
            first = sum(sizes[:label])
            for number in data.draw(st.sets(st.integers(first, first + size - 1), max_size=size - 2)):
                path = Path("abcd"[label]) / f"{number:05d}.png"
                (roots[0] / path).write_bytes(b"no image")
                (roots[1] / path).unlink()
        assert load(roots[0], size=8, max_unreadable=40).digest == load(roots[1], size=8).digest

    @pytest.mark.parametrize(("kept", "said"), [(0, "0 of 2 images"), (1, "1 of 2 images")])
    def test_a_class_keeps_one_to_train_on_and_one_for_validation(
        self, photos: Path, kept: int, said: str
    ) -> None:
        for at in range(2):
            write_files(photos / "hat", {f"{at}.png": b"broken"})
        if kept:
            solid_png(photos / "hat" / "1.png", RED)
        message = refusal(photos)
        assert message.startswith(f"{photos / 'hat'}: {said} can be used (0.png: not an image; expected")
        assert message.endswith("expected at least 2, one of them for validation")

    def test_a_class_of_a_validation_folder_keeps_one(self, photos: Path, tmp_path: Path) -> None:
        (tmp_path / "all").mkdir()
        photos.rename(tmp_path / "all" / "train")
        write_class_folders(tmp_path / "all" / "val", REAL.images, REAL.labels, [f"c{k}" for k in range(10)])
        for path in (tmp_path / "all" / "val" / "c6").iterdir():
            path.write_bytes(b"")
        assert refusal(tmp_path / "all").startswith(f"{tmp_path / 'all' / 'val' / 'c6'}: 0 of ")

    def test_leave_a_test_with_the_classes_that_can_be_read(self, photos: Path) -> None:
        write_class_folders(photos / "test", REAL.images, REAL.labels, [f"c{k}" for k in range(10)])
        gone = sorted((photos / "test" / "c6").iterdir())
        for path in gone:
            path.write_bytes(b"")
        test = load_test(str(photos), size=28)
        assert set(test.labels) == set(range(10)) - {6}
        assert len(test.left_out) == len(gone)

    def test_leave_no_test_where_none_can_be_read(self, photos: Path) -> None:
        for label in range(10):
            write_files(photos / "test" / f"c{label}", {"x.png": b""})
        message = mistake(lambda: load_test(str(photos), size=28))
        assert message.startswith(f"{photos / 'test'}: none of 10 images can be used (x.png: ")
        assert message.endswith("; expected at least 1")

    def test_are_left_out_of_the_test_and_named(self, photos: Path) -> None:
        write_class_folders(photos / "test", REAL.images, REAL.labels, [f"c{k}" for k in range(10)])
        expected = load_test(str(photos), size=8)
        assert (len(expected.labels), expected.left_out) == (60, ())
        write_files(photos / "test" / "c0", {f"{at}.png": b"" for at in range(20)})
        test = load_test(str(photos), size=8)
        np.testing.assert_array_equal(test.images, expected.images)
        np.testing.assert_array_equal(test.labels, expected.labels)
        assert len(test.left_out) == 20
        assert test.left_out[0].startswith("test/c0/0.png: not an image; expected")
        write_files(photos / "test" / "c0", {"x.png": b""})
        assert "more than 20 images" in mistake(lambda: load_test(str(photos), size=8))

    def test_a_name_that_is_no_text_can_be_shown(self, photos: Path) -> None:
        (photos / "c0" / "two\nlines \udcff.png").write_bytes(b"")
        dataset = load(photos)
        assert dataset.left_out[0].startswith("c0/two lines \\udcff.png: not an image")
        assert dataset.notes[0].endswith("left out: c0/two lines \\udcff.png")


class TestFoldersBelowAClass:
    def test_their_images_are_used_and_said(self, photos: Path) -> None:
        flat = load(photos, size=8)
        for number, path in enumerate(sorted(photos.glob("*/*.png"))):
            if number % 2:
                (path.parent / "2019" / "May").mkdir(parents=True, exist_ok=True)
                path.rename(path.parent / "2019" / "May" / path.name)
        nested = load(photos, size=8)
        assert nested.classes == flat.classes
        assert counts(nested) == counts(flat)
        assert nested.notes == ("30 images in folders below a class's own used",)
        images = [
            sorted(image.tobytes() for part in (each.train, each.validation) for image in part.images)
            for each in (flat, nested)
        ]
        assert images[0] == images[1]

    def test_a_class_may_have_no_images_but_those(self, photos: Path) -> None:
        for copy in range(3):
            solid_png(photos / "hat" / f"{copy}" / "same.png", RED)
        dataset = load(photos)
        assert "hat" in dataset.classes
        assert sum(map(sum, counts(dataset))) == 63

    def test_do_not_depend_on_the_order_of_a_listing(
        self, photos: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for copy in range(20):
            solid_png(photos / "c1" / f"{copy % 3}" / f"{copy}.png", (copy, 0, 0))
        expected = load(photos, images=20).digest
        listing = Path.iterdir
        monkeypatch.setattr(Path, "iterdir", lambda path: reversed(list(listing(path))))
        assert load(photos, images=20).digest == expected

    def test_links_are_followed_but_never_in_a_circle(self, photos: Path, tmp_path: Path) -> None:
        expected = load(photos)
        for name, target in (("up", ".."), ("self", "."), ("root", "/"), ("photos", "../../photos")):
            (photos / "c2" / name).symlink_to(target, target_is_directory=True)
        (photos / "c2" / "round").symlink_to("round")
        dataset = load(photos)
        assert dataset.digest == expected.digest
        assert dataset.notes == (
            "4 links to a folder that is read already not followed",
            "1 file without the ending of an image left out: 1 without any",
        )
        solid_png(tmp_path / "elsewhere" / "1.png", RED)
        (photos / "c2" / "more").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
        assert sum(map(sum, counts(load(photos)))) == 61

    @pytest.mark.parametrize("target", ["..", ".", "/", "../photos"])
    def test_a_class_that_links_to_a_folder_above_is_refused(self, photos: Path, target: str) -> None:
        (photos / "loop").symlink_to(target, target_is_directory=True)
        assert refusal(photos).startswith(f"{photos / 'loop'}: a link to a folder above it; expected")

    def test_test_images_of_a_class_are_never_read(self, photos: Path) -> None:
        expected = load(photos)
        write_files(photos / "c3" / "test", {"1.png": b"broken"})
        dataset = load(photos)
        assert dataset.digest == expected.digest
        assert dataset.notes == ("1 folder named test below a class left out",)
        for folder in ("c3/Testing", "c4/test"):
            write_files(photos / folder, {"1.png": b"broken"})
        assert load(photos).notes == ("3 folders named Testing, test below a class left out",)


class TestNamesWithAccents:
    @pytest.mark.parametrize("other", ["val", "test"])
    def test_of_two_systems_are_one_class(self, tmp_path: Path, other: str) -> None:
        composed, apart = "caf\u00e9", "cafe\u0301"
        ways = {"one": (composed, composed), "two": (composed, apart), "turned": (apart, composed)}
        for part, names in ways.items():
            for place, name in zip(("train", other), names, strict=True):
                write_class_folders(tmp_path / part / place, REAL.images, REAL.labels % 2, [name, "tea"])
        one, *others = (load(tmp_path / part) for part in ("one", "two", "turned"))
        assert one.classes == ("caf\u00e9", "tea")
        assert {(each.classes, each.digest) for each in others} == {(one.classes, one.digest)}
        if other == "test":
            expected = load_test(str(tmp_path / "one"), size=8)
            np.testing.assert_array_equal(load_test(str(tmp_path / "two"), size=8).labels, expected.labels)

    def test_are_one_folder_each(self, tmp_path: Path) -> None:
        for name in ("cafe\u0301", "caf\u00e9", "tea"):
            solid_png(tmp_path / name / "1.png", RED)
        assert refusal(tmp_path) == (
            f"{tmp_path}: two folders named caf\u00e9, whose accents are composed differently; expected one"
        )


class TestFilesLeftOut:
    def test_are_counted_by_what_they_are(self, photos: Path) -> None:
        expected = load(photos)
        write_files(photos / "c1", {"a.heic": b"", "b.HEIC": b"", "notes.txt": b"", "x": b"", ".hidden": b""})
        write_files(photos, {"cover.png": b"", "readme.md": b""})
        dataset = load(photos)
        assert dataset.digest == expected.digest
        assert dataset.notes == (
            "1 image beside the class folders left out",
            "4 files without the ending of an image left out: 2 .heic, 1 .txt, 1 without any",
        )

    def test_folders_beside_train_are_named(self, photos: Path, tmp_path: Path) -> None:
        (tmp_path / "all").mkdir()
        photos.rename(tmp_path / "all" / "train")
        for name in ("extra/a", "test/a", "a\udcffb/c"):
            solid_png(tmp_path / "all" / name / "1.png", BLUE)
        assert load(tmp_path / "all").notes == ("folders beside train/ left out: a\\udcffb, extra",)


def test_a_folder_of_every_mode_that_pillow_opens_is_read(tmp_path: Path) -> None:
    damaged = write_every_mode(tmp_path, REAL.images)
    modes = set()
    for path in set(tmp_path.glob("*/*")) - set(damaged):
        with Image.open(path) as image:
            modes.add(image.mode)
    assert modes == {*EVERY_MODE} - {"RGBX"} | {"RGBA"}
    dataset = load(tmp_path, size=16)
    assert len(dataset.train.labels) + len(dataset.validation.labels) == 200 - len(damaged)
    names = [path.relative_to(tmp_path).as_posix() for path in damaged]
    assert [line.partition(":")[0] for line in dataset.left_out] == names
    assert dataset.notes[0].startswith("8 of 200 images cannot be decoded and are left out: ")
