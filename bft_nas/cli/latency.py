"""``bft-nas latency``: how long networks take for one image on this machine."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bft_nas.cli.options import (
    Parser,
    add_command,
    add_runs_folder,
    add_trained_folder,
    amount,
    positive,
    runs_folder,
    trained_folder,
)

if TYPE_CHECKING:
    from rich.console import Console

    from bft_nas.latency.measure import Measured, Watcher

COLUMNS = ("network", "MACs", "parameters", "file", "runtime", "threads", "p50", "p90")


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command to the parser."""
    from bft_nas.latency.single_stream import Rule

    rule = Rule()
    parser = add_command(
        commands,
        "latency",
        "measure how long networks take for one image",
        "bft-nas latency mobile-50M\n"
        "         bft-nas latency mobile-50M --runtime onnxruntime pytorch --threads 1 2\n"
        "         bft-nas latency winner/model.onnx other/model.onnx --queries 1024 --seconds 60",
        "By the single-stream rule of MLPerf Mobile: one image after the other, after a warm-up, all networks in "
        "turns; the 50th and the 90th percentile. Of a run, its front, its references and what was confirmed are "
        "measured, with random weights where none were kept: they take as long. What is measured of a run or of a "
        "trained network is kept with it; milliseconds of two machines, runtimes or numbers of threads do not compare.",
        run=run,
    )
    parser.add_argument(
        "what",
        nargs="+",
        metavar="NETWORK",
        help="a run, a trained network, an export, or a file of one such as winner/model.onnx",
    )
    parser.add_argument(
        "--runtime",
        nargs="+",
        default=[],
        metavar="NAME",
        help="pytorch, or a runtime that export --for writes files for (default: onnxruntime where it is "
        "installed, else pytorch)",
    )
    parser.add_argument(
        "--threads",
        nargs="+",
        type=positive,
        default=[1],
        metavar="N",
        help="numbers of threads (default: 1)",
    )
    parser.add_argument(
        "--queries",
        type=positive,
        default=rule.queries,
        metavar="N",
        help="of each network at least (default: %(default)s; the rule of MLPerf: 1024)",
    )
    parser.add_argument(
        "--seconds",
        type=amount,
        default=rule.seconds,
        metavar="S",
        help="in queries of each network at least (default: %(default)g; the rule of MLPerf: 60)",
    )
    add_runs_folder(parser)
    add_trained_folder(parser)


def run(options: argparse.Namespace) -> int:
    """Measure, and print a row for each network and setup."""
    from bft_nas.api.latency import measure_latency
    from bft_nas.cli.tables import make_console

    console = make_console()
    with show_measuring(console) as watcher:
        measured = measure_latency(
            *options.what,
            runtimes=options.runtime,
            threads=options.threads,
            queries=options.queries,
            seconds=options.seconds,
            runs=runs_folder(options),
            trained=trained_folder(options),
            watcher=watcher,
        )
    print_latencies(console, measured)
    return 0


@contextmanager
def show_measuring(console: Console) -> Iterator[Watcher]:
    """What is being done, in one line that vanishes at the end; a line for each network where no terminal is."""
    if not console.is_terminal:
        yield lambda text, part: None if text == "measured" else console.print(text)
        return
    with console.status("reading") as status:
        yield lambda text, part: status.update(f"{text}, {part:.0%}")


def print_latencies(console: Console, measured: Sequence[Measured]) -> None:
    """A row for each network and setup, and below them what they were measured on."""
    from rich.table import Table

    from bft_nas.core.units import format_bytes, format_macs, format_milliseconds, format_params
    from bft_nas.record.latency import busy_text

    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in ("network", "runtime") else "right")
    for each in measured:
        latency, setup = each.latency, each.latency.setup
        int8 = "" if setup.precision == "float32" else f" {setup.precision}"
        table.add_row(
            latency.network,
            "" if each.macs is None else format_macs(each.macs),
            "" if each.params is None else format_params(each.params),
            "" if latency.size is None else format_bytes(latency.size),
            f"{setup.runtime} {setup.version}{int8}",
            str(setup.threads),
            format_milliseconds(latency.p50),
            format_milliseconds(latency.p90),
        )
    console.print(table)
    least = min(each.latency.queries for each in measured)
    console.print(
        f"{measured[0].latency.setup.machine}; one image at a time, {least} queries or more of each"
    )
    if busy := busy_text(min(each.latency.share for each in measured)):
        console.print(busy)
