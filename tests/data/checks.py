"""What the tests of the loaders ask of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bft_nas.core.errors import UserError
from bft_nas.data.dataset import Dataset, Split, load_dataset


def mistake(action: Callable[[], object]) -> str:
    """The message of the UserError that the action raises, which is one line."""
    with pytest.raises(UserError) as caught:
        action()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def refusal(
    source: Path | str, *, images: int | None = None, size: int = 16, max_unreadable: int | None = None
) -> str:
    return mistake(lambda: load_dataset(str(source), size=size, images=images, max_unreadable=max_unreadable))


def complaint(source: Path) -> str | None:
    """What the loader says against a source, which it may also take."""
    try:
        load_dataset(str(source), size=8, max_unreadable=0)
    except UserError as error:
        return str(error)
    return None


def counts(dataset: Dataset) -> tuple[list[int], list[int]]:
    classes = len(dataset.classes)
    train, validation = (
        np.bincount(part.labels, minlength=classes).tolist() for part in (dataset.train, dataset.validation)
    )
    return train, validation


def assert_equal(part: Split, expected: tuple[np.ndarray, np.ndarray]) -> None:
    np.testing.assert_array_equal(part.images, expected[0])
    np.testing.assert_array_equal(part.labels, expected[1])
