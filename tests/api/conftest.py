"""A network that is trained to the end on few real images, and its export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bft_nas
from bft_nas.data.dataset import load_dataset, load_test

SMALL = {"flops": "2M", "resolution": 32, "epochs": 2, "batch_size": 32, "progress": False}
NAME = "mobilenet_v3_small"


def write_few(path: Path, *, train: int, validation: int, test: int = 0) -> None:
    """So many real images of each part in a file of arrays; without a test part if it has none."""
    known = load_dataset("fashion-mnist", size=28, images=train + validation).train
    arrays: dict[str, Any] = {
        "train_images": known.images[:train],
        "train_labels": known.labels[:train],
        "val_images": known.images[train:],
        "val_labels": known.labels[train:],
    }
    if test:
        unseen = load_test("fashion-mnist", size=28)
        arrays |= {"test_images": unseen.images[:test], "test_labels": unseen.labels[:test]}
    np.savez(path, **arrays)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real images in a file of arrays, with a test part."""
    path = tmp_path_factory.mktemp("data") / "few.npz"
    write_few(path, train=160, validation=100, test=120)
    return path


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> bft_nas.Trained:
    place = tmp_path_factory.mktemp("place")
    return bft_nas.train(NAME, data=data, trained=place, name="small", **SMALL)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def exported(trained: bft_nas.Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of its export."""
    folder = tmp_path_factory.mktemp("export") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bft_nas.export.runtimes.onnx_int8.SECONDS", 1.0)
        patch.setattr("bft_nas.api.evaluation.CALIBRATION_IMAGES", 80)
        report = trained.export(folder, runtimes=["onnxruntime"], int8=True)
    assert {"model.py", "model.pt2", "weights.safetensors"} <= {file.name for file in report.files}
    assert {"onnxruntime.onnx", "onnxruntime-int8.onnx"} <= {path.name for path in folder.iterdir()}
    return folder
