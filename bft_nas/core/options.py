"""Options: a dataclass field each, with all that is said of it beside its default.

The command line's parser and its help, the keywords of `bft_nas.search`, what a resumed run keeps and the table in the
documentation are made from these fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import wraps
from inspect import signature
from numbers import Real
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from bft_nas.core.errors import UserError, near, one_line, setting
from bft_nas.core.units import (
    LEAST_SIDE,
    MOST_SIDE,
    parse_duration,
    parse_macs,
    parse_milliseconds,
    parse_resolutions,
)

_OPTION = "option"
_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Kind:
    """What values an option takes."""

    expected: str
    convert: Callable[[Any], Any]
    """From a value given in Python; ValueError for one that will not do."""
    read: Callable[[str], Any] = str
    """From a value on the command line to one that is given in Python; UserError for one that will not do."""


@dataclass(frozen=True)
class Option:
    """One option."""

    help: str
    """A template: ``{default}``, ``{others}`` for the other names that there are, ``{time}`` for another option's."""
    metavar: str
    kind: Kind
    default: Any
    """What is taken when it is not given."""
    kept: bool
    """Whether a resumed run keeps its own."""
    choices: tuple[str, ...]
    default_text: str
    without: str = ""
    """What ``--no-NAME`` does, where there is that too and it means false."""
    name: str = ""
    """Its keyword in Python; with dashes for underscores, its name on the command line."""
    field: str = ""
    """The dataclass field that keeps it."""

    def described(self, names: Iterable[str] = ()) -> str:
        """The help with its template filled in, for an option that takes one of some names where they are given."""
        others = "".join(f", {name}" for name in names if name != self.default_text)
        return self._filled(self.help, others)

    def forms(self, names: Iterable[str] = ()) -> dict[str, str]:
        """How it is given on the command line, without dashes, each with its help; see `described`."""
        said = self.described(names)
        if self.kind is FLAG:
            return {f"no_{self.name}": said}
        return {self.name: said, **({f"no_{self.name}": self._filled(self.without)} if self.without else {})}

    def _filled(self, text: str, others: str = "") -> str:
        return text.format_map(_Names(default=self.default_text, others=others))

    def convert(self, value: Any) -> Any:
        """A value given in Python as the field has it; UserError for one that the option does not take."""
        try:
            converted = self.kind.convert(value)
        except UserError:
            raise
        except (TypeError, ValueError, OverflowError):
            raise self._unexpected(value) from None
        if self.choices and converted not in self.choices:
            raise self._unexpected(value)
        return converted

    def _unexpected(self, value: Any) -> UserError:
        expected = " or ".join(self.choices) or self.kind.expected
        return UserError(f"{setting(self.name)} {one_line(repr(value))[:40]}: expected {expected}")


