"""``bft-nas spaces``: the bundled search spaces."""

from __future__ import annotations

import argparse

from bft_nas.cli.options import Parser, add_command


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command to the parser."""
    add_command(commands, "spaces", "list the bundled search spaces", "bft-nas spaces", run=run)


def run(options: argparse.Namespace) -> int:
    """Print what each space holds."""
    from bft_nas.cli import tables
    from bft_nas.space.space import SearchSpace, bundled_spaces

    tables.print_spaces(tables.make_console(), [SearchSpace.load(name) for name in bundled_spaces()])
    return 0
