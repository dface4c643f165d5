"""Pictures that are trained on and held out."""

from __future__ import annotations

import numpy as np

from bft_nas.data.division import Split
from bft_nas.data.doubles import doubles


def split(*shades: int, labels: tuple[int, ...] | None = None) -> Split:
    images = np.stack([np.full((4, 4, 3), shade, np.uint8) for shade in shades])
    return Split(images, np.array(labels or [0] * len(shades)))


def test_none_is_worth_no_word() -> None:
    assert doubles(split(1, 2, 2), split(3, 3)) == ""


def test_each_that_is_held_out_counts_once_however_often_it_is_trained_on() -> None:
    assert doubles(split(1, 1, 2), split(1, 3, 2)) == "2 of 3 images to validate are also trained on"


def test_those_of_another_class_are_counted() -> None:
    train, held = split(1, 1, 2, labels=(0, 1, 0)), split(1, 2, labels=(0, 0))
    assert doubles(train, held) == "2 of 2 images to validate are also trained on, 1 of them as another class"


def test_images_that_are_decoded_as_they_are_needed_are_not_looked_at() -> None:
    streamed = Split(np.empty((0, 4, 4, 3), np.uint8), np.array([0, 0]))
    assert doubles(streamed, split(1)) == ""
    assert doubles(streamed, streamed) == ""
    assert doubles(split(1), streamed) == ""