class _Names(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return setting(name)


def _converter(fits: Callable[[Any], bool], to: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if not fits(value):
            raise ValueError(value)
        return to(value)

    return convert


def _is_number(value: Any) -> bool:
    # NumPy's are numbers too.
    return isinstance(value, Real) and not isinstance(value, bool)


def _number(value: Any) -> float:
    return float(_converter(_is_number, float)(value))


def _whole(least: int, most: int = 2**31 - 1, expected: str = "") -> Kind:
    expected = expected or f"a whole number of {least} or more"

    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,10}", text) or not least <= int(text) <= most:
            raise UserError(f"'{text[:40]}': expected {expected}")
        return int(text)

    def fits(value: Any) -> bool:
        return _is_number(value) and least <= value <= most and value == int(value)

    return Kind(expected, _converter(fits, int), read)


def _read_amount(text: str) -> float:
    try:
        return AMOUNT.convert(float(text) if text.isascii() and "_" not in text else None)  # type: ignore[no-any-return]
    except ValueError:
        raise UserError(f"'{text[:40]}': expected {AMOUNT.expected}") from None


def _seconds(value: Any) -> float:
    if isinstance(value, str):
        return parse_duration(value)
    return float(_converter(lambda given: _is_number(given) and 0 < given < 10**8, float)(value))


def _milliseconds(value: Any) -> float:
    return parse_milliseconds(value if isinstance(value, str) else f"{_number(value):f}")


def _timeout(value: Any) -> float:
    try:
        return _seconds(value)
    except UserError as error:
        # Its message has the name of another option.
        raise ValueError(str(error)) from None


def _read_timeout(text: str) -> float:
    try:
        return parse_duration(text)
    except UserError as error:
        raise UserError(str(error).removeprefix(f"{setting('time')} ")) from None


def _macs(value: Any) -> int:
    return parse_macs(value if isinstance(value, str) else f"{value:.0f}")


def _budgets(value: Any) -> tuple[int, ...]:
    parts = value.split(",") if isinstance(value, str) else [value] if _is_number(value) else list(value)
    if not parts:
        raise ValueError(value)
    try:
        return tuple(sorted({_macs(part) for part in parts}))
    except UserError:
        if not isinstance(value, str):
            raise
        # Then the whole is named: no reader finds a part that is empty, or knows the end of 50,000,000.
        return (_macs(value),)


def _resolutions(value: Any) -> tuple[int, ...]:
    parts = [value] if isinstance(value, str) or _is_number(value) else list(value)
    return parse_resolutions(",".join(map(str, parts)))


TEXT = Kind("a text", _converter(lambda value: isinstance(value, str | Path), str))
PLACE = Kind("a path", _converter(lambda value: isinstance(value, str | Path) and str(value) != "", Path))
FLAG = Kind("true or false", _converter(lambda value: isinstance(value, bool), bool))
"""True unless ``--no-NAME`` is given."""
SWITCH = replace(FLAG)
"""False unless ``--NAME`` is given."""
SOME = Kind(
    "all, true or false", _converter(lambda value: isinstance(value, bool) or value == "all", lambda v: v)
)
"""The usual ones, all or none of several."""
POSITIVE = _whole(1)
NATURAL = _whole(0)
AMOUNT = Kind(
    "a number such as 2 or 0.5",
    _converter(lambda value: _is_number(value) and 0 <= value < 1e6, float),
    _read_amount,
)
"""Of cores or GPUs, parts of one included."""
SECONDS = Kind("a time such as 30m, or a number of seconds", _seconds)
MILLISECONDS = Kind("milliseconds such as 3ms, or 0.5", _milliseconds)
TIMEOUT = Kind(SECONDS.expected, _timeout, _read_timeout)
BUDGETS = Kind("a number of MACs such as 50M, or several", _budgets)
RESOLUTION = _whole(LEAST_SIDE, MOST_SIDE, f"pixels from {LEAST_SIDE} to {MOST_SIDE}, such as 224")
RESOLUTIONS = Kind("a number of pixels such as 224, or several", _resolutions)


def option(
    help: str,
    *,
    metavar: str = "N",
    kind: Kind = TEXT,
    default: Any = None,
    name: str = "",
    kept: bool = False,
    choices: tuple[str, ...] = (),
    unsaid: Any = MISSING,
    without: str = "",
) -> Any:
    """A dataclass field that is an option.

    Args:
        help: see `Option.help`.
        metavar: what stands for its value in the help.
        kind: of its values.
        default: what is taken when it is not given; a text for a time.
        name: where it is not that of the field.
        kept: whether a resumed run keeps its own.
        choices: the only values.
        unsaid: the field's own default, for records that were written before there was the option.
        without: see `Option.without`.
    """
    value = kind.convert(default) if isinstance(default, str) else default
    content = Option(help, metavar, kind, value, kept, choices, str(default), without, name)
    return field(default=unsaid, metadata={_OPTION: content})


def options_of(record: type) -> dict[str, Option]:
    """The options of a dataclass by name, in order."""
    found = [(each.name, each.metadata[_OPTION]) for each in fields(record) if _OPTION in each.metadata]
    named = (replace(content, name=content.name or name, field=name) for name, content in found)
    return {each.name: each for each in named}


def values_of(record: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a dataclass for what is given under the names of its options, and the defaults of the others.

    Raises:
        UserError: a value that its option does not take.
    """
    return {
        each.field: each.convert(given[name]) if name in given else each.default
        for name, each in options_of(record).items()
    }


def check_keywords(given: Iterable[str], known: Collection[str]) -> None:
    """UserError for a keyword that is none of those known, with the one that was meant."""
    for name in given:
        if name not in known:
            expected = " or ".join(near(name, known)) or "a keyword that help() lists"
            raise UserError(f"{setting(name)}: unknown; expected {expected}")


def naming_keywords(function: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """A function to which a keyword that it has not is a UserError, as a wrong value is, and no TypeError."""
    known = signature(function).parameters

    @wraps(function)
    def named(*values: _Given.args, **given: _Given.kwargs) -> _Result:
        check_keywords(given, known)
        return function(*values, **given)

    return named
