"""``bft-nas runs``: the runs that there are, and the networks that were trained to the end."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from bft_nas.cli.options import (
    Parser,
    add_command,
    add_runs_folder,
    add_trained_folder,
    runs_folder,
    trained_folder,
)
from bft_nas.core.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands, "runs", "list the runs, and the networks trained to the end", "bft-nas runs", run=run
    )
    add_runs_folder(parser)
    add_trained_folder(parser)


def run(options: argparse.Namespace) -> int:
    """Print a row a run, then a row a trained network."""
    from bft_nas.cli import tables
    from bft_nas.record import run_names
    from bft_nas.record.trained import trained_names

    folder, trained = runs_folder(options), trained_folder(options)
    names, networks = run_names(folder), trained_names(trained)
    console = tables.make_console()
    if names:
        tables.print_runs(console, [folder / name for name in names])
    else:
        console.print(f"no runs under '{folder}'; begin with: bft-nas search --flops 50M")
    if networks:
        console.print()
        _print_trained(console, [trained / name for name in networks])
    return 0


def _print_trained(console: Console, folders: list[Path]) -> None:
    """A row a network, the newest last as with runs, and below them why another one cannot be read."""
    from rich.table import Table

    from bft_nas.record.trained import Trained
    from bft_nas.record.trained_summary import HEADINGS, newest_first, summary_of

    found, unread = [], []
    for folder in folders:
        try:
            found.append(summary_of(Trained(folder)))
        except UserError as error:
            unread.append(str(error))
    if found:
        table = Table(box=None, pad_edge=False)
        for column in HEADINGS:
            table.add_column(column, justify="right" if column in ("MACs", "parameters") else "left")
        for summary in reversed(newest_first(found)):
            table.add_row(*summary.cells)
        console.print(table)
    for reason in unread:
        console.print(reason, soft_wrap=True)
