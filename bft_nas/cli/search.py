"""``bft-nas search``: search networks within a budget."""

from __future__ import annotations

import argparse
import shlex

from bft_nas.api.request import RunOptions
from bft_nas.cli.options import Parser, add_command, add_options, given_of
from bft_nas.core.errors import printable
from bft_nas.engines.options import EngineOptions
from bft_nas.record.settings import Settings
from bft_nas.searching.named import NAMES

WHAT_COUNTS = (
    "A MAC is a multiply-accumulate for one image at the deployment resolution; papers call this FLOPs. "
    "Counted: convolutions, linear layers, butterfly stages and a butterfly's residual. Not counted: bias, "
    "batch norm, activations, pooling, skip additions."
)
AT_THE_END = ("references", "confirm", "timing")
"""What a search does once its candidates are trained, unless told not to."""


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "search",
        "search networks within a budget",
        "bft-nas search --flops 50M\n"
        "         bft-nas search --flops 20M,50M --data photos/ --time 2h\n"
        "         bft-nas search --resume mobile-50M --trials 40",
        WHAT_COUNTS,
        run=run,
    )
    for record in (Settings, EngineOptions, RunOptions):
        add_options(parser, record, taken=NAMES)


def run(options: argparse.Namespace) -> int:
    """Search, and print what came of it."""
    from bft_nas.api.opening import open_work
    from bft_nas.cli import tables
    from bft_nas.cli.ending import show_on, to_the_end

    given = given_of(options, Settings, EngineOptions, RunOptions)
    command = shlex.join(["bft-nas", *_without_passwords(options.line)])
    with open_work(given, say=lambda text: print(printable(text)), command=command) as work:
        options.made = work.run.folder
        console = tables.make_console()
        tables.print_facts(
            console, tables.plan_facts(work.prepared, work.run, confirmation=work.confirmation)
        )
        console.print()
        work.clock.preparing = work.clock.whole

        def train() -> None:
            work.search(show_on(console))
            console.print()
            work.conclude(show_on(console), console.print)

        flags = [f"--no-{name}" for name in AT_THE_END if given.get(name) is False]
        return to_the_end(console, work.run, work.clock, train, "search --resume", flags)


def _without_passwords(line: list[str]) -> list[str]:
    from bft_nas.record.storage import without_password

    return [without_password(argument) if "://" in argument else argument for argument in line]
