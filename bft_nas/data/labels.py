"""Labels as people store them in arrays, read as the numbers of classes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bft_nas.data.division import Labels

Values = Labels | npt.NDArray[np.str_]

# Above it floats leave out whole numbers.
_LARGEST_WHOLE = 2.0**53
_GAPS_NAMED = 5


def values_of(array: npt.NDArray[Any]) -> tuple[Values, tuple[str, ...]]:
    """One integer or name for each image, and a line on what was done to get it where that is not plain.

    Raises:
        ValueError: what they are and what was expected.
    """
    if array.dtype.kind not in "iubfUS":
        raise ValueError(f"is {array.dtype}; expected integers or names of classes")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim not in (1, 2) or not array.size:
        raise ValueError(f"has shape {array.shape}; expected (n,), (n, 1) or one-hot (n, classes)")
    if array.ndim == 2:
        return _from_one_hot(array), ("one-hot labels read as classes",)
    if array.dtype.kind in "US":
        return _names(array), ()
    if array.dtype.kind == "f":
        if not (np.abs(array) < _LARGEST_WHOLE).all() or (array != np.rint(array)).any():
            raise ValueError(f"is {array.dtype} and holds {_first_odd(array):g}; expected whole numbers")
        return _natural(array), (f"{array.dtype} labels read as whole numbers",)
    if array.dtype.kind == "b":
        return _natural(array), ("false and true as labels read as 0 and 1",)
    return _natural(array), ()


@dataclass(frozen=True)
class Coding:
    """The classes of a training part: what stands for each, in the order of their numbers."""

    present: Values

    @classmethod
    def of(cls, values: Values) -> "Coding":
        """Raises ValueError when there is one class alone."""
        present: Values = np.unique(values)  # type: ignore[assignment]
        if len(present) < 2:
            raise ValueError(f"holds only one class, {present[0]}; expected at least 2")
        return cls(present)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes: the labels as they are."""
        return tuple(str(value) for value in self.present.tolist())

    def numbers(self, values: Values) -> Labels:
        """The numbers of the classes; raises ValueError at a label that training does not have."""
        if values.dtype.kind != self.present.dtype.kind:
            expected = "names" if self.present.dtype.kind == "U" else "numbers"
            raise ValueError(f"is {values.dtype}; expected {expected} as in training")
        at = np.minimum(np.searchsorted(self.present, values), len(self.present) - 1)
        unknown = values[self.present[at] != values]
        if len(unknown):
            worst = max(unknown.tolist())
            if self.present.dtype.kind == "i" and worst > self.present[-1]:
                expected = f"at most {self.present[-1]}, the highest label in training"
            else:
                expected = "labels that training has too"
            raise ValueError(f"holds {worst}; expected {expected}")
        return at.astype(np.int64)

    @property
    def notes(self) -> tuple[str, ...]:
        """A line when the classes are not the numbers from 0 on."""
        count = len(self.present)
        if self.present.dtype.kind == "U":
            return (f"names as labels read as {count} classes in the order of the names",)
        first, last = int(self.present[0]), int(self.present[-1])
        if (first, last) == (0, count - 1):
            return ()
        absent = last - first + 1 - count
        gaps = ""
        if 0 < absent <= _GAPS_NAMED:
            gaps = f" without {', '.join(map(str, np.setdiff1d(np.arange(first, last + 1), self.present)))}"
        elif absent:
            gaps = f" without {absent} between them"
        return (f"labels from {first} to {last}{gaps} read as {count} classes",)


def _from_one_hot(array: npt.NDArray[Any]) -> Labels:
    expected = "expected (n,), (n, 1) or one-hot (n, classes)"
    if array.dtype.kind not in "iubf" or not ((array == 0) | (array == 1)).all():
        raise ValueError(f"has shape {array.shape} and more in it than 0 and 1; {expected}")
    ones = np.count_nonzero(array, axis=1)
    several = np.flatnonzero(ones != 1)
    if len(several):
        raise ValueError(
            f"holds {ones[several[0]]} classes for image {several[0]}; expected one class for each image"
        )
    classes: Labels = np.argmax(array, 1).astype(np.int64)
    return classes


def _names(array: npt.NDArray[Any]) -> npt.NDArray[np.str_]:
    if array.dtype.kind == "S":
        try:
            array = np.char.decode(array, "utf-8")
        except UnicodeDecodeError:
            raise ValueError("holds names that are not UTF-8; expected text") from None
    if (array == "").any():
        raise ValueError("holds an empty name; expected a class for each image")
    return array.astype(np.str_)


def _natural(array: npt.NDArray[Any]) -> Labels:
    lowest, highest = int(array.min()), int(array.max())
    if lowest < 0:
        raise ValueError(f"holds {lowest}; expected labels from 0")
    if highest > np.iinfo(np.int64).max:
        raise ValueError(f"holds {highest}; expected labels below 2^63")
    return array.astype(np.int64)


def _first_odd(array: npt.NDArray[Any]) -> float:
    odd = ~(np.abs(array) < _LARGEST_WHOLE) | (array != np.rint(array))
    return float(array[odd][0])
