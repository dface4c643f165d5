"""The images that a trained network is tried on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bft_nas.api.evaluation import judged
from bft_nas.data.dataset import load_dataset


def write_grey(root: Path, part: str, *values: int) -> None:
    """Images of 16 bits, each of one value, in two class folders."""
    for name in ("a", "b"):
        (root / part / name).mkdir(parents=True)
        for number, value in enumerate(values):
            Image.fromarray(np.full((9, 9), value, np.uint16)).save(root / part / name / f"{number}.png")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of which the test images alone would be of 12 bits, and no cache but one of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for part, values in (("train", (4000, 20_000)), ("val", (4000,)), ("test", (4000,))):
        write_grey(tmp_path / "photos", part, *values)
    return tmp_path / "photos"


def test_they_are_on_the_scale_of_those_that_it_was_trained_on(photos: Path) -> None:
    split, test = judged(str(photos), load_dataset(str(photos), size=16), 16)
    assert split == "test"
    assert set(test.images.ravel()) == {round(4000 * 255 / 65535)}
