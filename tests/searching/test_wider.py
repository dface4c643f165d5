"""What a confirmation is trained on: more images where the data has them, and otherwise the same ones more often."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bft_nas.searching.loop import Prepared
from bft_nas.searching.wider import confirmation_of
from tests.conftest import tiny_prepared


def prepared_for(folder: Path, count: int, images: int | None) -> Prepared:
    """A search on so many of the images of an archive that has ``count``."""
    rng = np.random.default_rng(0)
    path = folder / "own.npz"
    np.savez(
        path,
        train_images=rng.integers(0, 255, (count, 24, 24, 3), dtype=np.uint8),
        train_labels=np.arange(count) % 10,
        val_images=rng.integers(0, 255, (20, 24, 24, 3), dtype=np.uint8),
        val_labels=np.arange(20) % 10,
    )
    return tiny_prepared(data=str(path), images=images, epochs=2)


@pytest.mark.parametrize(
    ("count", "asked", "images", "epochs"),
    [
        (500, 50, 200, 2),
        (100, 50, 100, 4),
        (60, 50, 60, 7),
        (50, 50, 50, 8),
        (50, 80, 50, 8),
        (50, None, 50, 8),
    ],
)
def test_it_takes_four_times_the_steps_on_as_many_images_as_there_are(
    count: int, asked: int | None, images: int, epochs: int, tmp_path: Path
) -> None:
    prepared = prepared_for(tmp_path, count, asked)
    confirmation, taken = confirmation_of(prepared)
    assert (confirmation.protocol.train_images, confirmation.epochs) == (images, epochs)
    assert len(taken.dataset.train.labels) == images
    assert confirmation.under(2).data_digest == taken.dataset.digest


def test_images_are_validated_on_and_normalised_as_in_the_search(tmp_path: Path) -> None:
    prepared = prepared_for(tmp_path, 500, 50)
    confirmation, taken = confirmation_of(prepared)
    assert (taken.mean, taken.std) == (prepared.images.mean, prepared.images.std)
    np.testing.assert_array_equal(
        taken.dataset.validation.images[::10], prepared.images.dataset.validation.images
    )
    same = replace(confirmation.protocol, data_digest=prepared.protocol.data_digest, train_images=50)
    assert same == prepared.protocol
