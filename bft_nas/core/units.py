"""MACs, sizes, times and accuracies as people write and read them; the same everywhere that they are shown."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from bft_nas.core.errors import UserError, one_line, setting

LEAST_SIDE, MOST_SIDE = 8, 2048
"""Pixels of an image that a network is made for, from and to."""

_MACS = re.compile(r"(\d+\.?\d*|\.\d+)(?:[eE]\+?(\d{1,2}))?\s*([kKmMgG]?)")
_SCALE = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_MILLISECONDS = re.compile(r"(\d+\.?\d*|\.\d+)\s*(?:ms)?", re.IGNORECASE)
# A number behind hours that has no unit may be meant as minutes.
_TIME = re.compile(r"(?:(\d+)h(?!\d+$))?(?:(\d+)m)?(?:(\d+)s?)?")


def parse_macs(text: str) -> int:
    """A number of MACs.

    Raises UserError for anything but a number above zero.

    >>> parse_macs("50M"), parse_macs("0.05G"), parse_macs("50e6"), parse_macs("50000000")
    (50000000, 50000000, 50000000, 50000000)
    """
    expected = "expected a number of MACs above zero, such as 50M, 0.05G, 50e6 or 50000000"
    match = _MACS.fullmatch(text.strip()) if text.isascii() else None
    if match is None or len(text) > 40:
        raise UserError(f"{setting('flops')} {one_line(text)[:40]}: {expected}")
    number, exponent, suffix = match.groups()
    macs = round(float(number) * 10.0 ** int(exponent or 0) * _SCALE[suffix.lower()])
    if macs < 1:
        raise UserError(f"{setting('flops')} {text.strip()}: {expected}")
    return macs


def format_macs(macs: int, *, up: bool = False) -> str:
    """MACs for people, in millions with three digits; rounded down unless ``up``, so that a bound stays a bound.

    What no network has is in powers of ten, or as it is where there are fewer than a thousand.

    >>> format_macs(50_000_000), format_macs(1_234_567, up=True), format_macs(155_000), format_macs(5)
    ('50M', '1.24M', '0.155M', '5')
    """
    if 0 < macs < 1000:
        return f"{macs:.0f}"
    if macs >= 10**15:
        return f"{macs:.3g}"
    digits = max(0, 2 - math.floor(math.log10(macs / 1e6))) if macs > 0 else 0
    scale = 10**digits
    scaled = macs * scale / 10**6
    value = (math.ceil(scaled) if up else math.floor(scaled)) / scale
    text = f"{value:.{digits}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + "M"


def in_millions(macs: int, fits: Callable[[int], bool]) -> str:
    """A question to whoever may have left out the M of a budget that does not fit; empty where it would not then.

    >>> in_millions(50, lambda macs: macs > 10**6), in_millions(50, lambda macs: macs < 1000)
    (' (50M?)', '')
    """
    millions = macs * 10**6
    # No budget is of tens of thousands of them.
    asked = macs < 10**4 and fits(millions)
    return f" ({format_macs(millions)}?)" if asked else ""


def format_count(count: int) -> str:
    """A number of any size to two digits.

    >>> format_count(3), format_count(1234), format_count(10**400)
    ('3', '1.2e+03', '1.0e+400')
    """
    if count < 10**300:
        return f"{count:.2g}"
    # No float is that large.
    exponent = int(math.log10(count))
    # A logarithm is rounded, at a power of ten to either side of it.
    exponent += (count >= 10 ** (exponent + 1)) - (count < 10**exponent)
    return f"{count // 10 ** (exponent - 1) / 10:.1f}e+{exponent}"


def parse_duration(text: str) -> float:
    """Seconds from a time such as ``90s``, ``30m`` or ``1h30m``.

    Raises UserError for anything else, a plain number too: who types 5 may mean seconds, minutes or hours.

    >>> parse_duration("1h30m"), parse_duration("45s")
    (5400.0, 45.0)
    """
    if re.fullmatch("0?[1-9][0-9]{0,7}", text.strip()):
        number = text.strip()
        raise UserError(
            f"{setting('time')} {number}: expected its unit, as in {number}s, {number}m or {number}h"
        )
    sensible = text.isascii() and text.strip() and len(text) <= 40
    match = _TIME.fullmatch(text.strip().lower()) if sensible else None
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if not 0 < total < 10**8:
        raise UserError(
            f"{setting('time')} {one_line(text)[:40]}: expected a time above zero such as 90s, 30m or 1h30m"
        )
    return float(total)


def parse_milliseconds(text: str) -> float:
    """Milliseconds, with or without their unit.

    Raises UserError for anything but a number above zero.

    >>> parse_milliseconds("3ms"), parse_milliseconds("0.5 ms"), parse_milliseconds("3")
    (3.0, 0.5, 3.0)
    """
    match = _MILLISECONDS.fullmatch(text.strip()) if text.isascii() and len(text) <= 40 else None
    milliseconds = float(match[1]) if match else 0.0
    if not 0 < milliseconds < 10**6:
        raise UserError(
            f"{setting('latency')} {one_line(text)[:40]}: expected milliseconds above zero, such as 3ms or 0.5"
        )
    return milliseconds


def format_duration(seconds: float) -> str:
    """Seconds as people read them.

    >>> format_duration(8.24), format_duration(75), format_duration(3700)
    ('8.2 s', '1 min 15 s', '1 h 1 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = int(seconds) // 60
    if minutes < 60:
        return f"{minutes} min {int(seconds) % 60} s"
    return f"{minutes // 60} h {minutes % 60} min"


def format_milliseconds(seconds: float) -> str:
    """A latency in seconds, for people.

    >>> format_milliseconds(0.00512)
    '5.12 ms'
    """
    return f"{1000 * seconds:.2f} ms"


def format_percent(part: float, digits: int = 2) -> str:
    """A part of 1, such as an accuracy, as people read it.

    >>> format_percent(0.8764), format_percent(0.27, digits=0)
    ('87.64%', '27%')
    """
    return f"{part:.{digits}%}"


def format_params(count: float) -> str:
    """A number of parameters for people, with three digits: in millions, or in thousands below a tenth.

    >>> format_params(846_928), format_params(5_400_000), format_params(4_011), format_params(250)
    ('0.847M', '5.40M', '4.01k', '250')
    """
    return _three_digits(count, ("", "k", "M", "G"))


def format_bytes(size: float) -> str:
    """A number of bytes for people, with three digits: in MB, or in kB below a tenth.

    >>> format_bytes(19_660_800_000), format_bytes(1_003_520), format_bytes(12_288), format_bytes(96)
    ('19.7 GB', '1.00 MB', '12.3 kB', '96 bytes')
    """
    return _three_digits(size, (" bytes", " kB", " MB", " GB"))


def _three_digits(number: float, units: tuple[str, str, str, str]) -> str:
    """In the unit of 1, a thousand, a million or a thousand millions."""
    if number < 999.5:
        return f"{number:.0f}{units[0]}"
    power = 1 if number < 1e5 else 2 if number < 999.5e6 else 3
    text = f"{number / 1000**power:#.3g}".removesuffix(".")
    return f"{text}{units[power]}"


def format_pixels(height: int, width: int = 0) -> str:
    """The size of an image, feature map or kernel, square unless its width is told.

    >>> format_pixels(224), format_pixels(112, 224)
    ('224x224', '112x224')
    """
    return f"{height}x{width or height}"


def parse_resolutions(text: str) -> tuple[int, ...]:
    """Sides of images in pixels, smallest first; UserError for anything else.

    >>> parse_resolutions("160,128")
    (128, 160)
    """
    parts = text.split(",")
    if not all(re.fullmatch("[0-9]{1,4}", part) and LEAST_SIDE <= int(part) <= MOST_SIDE for part in parts):
        raise UserError(
            f"{setting('resolution')} {one_line(text)[:40]}: expected pixels from {LEAST_SIDE} to {MOST_SIDE}, "
            f"such as 224 or 128,160"
        )
    return tuple(sorted({int(part) for part in parts}))


def format_epochs(count: int) -> str:
    """So many epochs, in words.

    >>> format_epochs(1), format_epochs(2)
    ('1 epoch', '2 epochs')
    """
    return f"{count} epoch" if count == 1 else f"{count} epochs"
