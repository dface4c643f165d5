"""``bft-nas spaces``: the bundled search spaces."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bft_nas.cli.options import Parser, add_command

if TYPE_CHECKING:
    from rich.console import Console

    from bft_nas.space.space import SearchSpace


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command to the parser."""
    add_command(commands, "spaces", "list the bundled search spaces", "bft-nas spaces", run=run)


def run(options: argparse.Namespace) -> int:
    """Print what each space holds."""
    from bft_nas.cli import tables
    from bft_nas.space.space import SearchSpace, bundled_spaces

    _print(tables.make_console(), [SearchSpace.load(name) for name in bundled_spaces()])
    return 0


def _print(console: Console, spaces: Sequence[SearchSpace]) -> None:
    """What each space holds."""
    from rich.table import Table

    from bft_nas.core.units import format_count, format_macs

    table = Table(box=None, pad_edge=False)
    for column in ("space", "families", "choices", "MACs at 1000 classes"):
        table.add_column(column)
    for space in spaces:
        reach = space.reach
        table.add_row(
            space.name,
            ", ".join(family.name for family in space.families),
            format_count(space.size),
            f"{format_macs(reach.smallest, up=True)} to {format_macs(reach.largest)}",
        )
    console.print(table)
