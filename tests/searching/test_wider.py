"""What a confirmation is trained on: more images and larger ones, where the data has them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bft_nas.searching.loop import Prepared
from bft_nas.searching.wider import confirmation_of, expected_confirmation
from bft_nas.training.confirmation import AUGMENTED, nearer_divisor, time_of
from bft_nas.training.plans import plan_for
from bft_nas.training.protocol import Protocol
from tests.conftest import tiny_prepared

PROXY = 4
"""What the proxy divides the deployment resolution by."""


def prepared_for(folder: Path, count: int, images: int | None, divisor: int | None = None) -> Prepared:
    """A search on so many of the images of an archive that has ``count``; see `confirmation_of` for its divisor."""
    rng = np.random.default_rng(0)
    path = folder / "own.npz"
    np.savez(
        path,
        train_images=rng.integers(0, 255, (count, 24, 24, 3), dtype=np.uint8),
        train_labels=np.arange(count) % 10,
        val_images=rng.integers(0, 255, (20, 24, 24, 3), dtype=np.uint8),
        val_labels=np.arange(20) % 10,
    )
    return tiny_prepared(data=str(path), images=images, epochs=2, confirm_divisor=divisor or PROXY)


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
    proxy = prepared.protocol
    recipe = replace(proxy.recipe, **AUGMENTED)
    assert confirmation.protocol == replace(
        proxy, data_digest=taken.dataset.digest, train_images=200, recipe=recipe
    )


@pytest.mark.parametrize("images", [10_000, 45_000])
def test_images_are_changed_as_in_a_training_to_the_end(images: int, tmp_path: Path) -> None:
    confirmation, _ = confirmation_of(prepared_for(tmp_path, 500, 50))
    recipe, to_the_end = confirmation.protocol.recipe, plan_for(images, 160).recipe
    for name in ("crop_area", "jitter", "flip", "shift"):
        assert getattr(recipe, name) == getattr(to_the_end, name)


@pytest.mark.parametrize(
    ("proxy", "macs", "divisor"),
    [(6, 60e6, 1), (6, 61e6, 2), (6, 240e6, 2), (6, 241e6, 3), (6, 1e9, 3), (2, 1e9, 1), (1, 1e9, 1)],
)
def test_by_default_it_is_as_near_to_the_deployment_resolution_as_60m_macs_an_image_allow(
    proxy: int, macs: float, divisor: int
) -> None:
    assert nearer_divisor(proxy, macs) == divisor


@pytest.mark.parametrize(
    ("divisor", "count", "images", "epochs"),
    [(2, 500, 100, 1), (2, 100, 100, 1), (2, 50, 50, 2), (1, 500, 200, 2), (1, 100, 100, 4), (1, 50, 50, 8)],
)
def test_larger_images_are_trained_on_for_as_many_steps_and_whole_ones_for_four_times_as_many(
    divisor: int, count: int, images: int, epochs: int, tmp_path: Path
) -> None:
    prepared = prepared_for(tmp_path, count, 50, divisor)
    confirmation, taken = confirmation_of(prepared)
    assert (confirmation.protocol.train_images, confirmation.epochs) == (images, epochs)
    resolution = prepared.settings.resolutions[0]
    pixels = confirmation.protocol.proxy_resolution(resolution)
    assert pixels == PROXY // divisor * prepared.protocol.proxy_resolution(resolution)
    assert len(taken.dataset.train.labels) == images
    # A plan says so before the images are read, if there are as many.
    planned = expected_confirmation(prepared)
    assert planned.epochs * planned.protocol.train_images == epochs * images
    assert count < 200 or planned.protocol.train_images == images


def test_images_of_a_folder_are_read_as_large_as_it_needs_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", 20), ("val", 4)):
        for number in range(count):
            path = tmp_path / "images" / split / str(number % 2) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path)
    prepared = tiny_prepared(data=str(tmp_path / "images"), images=None, confirm_divisor=1)
    confirmation, taken = confirmation_of(prepared)
    side = max(prepared.settings.resolutions)
    assert taken.at(side).train.shape[2:] == (side, side) == taken.dataset.train.images.shape[1:3]
    assert prepared.images.dataset.train.images.shape[1] == side // PROXY
    assert confirmation.protocol.data_digest == taken.dataset.digest


def test_as_large_a_part_of_them_as_of_the_searchs_own_may_be_unreadable(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(120):
        path = tmp_path / "images" / str(number % 2) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path)
        if number % 10 < 2:
            path.write_bytes(path.read_bytes()[:100])
    # Some are for validation, whatever is trained on.
    prepared = tiny_prepared(
        data=str(tmp_path / "images"), images=20, max_unreadable=12, epochs=2, confirm_divisor=1
    )
    _, taken = confirmation_of(prepared)
    assert len(taken.dataset.left_out) > 12


def test_time_grows_with_steps_and_with_images() -> None:
    proxy = Protocol("images", "", 10, 100, 20, 6, epochs=2)
    assert time_of(replace(proxy, epochs=8), proxy) == 4
    nearer = [time_of(replace(proxy, resolution_divisor=each), proxy) for each in (6, 3, 2, 1)]
    assert nearer == sorted(nearer)
    assert nearer[0] == 1
    # Measured of networks of 15M and 50M MACs: 12 times as long at the deployment resolution, 3.8 at half of it.
    assert nearer[2:] == pytest.approx([3.8, 12], rel=0.1)
