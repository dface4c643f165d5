"""``bft-nas compare``: train the references under a run's protocol."""

from __future__ import annotations

import argparse

from bft_nas.cli.options import (
    Parser,
    add_command,
    add_run,
    add_runs_folder,
    add_training,
    runs_folder,
    training_given,
)


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "compare",
        "train the references under a run's protocol",
        "bft-nas compare mobile-50M",
        "All references, which bft-nas references lists, each as wide as the run's budget allows, join the run's "
        "tables and report. A search does this at its end with four of them; each is trained once per protocol.",
        run=run,
    )
    add_run(parser)
    add_training(parser)
    add_runs_folder(parser)


def run(options: argparse.Namespace) -> int:
    """Train the references, and print the run beside them."""
    from bft_nas.api.opening import open_finished
    from bft_nas.api.run import Run
    from bft_nas.cli import tables
    from bft_nas.cli.ending import show_on, to_the_end

    found = Run.open(options.run, runs=runs_folder(options))
    with open_finished(found, training_given(options)) as work:
        console = tables.make_console()
        return to_the_end(
            console,
            work.run,
            work.clock,
            lambda: work.compare(show_on(console), console.print),
            "compare",
        )
