"""``bft-nas fidelity``: whether a run's proxy trainings rank networks as longer ones do."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from bft_nas.cli.options import (
    Parser,
    add_command,
    add_run,
    add_runs_folder,
    add_training,
    positive,
    runs_folder,
    training_given,
)
from bft_nas.core.errors import UserError, setting

if TYPE_CHECKING:
    from rich.console import Console

    from bft_nas.api.run import Run


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "fidelity",
        "say whether a run's proxy trainings can be trusted",
        "bft-nas fidelity mobile-50M --train 12",
        "Compares the accuracies of the brief proxy trainings with those of the confirmation, for the networks of the "
        "run that have both: Kendall's tau, the spread between seeds, and the tau that two confirmations reach. A "
        "confirmation trains the best ones alone, which tells little: with --train candidates of all ranks are trained "
        "as it trains them.",
        run=run,
    )
    add_run(parser)
    parser.add_argument(
        "--train",
        type=positive,
        metavar="N",
        help="train so many candidates, the best to the worst; a dozen will do",
    )
    add_training(parser)
    add_runs_folder(parser)


def run(options: argparse.Namespace) -> int:
    """Print what the recorded trainings say of the protocol, after further ones where they are asked for."""
    from bft_nas.api.run import Run
    from bft_nas.cli import tables

    found, console = Run.open(options.run, runs=runs_folder(options)), tables.make_console()
    given = training_given(options)
    code = 0
    if options.train is not None:
        code = _train(console, found, options.train, given)
    elif given:
        raise UserError(f"{setting(next(iter(given)))}: needs {setting('train')}")
    if not code:
        _print(console, found)
    return code


def _train(console: Console, run: Run, count: int, given: dict[str, Any]) -> int:
    from bft_nas.api.opening import open_finished
    from bft_nas.cli.ending import show_on, to_the_end

    with open_finished(run, given) as work:
        return to_the_end(
            console,
            work.run,
            work.clock,
            lambda: work.sample(show_on(console), console.print, count),
            f"fidelity --train {count}",
        )


def _print(console: Console, run: Run) -> None:
    from bft_nas.cli import tables
    from bft_nas.record.fidelity import fidelity_of

    fidelity = fidelity_of(run)
    tables.print_facts(
        console,
        [
            ("run", str(run.folder)),
            ("proxy", f"protocol {run.protocol_hash}"),
            ("agreement", fidelity.summary),
            ("seeds", fidelity.seeds),
            ("verdict", fidelity.verdict),
        ],
    )
