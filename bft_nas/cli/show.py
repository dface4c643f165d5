"""``bft-nas show``: a candidate layer by layer."""

from __future__ import annotations

import argparse

from bft_nas.cli.options import Parser, add_candidate, add_command, add_run, add_runs_folder, runs_folder


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "show",
        "print a candidate layer by layer",
        "bft-nas show mobile-50M --candidate 7",
        run=run,
    )
    add_run(parser)
    add_candidate(parser)
    add_runs_folder(parser)


def run(options: argparse.Namespace) -> int:
    """Print what a candidate is and came to, and its layers."""
    from bft_nas.api.run import Run
    from bft_nas.cli import tables

    found = Run.open(options.run, runs=runs_folder(options))
    number = found.number_or_winner(options.candidate)
    row = found.row(number)
    console = tables.make_console()
    tables.print_facts(console, tables.candidate_facts(found, row))
    console.print()
    tables.print_layers(console, found.architecture(number))
    return 0
