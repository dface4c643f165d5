"""Workers by default, and the images that they have in common."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch

from bft_nas.core.errors import RunError
from bft_nas.data.images import Images
from bft_nas.engines import default_workers, local
from bft_nas.engines._shared import ImageFile
from bft_nas.training.protocol import Protocol


def fake_machine(monkeypatch: pytest.MonkeyPatch, cores: int, memory: int | None, gpus: int = 0) -> None:
    monkeypatch.setattr(local, "usable_cores", lambda: cores)
    monkeypatch.setattr(local, "usable_memory", lambda: memory)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)


@pytest.mark.parametrize(
    ("cores", "mebibytes", "workers"),
    [(1, None, 1), (6, None, 6), (6, 64_000, 6), (6, 1_100, 2), (6, 300, 1)],
)
def test_there_is_a_worker_for_each_core_as_far_as_memory_goes(
    cores: int, mebibytes: int | None, workers: int, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_machine(monkeypatch, cores, None if mebibytes is None else mebibytes << 20)
    protocol = Protocol.of(images.dataset, 4)
    assert default_workers(protocol, [128, 224], 50_000_000) == workers


def test_larger_images_batches_and_budgets_leave_room_for_fewer(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_machine(monkeypatch, 8, 9_500 << 20)
    at = [
        default_workers(Protocol.of(images.dataset, divisor, batch_size=batch), [224], budget)
        for divisor, batch, budget in (
            (4, 64, 50_000_000),
            (4, 256, 50_000_000),
            (1, 64, 50_000_000),
            (1, 64, 600_000_000),
        )
    ]
    assert at == sorted(at, reverse=True)
    assert at[0] > at[1] > at[2] > at[3]


def test_there_is_a_worker_for_each_gpu(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_machine(monkeypatch, 8, 64 << 30, gpus=3)
    assert default_workers(Protocol.of(images.dataset, 4), [224], 50_000_000) == 3


def test_what_workers_share_is_what_one_process_has(images: Images) -> None:
    shared = ImageFile(images)
    theirs = shared.data.images(torch.device("cpu"))
    assert (theirs.mean, theirs.std) == (images.mean, images.std)
    for size in (16, 24, 40, 16):
        shared.data.add(theirs, shared.at(size))
        ours = images.at(size)
        for name in ("train", "train_labels", "validation", "validation_labels"):
            assert torch.equal(getattr(theirs.at(size), name), getattr(ours, name))
    shared.close()
    # A worker has them as long as it lives, and what it writes is its own.
    theirs.at(16).train.zero_()
    assert images.at(16).train.any()


def test_a_side_is_made_once_and_the_file_has_no_name(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    shared = ImageFile(images)
    assert shared.at(16) is shared.at(16)
    assert shared.at(40) is shared.at(80)
    assert not list(tmp_path.iterdir())
    shared.close()


def test_no_room_for_them_is_one_line(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere/at/all")
    with pytest.raises(RunError, match="no room for the images that workers share"):
        ImageFile(images)
