"""``bft-nas runs``: the runs that there are."""

from __future__ import annotations

import argparse

from bft_nas.cli.options import Parser, add_command, add_runs_folder, runs_folder


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command to the parser."""
    add_runs_folder(add_command(commands, "runs", "list the runs", "bft-nas runs", run=run))


def run(options: argparse.Namespace) -> int:
    """Print a row a run."""
    from bft_nas.cli import tables
    from bft_nas.record import run_names

    folder = runs_folder(options)
    names = run_names(folder)
    console = tables.make_console()
    if names:
        tables.print_runs(console, [folder / name for name in names])
    else:
        console.print(f"no runs under '{folder}'; begin with: bft-nas search --flops 50M")
    return 0
