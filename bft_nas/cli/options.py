"""How the command line is read: every option by its whole name and once, every value checked, mistakes in one line."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any, NoReturn

from bft_nas.core.errors import UserError, one_line
from bft_nas.core.units import parse_duration


class Parser(argparse.ArgumentParser):
    """Mistakes in one line; every option by its whole name and once."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)
        for name, kind in ((None, _StoreOnce), ("store", _StoreOnce), ("store_true", _StoreTrueOnce)):
            self.register("action", name, kind)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {one_line(message)}\n")


class _StoreOnce(argparse._StoreAction):
    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: Any = None
    ) -> None:
        _note(self, namespace, option)
        if option is not None and values == "":
            raise argparse.ArgumentError(self, "expected a value, got nothing")
        super().__call__(parser, namespace, values, option)


class _StoreTrueOnce(argparse._StoreTrueAction):
    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: Any = None
    ) -> None:
        _note(self, namespace, option)
        super().__call__(parser, namespace, values, option)


def _note(action: argparse.Action, namespace: argparse.Namespace, option: str | None) -> None:
    """Refuse an option that was given before."""
    if option is not None:
        given = vars(namespace).setdefault("given_options", set())
        if action.dest in given:
            raise argparse.ArgumentError(action, "given twice; expected once")
        given.add(action.dest)


class HelpFormatter(argparse.HelpFormatter):
    """Wraps the description and keeps the example's lines."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith("example:") else super()._fill_text(text, width, indent)


def with_signs(arguments: list[str]) -> list[str]:
    """``--flops -3M`` as ``--flops=-3M``, so that the value is checked and not taken for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and re.fullmatch(r"-\.?\d.*", argument) and re.fullmatch(r"--[a-z-]+", joined[-1]):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def seconds(text: str) -> float:
    """A time such as 30m."""
    try:
        return parse_duration(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("--time ")) from None


def amount(text: str) -> float:
    """A number of cores or GPUs, parts of one included."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e6 or not text.isascii() or "_" in text:
        raise argparse.ArgumentTypeError(f"'{text[:40]}': expected a number such as 2 or 0.5")
    return number


def path(text: str) -> Path:
    """A path, which an empty text is none of."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got nothing")
    return Path(text)


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    return _whole(text, 1)


def natural(text: str) -> int:
    """A whole number of 0 or more."""
    return _whole(text, 0)


def port(text: str) -> int:
    """A port to listen on."""
    number = _whole(text, 1)
    if number > 65535:
        raise argparse.ArgumentTypeError(f"'{text}': expected a port of at most 65535")
    return number


def _whole(text: str, least: int) -> int:
    if not re.fullmatch("[0-9]{1,10}", text) or not least <= int(text) < 2**31:
        raise argparse.ArgumentTypeError(f"'{text[:40]}': expected a whole number of {least} or more")
    return int(text)
