"""``bft-nas export``: a candidate as an ordinary PyTorch model and, while it is written, which file it is at."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from bft_nas.cli.options import (
    Parser,
    add_candidate,
    add_command,
    add_runs_folder,
    add_trained_folder,
    path,
    runs_folder,
    trained_folder,
)
from bft_nas.core.errors import UserError, setting
from bft_nas.core.units import format_bytes, format_epochs, format_macs, format_pixels
from bft_nas.export.runtimes import RUNTIMES, checked_int8, checked_runtimes

if TYPE_CHECKING:
    from rich.console import Console

    from bft_nas.export.checks import ExportedFile, FormTimes
    from bft_nas.export.write import ExportReport, Watcher


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "export",
        "write a candidate as an ordinary PyTorch model",
        "bft-nas export mobile-50M -o winner",
        "Writes architecture.json, weights.safetensors, model.pt2, model.onnx and model.py (plain PyTorch, "
        "without bft_nas), and checks each against the trained network.",
        run=run,
    )
    parser.add_argument("run", metavar="RUN", help="name of a run or of a trained network, or its folder")
    add_candidate(parser)
    parser.add_argument("-o", "--output", type=path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--for",
        dest="runtimes",
        nargs="+",
        default=[],
        metavar="RUNTIME",
        help=f"write files for runtimes besides: {', '.join(RUNTIMES)}",
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="and their files of int8, from ranges of training images",
    )
    add_runs_folder(parser)
    add_trained_folder(parser)


def run(options: argparse.Namespace) -> int:
    """Export a candidate, and print what was written."""
    from bft_nas.api.run import Run
    from bft_nas.api.trained import open_trained
    from bft_nas.cli import tables
    from bft_nas.record import RUN_FILE
    from bft_nas.record.trained_folder import is_trained

    console = tables.make_console()
    runtimes = checked_runtimes(options.runtimes)
    if options.int8:
        checked_int8(runtimes)
    place = trained_folder(options)
    if (
        is_trained(options.run, trained=place)
        and not (runs_folder(options) / options.run / RUN_FILE).is_file()
    ):
        if options.candidate is not None:
            raise UserError(f"{setting('candidate')}: goes with a run; '{options.run}' is a trained network")
        trained = open_trained(options.run, trained=place)
        trained.weights()
        console.print(f"{trained.name}: {trained.facts['network']}", highlight=False, markup=False)
        if not trained.finished:
            done = f"{len(trained.curve())} of {format_epochs(trained.protocol.epochs)}"
            console.print(
                f"not trained to the end: the best weights of {done}", highlight=False, markup=False
            )
        with show_export(console) as watcher:
            report = trained.export(options.output, runtimes=runtimes, int8=options.int8, watcher=watcher)
        return _print(console, report)
    found = Run.open(options.run, runs=runs_folder(options))
    number = found.number_or_winner(options.candidate)
    found.weights(number)
    console.print(f"candidate {number} of {found.name}", highlight=False, markup=False)
    with show_export(console) as watcher:
        report = found.export(options.output, number, runtimes=runtimes, int8=options.int8, watcher=watcher)
    return _print(console, report)


def _print(console: Console, report: ExportReport) -> int:
    from bft_nas.cli import tables

    tables.print_export(console, report)
    for file in report.files:
        if file.layers:
            _print_forms(console, file)
        for note in file.notes:
            console.print(f"{file.name}: {note}", highlight=False, markup=False)
    for reason in report.left_out:
        print(reason, file=sys.stderr)
    return 0


def _print_forms(console: Console, file: ExportedFile) -> None:
    """Each butterfly as it is written, beside its dense form and that of the fewest MACs; a row for all alike."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title=f"Butterflies of {file.name}", title_justify="left")
    for heading in ("butterflies", "images", "form", "MACs", "size"):
        table.add_column(heading, justify="left" if heading in {"butterflies", "form"} else "right")
    for form in ("dense", "as counted"):
        for heading in (f"{form}: MACs", "size", "time"):
            table.add_column(heading, justify="right")
    for layer, count in Counter(replace(layer, name="") for layer in file.layers).items():
        forms = {each.form: each for each in layer.forms}
        chosen = forms[layer.form]
        cells = [f"{count} x {layer.in_channels} to {layer.out_channels}", format_pixels(layer.side)]
        cells += [layer.form, *_macs_and_bytes(chosen)]
        # Of two forms of as few MACs the one that multiplies stage by stage is that which was counted.
        counted = min(layer.forms, key=lambda each: (each.macs, not each.form.startswith("matmul")))
        for other in (forms["dense"], counted):
            ratio = f"{other.seconds / chosen.seconds:.2f}" if chosen.seconds else ""
            cells += [*_macs_and_bytes(other), ratio]
        table.add_row(*cells)
    console.print(table)


def _macs_and_bytes(form: FormTimes) -> tuple[str, str]:
    return format_macs(form.macs), format_bytes(form.size)


@contextmanager
def show_export(console: Console) -> Iterator[Watcher]:
    """What has just been done, in one line that vanishes at the end; a line for each file where no terminal is."""
    if not console.is_terminal:
        yield lambda name, done: _line(console, name) if done == "checked" else None
        return
    with console.status("writing") as status:
        yield lambda name, done: status.update(f"{name} {done}")


def _line(console: Console, name: str) -> None:
    console.print(f"{name}: written and checked", highlight=False, markup=False)
