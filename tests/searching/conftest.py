"""What tests of searches share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bft_nas.data.dataset import load_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real images, and few to validate on."""
    folder = tmp_path_factory.mktemp("data")
    train = load_dataset("fashion-mnist", size=24, images=256).train
    images, labels = np.asarray(train.images), np.asarray(train.labels)
    np.savez(
        folder / "few.npz",
        train_images=images[:160],
        train_labels=labels[:160],
        val_images=images[160:],
        val_labels=labels[160:],
    )
    return folder / "few.npz"
