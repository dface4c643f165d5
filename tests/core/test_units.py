"""Numbers as people write and read them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bft_nas.core.errors import UserError
from bft_nas.core.units import (
    format_bytes,
    format_count,
    format_duration,
    format_macs,
    format_params,
    parse_duration,
    parse_macs,
    parse_milliseconds,
)


@pytest.mark.parametrize(
    "text", ["50M", "50m", "0.05G", "50e6", "5e7", "50000000", "50000k", " 50M ", "50.0M", ".05g"]
)
def test_the_same_budget_in_many_spellings(text: str) -> None:
    assert parse_macs(text) == 50_000_000


@pytest.mark.parametrize(
    "text",
    [
        "fast",
        "-3M",
        "0",
        "0.0M",
        "",
        " ",
        "M",
        "5MM",
        "5 0M",
        "1e",
        "1e-9",
        "1e400",
        "nan",
        "inf",
        "0x10",
        "50M,",
        "٥٠M",
        "1_0",
    ],
)
def test_what_is_no_budget_is_refused_in_one_line_that_names_it(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_macs(text)
    assert "\n" not in str(caught.value)
    assert "flops" in str(caught.value)
    assert "50M" in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_a_budget_above_zero_or_a_user_error(text: str) -> None:
    try:
        assert parse_macs(text) > 0
    except UserError as error:
        assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize("text", ["0.5ms", "0.5 ms", ".5", " 0.50 MS ", "0.5"])
def test_the_same_latency_in_many_spellings(text: str) -> None:
    assert parse_milliseconds(text) == 0.5


@pytest.mark.parametrize(
    "text", ["0", "-1", "0ms", "3s", "ms", "", "1e9", "nan", "3 m s", "3ms,", "٣ms", "9999999"]
)
def test_what_is_no_latency_is_refused_in_one_line_that_names_it(text: str) -> None:
    with pytest.raises(UserError, match=r"latency .*expected milliseconds above zero, such as 3ms") as caught:
        parse_milliseconds(text)
    assert "\n" not in str(caught.value)


@given(st.integers(1, 10**12))
def test_a_whole_number_is_itself(macs: int) -> None:
    assert parse_macs(str(macs)) == macs


@example(155_000)
@example(99_999)
@given(st.integers(1, 10**12))
def test_formatting_keeps_three_digits_and_the_side_of_a_bound(macs: int) -> None:
    low, high = parse_macs_or_zero(format_macs(macs)), parse_macs(format_macs(macs, up=True))
    assert low <= macs <= high
    if macs >= 1000:
        assert macs - low < 0.01 * macs + 1
        assert high - macs < 0.01 * macs + 1


@given(st.integers(1, 10**40))
def test_any_number_of_macs_is_short(macs: int) -> None:
    assert len(format_macs(macs)) <= 11


@given(st.integers(1, 10**12 - 10**9))
@example(999)
@example(9_999)
@example(99_999)
@example(999_999)
@example(999_499_999)
def test_parameters_and_bytes_keep_three_digits_however_few_they_are(number: int) -> None:
    units = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, " bytes": 1, " kB": 10**3, " MB": 10**6, " GB": 10**9}
    for text in (format_params(number), format_bytes(number)):
        digits = text.rstrip("kMGB bytes")
        assert abs(float(digits) * units[text.removeprefix(digits)] - number) <= 0.005 * number
        assert len(digits.lstrip("0.").replace(".", "")) == min(3, len(str(number)))


@given(st.integers(1, 2000), st.integers(10, 99))
@example(zeros=511, digits=10)
def test_a_number_of_any_size_has_two_digits(zeros: int, digits: int) -> None:
    assert (
        float(format_count(digits * 10**zeros).partition("e")[0]) == digits / 10 or digits * 10**zeros < 100
    )


def parse_macs_or_zero(text: str) -> int:
    return 0 if text.rstrip("M").strip("0.") == "" else parse_macs(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        (" 90s ", 90),
        ("30m", 1800),
        ("1h30m", 5400),
        ("5m30", 330),
        ("1h30m5", 5405),
        ("1h5s", 3605),
        ("2H", 7200),
    ],
)
def test_times(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["5", " 05 ", "90000000"])
def test_a_time_has_its_unit(text: str) -> None:
    number = text.strip()
    with pytest.raises(UserError, match=f"^time {number}: expected its unit, as in {number}s, {number}m or "):
        parse_duration(text)


@given(st.text(max_size=30))
def test_any_text_is_a_time_above_zero_or_a_user_error(text: str) -> None:
    try:
        assert parse_duration(text) > 0
    except UserError as error:
        assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize("text", ["soon", "0", "-5m", "1.5h", "30x", "", "m", "1h30", "1h 30m"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="time"):
        parse_duration(text)


@given(st.floats(0, 1e6))
def test_durations_are_short(seconds: float) -> None:
    assert len(format_duration(seconds)) <= 12
