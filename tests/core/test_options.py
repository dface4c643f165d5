"""Values that options are given in Python."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bft_nas.api.training_options import TrainingOptions
from bft_nas.core.errors import UserError
from bft_nas.core.options import options_of
from bft_nas.record.settings import Settings

OPTIONS = options_of(Settings)
TRAINING = options_of(TrainingOptions)["resolution"]

plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.fractions()
    | st.text(max_size=20)
    | st.sampled_from([np.int64(4), np.float32(0.5), np.float64(np.inf), np.bool_(True), 10**400])
)


@example("flops", 10**400)
@given(st.sampled_from(sorted(OPTIONS)), plain | st.lists(plain, max_size=3))
def test_any_value_is_taken_or_a_user_error(name: str, value: Any) -> None:
    try:
        OPTIONS[name].convert(value)
    except UserError as error:
        assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 10**400])
def test_no_number_without_an_end_is_a_number_of_trials(value: float) -> None:
    with pytest.raises(UserError, match=r"^trials [^ ]+: expected a whole number of 1 or more$"):
        OPTIONS["trials"].convert(value)


@pytest.mark.parametrize("text", ["50,000,000", "3M,,4M", "3M,", "fast"])
def test_of_several_budgets_the_whole_is_named(text: str) -> None:
    with pytest.raises(UserError, match=f"^flops {text}: expected a number of MACs above zero"):
        OPTIONS["flops"].convert(text)


@given(st.integers(-1, 3000))
def test_a_training_has_the_resolutions_of_a_search(side: int) -> None:
    ways: list[tuple[Any, Any]] = [(side, TRAINING.convert), (str(side), TRAINING.kind.read)]
    for value, convert in ways:
        if 8 <= side <= 2048:
            assert (convert(value),) == OPTIONS["resolution"].convert(value) == (side,)
            continue
        for refused in (convert, OPTIONS["resolution"].convert):
            with pytest.raises(UserError, match="expected pixels from 8 to 2048, such as 224"):
                refused(value)


def test_numbers_of_numpy_are_numbers() -> None:
    taken = [OPTIONS[name].convert(np.int64(64)) for name in ("trials", "flops", "resolution", "time")]
    assert taken == [64, (64,), (64,), 64.0]
    assert [type(value) for value in taken] == [int, tuple, tuple, float]
