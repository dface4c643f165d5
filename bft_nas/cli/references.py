"""``bft-nas references``: the comparison networks and their counts."""

from __future__ import annotations

import argparse

from bft_nas.cli.options import Parser, add_command
from bft_nas.core.errors import UserError, one_line, setting
from bft_nas.core.units import parse_macs, parse_resolutions

RESOLUTION = "224"


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "references",
        "list the comparison networks and their counts",
        "bft-nas references --flops 50M",
        "Without a budget: what is counted here beside what was published.",
        run=run,
    )
    parser.add_argument("--flops", metavar="MACS", help="as wide as a budget such as 50M allows")
    parser.add_argument("--resolution", metavar="N", help=f"in pixels, for --flops (default: {RESOLUTION})")


def run(options: argparse.Namespace) -> int:
    """Print the published counts, or the widths within a budget."""
    from bft_nas.cli import tables
    from bft_nas.network.references import published_counts

    resolution, *others = parse_resolutions(options.resolution or RESOLUTION)
    if others:
        raise UserError(
            f"{setting('resolution')} {one_line(options.resolution)[:40]}: expected one number of pixels"
        )
    if options.resolution is not None and options.flops is None:
        raise UserError(f"{setting('resolution')}: needs {setting('flops')}")
    budget = None if options.flops is None else parse_macs(options.flops)
    console = tables.make_console()
    if budget is None:
        tables.print_reference_counts(console, published_counts())
    else:
        tables.print_scaled_references(console, budget, resolution)
    return 0
