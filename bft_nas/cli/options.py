"""How the command line is read: every option by its whole name and once, every value checked, mistakes in one line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from bft_nas.api.request import RunOptions
from bft_nas.api.training_options import TrainingOptions
from bft_nas.core.errors import UserError, near, one_line, setting, settings_spelled
from bft_nas.core.options import AMOUNT, NATURAL, PLACE, POSITIVE, SWITCH, Kind, options_of
from bft_nas.engines.options import EngineOptions


class Parser(argparse.ArgumentParser):
    """Mistakes in one line; every option by its whole name and once."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)
        for name, kind in ((None, _StoreOnce), ("store", _StoreOnce), ("store_true", _StoreTrueOnce)):
            self.register("action", name, kind)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            # Here, as the parser above does not know the options of a command.
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self._meant(unknown)}")
        return options, unknown

    def _meant(self, unknown: list[str]) -> str:
        known = [name.removeprefix("--") for name in self._option_string_actions if name.startswith("--")]
        typed = [text[2:].partition("=")[0] for text in unknown if re.match("--[a-z]", text)]
        close = dict.fromkeys(option_name(name) for each in typed for name in near(each, known))
        return f"; expected {' or '.join(close)}" if close else ""

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


def path(text: str) -> Path:
    """A path, which an empty text is none of."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got nothing")
    return Path(text)


def natural(text: str) -> int:
    """A whole number of 0 or more."""
    return int(_reading(NATURAL)(text))


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    return int(_reading(POSITIVE)(text))


def amount(text: str) -> float:
    """A number of 0 or more."""
    return float(_reading(AMOUNT)(text))


def port(text: str) -> int:
    """A port to listen on."""
    number = positive(text)
    if number > 65535:
        raise argparse.ArgumentTypeError(f"'{text}': expected a port of at most 65535")
    return number


def _reading(kind: Kind) -> Callable[[str], Any]:
    """What argparse reads a value with."""

    def read(text: str) -> Any:
        try:
            return kind.read(text)
        except UserError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def option_name(name: str) -> str:
    """A setting's name as it is typed.

    >>> option_name("batch_size")
    '--batch-size'
    """
    return f"--{name.replace('_', '-')}"


def add_options(
    parser: argparse.ArgumentParser,
    record: type,
    *names: str,
    taken: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> None:
    """Add the options of a dataclass, or those of some names, to a parser; one that is not given is None.

    What is true unless told otherwise is told by ``--no-NAME``. ``taken`` has the names that an option takes.
    """
    for name, each in options_of(record).items():
        if names and name not in names:
            continue
        with settings_spelled(option_name):
            forms = {form: said.replace("%", "%%") for form, said in each.forms(taken.get(name, ())).items()}
        for form, said in forms.items():
            if form != name or each.kind is SWITCH:
                parser.add_argument(option_name(form), action="store_true", default=None, help=said)
                continue
            parser.add_argument(
                option_name(name),
                type=path if each.kind is PLACE else _reading(each.kind),
                metavar=each.metavar,
                choices=each.choices or None,
                help=said,
            )


def given_of(options: argparse.Namespace, *records: type) -> dict[str, Any]:
    """What of the options of dataclasses was given, under their names."""
    given = {}
    for name in (name for record in records for name in options_of(record)):
        value = getattr(options, name, None)
        if getattr(options, f"no_{name}", False):
            if value is not None:
                raise UserError(f"{setting(f'no_{name}')}: not together with {setting(name)}")
            given[name] = False
        elif value is not None:
            given[name] = value
    return given


def add_command(
    commands: argparse._SubParsersAction[Parser],
    name: str,
    does: str,
    example: str,
    more: str = "",
    *,
    run: Callable[[argparse.Namespace], int],
) -> Parser:
    """A command with its help; ``run`` does it and returns its exit code."""
    parser = commands.add_parser(
        name,
        help=does,
        description=f"{does[0].upper()}{does[1:]}. {more}".strip(),
        epilog=f"example: {example}",
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(command=run)
    return parser


def add_run(parser: argparse.ArgumentParser) -> None:
    """The run that a command is about."""
    parser.add_argument("run", metavar="RUN", help="name of a run, or its folder")


def add_candidate(parser: argparse.ArgumentParser) -> None:
    """The candidate of a run that a command is about."""
    parser.add_argument("--candidate", type=natural, metavar="N", help="which one (default: the winner)")


def add_training(parser: argparse.ArgumentParser) -> None:
    """Where a finished run's data are, and what trains more for it."""
    parser.add_argument("--data", metavar="DATA", help="where the run's data are now, if they were moved")
    add_options(parser, EngineOptions)


def training_given(options: argparse.Namespace) -> dict[str, Any]:
    """What of `add_training` was given, under its names."""
    return given_of(options, EngineOptions) | ({"data": options.data} if options.data else {})


def add_runs_folder(parser: argparse.ArgumentParser) -> None:
    """Where a command looks for runs."""
    add_options(parser, RunOptions, "runs")


def runs_folder(options: argparse.Namespace) -> Path:
    """Where a command looks for runs."""
    given = given_of(options, RunOptions)
    return Path(given.get("runs", options_of(RunOptions)["runs"].default))


def add_trained_folder(parser: argparse.ArgumentParser) -> None:
    """Where a command looks for trained networks."""
    add_options(parser, TrainingOptions, "trained")


def trained_folder(options: argparse.Namespace) -> Path:
    """Where a command looks for trained networks."""
    return Path(options.trained or options_of(TrainingOptions)["trained"].default)
