"""The command line: parses and prints, decides nothing. Everything slow is imported by the command that needs it."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from functools import partial

import bft_nas
from bft_nas.cli import (
    compare,
    dashboard,
    data,
    evaluate,
    export,
    fidelity,
    latency,
    references,
    report,
    runs,
    search,
    show,
    spaces,
    train,
)
from bft_nas.cli.options import Parser, option_name, with_signs
from bft_nas.core.errors import RunError, UserError, settings_spelled
from bft_nas.core.interrupts import exit_code
from bft_nas.core.launched import first_alone_speaks

COMMANDS = (
    search,
    show,
    train,
    evaluate,
    export,
    latency,
    compare,
    fidelity,
    dashboard,
    runs,
    report,
    references,
    spaces,
    data,
)
"""In the order of the help."""


def _replace_what_cannot_be_encoded() -> None:
    """Where output is not UTF-8, question marks stand for what it has no letters for, and nothing else is lost."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0, 2 for a mistake of the user, 1 when something else is in the way, 130 and 143 when interrupted. Of an error that
    nobody foresaw a line is said, and its traceback written to a file.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    _replace_what_cannot_be_encoded()
    if given[:1] == ["train"]:
        return first_alone_speaks(partial(_run, given))
    return _run(given)


def _run(given: list[str]) -> int:
    options: argparse.Namespace | None = None
    try:
        with settings_spelled(option_name):
            options = _parser().parse_args(with_signs(given), argparse.Namespace(line=given))
            return int(options.command(options))
    except UserError as error:
        print(f"bft-nas: error: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(f"bft-nas: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        return exit_code(interrupt)
    except BrokenPipeError:
        # Whoever reads has seen enough; Python's own flush at exit must not complain about it either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        print(f"bft-nas: error: {_unforeseen(error, options)}", file=sys.stderr)
        return 1


def _unforeseen(error: Exception, options: argparse.Namespace | None) -> str:
    from bft_nas.cli.unforeseen import describe, run_folder

    try:
        folder = run_folder(options)
    except Exception:
        folder = None  # there may be no memory to look for it
    return describe(error, folder)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="bft-nas",
        description="Search mobile image networks under a hard MAC budget, butterfly transforms included.",
        epilog="example: bft-nas search --flops 50M",
    )
    parser.add_argument("--version", action="version", version=f"bft-nas {bft_nas.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
