"""``bft-nas fidelity``: whether a run's proxy trainings rank networks as longer ones do."""

from __future__ import annotations

import argparse

from bft_nas.cli.options import Parser, add_command, add_run, add_runs_folder, runs_folder


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "fidelity",
        "say whether a run's proxy trainings can be trusted",
        "bft-nas fidelity mobile-50M",
        "Compares the accuracies of the brief proxy trainings with those of the confirmation, for the networks of the "
        "run that have both: Kendall's tau, the spread between seeds, and the tau that two confirmations reach.",
        run=run,
    )
    add_run(parser)
    add_runs_folder(parser)


def run(options: argparse.Namespace) -> int:
    """Print what the recorded trainings say of the protocol."""
    from bft_nas.api.run import Run
    from bft_nas.cli import tables
    from bft_nas.record.fidelity import fidelity_of

    found = Run.open(options.run, runs=runs_folder(options))
    fidelity, console = fidelity_of(found), tables.make_console()
    tables.print_facts(
        console,
        [
            ("run", str(found.folder)),
            ("proxy", f"protocol {found.protocol_hash}"),
            ("agreement", fidelity.summary),
            ("seeds", fidelity.seeds),
            ("verdict", fidelity.verdict),
        ],
    )
    return 0
