"""``bft-nas report``: a run's dashboard as one HTML file."""

from __future__ import annotations

import argparse
import sys

from bft_nas.cli.options import Parser, add_command, add_run, add_runs_folder, path, runs_folder
from bft_nas.core.errors import printable


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "report",
        "write a run's dashboard as one HTML file",
        "bft-nas report mobile-50M -o mobile-50M.html",
        "It opens in any browser, without a network; a search writes it at its end.",
        run=run,
    )
    add_run(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=path,
        metavar="FILE",
        help="to write (default: report.html in the run's folder)",
    )
    add_runs_folder(parser)


def run(options: argparse.Namespace) -> int:
    """Write the report, and print where it is."""
    from bft_nas.api.run import Run
    from bft_nas.cli.unforeseen import left_out

    found, problems = Run.open(options.run, runs=runs_folder(options)), []

    def note_view(view: str, error: Exception) -> None:
        problems.append(left_out(view, error, found.folder))

    print(printable(found.report(options.output, on_problem=note_view)))
    if problems:
        print(f"bft-nas: error: {'; '.join(problems)}", file=sys.stderr)
    return int(bool(problems))
