"""``bft-nas evaluate``: what a trained network is worth on images that it was not trained on."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bft_nas.api.training_options import TrainingOptions
from bft_nas.cli.options import Parser, add_command, add_options, given_of
from bft_nas.core.errors import UserError, setting

if TYPE_CHECKING:
    from rich.console import Console

    from bft_nas.record.exported import FileEvaluation
    from bft_nas.record.trained import Evaluation, Trained

CONFUSIONS = 5
"""Pairs of classes that are shown, at most; so many mistakes, too."""


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "evaluate",
        "say what a trained network is worth",
        "bft-nas evaluate mobile-50M-7\n         bft-nas evaluate mobile-50M-7 --files winner",
        "Accuracy with its 95 % interval, by class, the confusions, calibration, and the images it is most wrong "
        "about. Test images are predicted once, at the end of a training; other data may be given. With --files, what "
        "exported files of it are worth on the same images, those of int8 among them, which is kept with it.",
        run=run,
    )
    parser.add_argument("network", metavar="NAME", help="name of a trained network, or its folder")
    parser.add_argument(
        "--data", metavar="DATA", help="whose test images it is tried on (default: on record)"
    )
    parser.add_argument(
        "--files",
        nargs="+",
        default=[],
        metavar="EXPORT",
        help="exports of it, or files of these such as winner/onnxruntime-int8.onnx, that are tried instead",
    )
    add_options(parser, TrainingOptions, "trained")


def run(options: argparse.Namespace) -> int:
    """Print the evaluation."""
    from bft_nas.api.exported import evaluate_files
    from bft_nas.api.trained import open_trained
    from bft_nas.api.training import evaluate
    from bft_nas.cli.tables import make_console

    given = given_of(options, TrainingOptions)
    place = {"trained": given["trained"]} if "trained" in given else {}
    if options.files:
        if options.data is not None:
            raise UserError(f"{setting('files')}: not together with {setting('data')}")
        console = make_console()
        with _show_images(console) as watcher:
            told = evaluate_files(options.network, *options.files, **place, watcher=watcher)
        print_files(console, told)
        return 0
    found = open_trained(options.network, **place)
    evaluation = evaluate(options.network, data=options.data, **place)
    print_evaluation(make_console(), found, evaluation)
    return 0


@contextmanager
def _show_images(console: Console) -> Iterator[Callable[[int, int], None]]:
    """How many are predicted, in one line that vanishes at the end."""
    with console.status("opening files") as status:
        yield lambda done, total: status.update(f"{done:,} of {total:,} images")


def print_files(console: Console, told: Sequence[FileEvaluation]) -> None:
    """A row for each file of an export."""
    from rich.table import Table

    from bft_nas.core.units import format_bytes, format_percent

    table = Table(box=None, pad_edge=False)
    for column in ("file", "size", "accuracy", "95 %", "as in PyTorch"):
        table.add_column(column, justify="left" if column == "file" else "right")
    for each in told:
        low, high = map(format_percent, each.interval)
        agreed = format_percent(each.same / each.images)
        table.add_row(
            each.file, format_bytes(each.size), format_percent(each.accuracy), f"{low} to {high}", agreed
        )
    console.print(table)
    console.print(f"{told[0].images:,} {told[0].split} images, one at a time")


def print_evaluation(console: Console, trained: Trained, evaluation: Evaluation) -> None:
    """What a trained network is worth: in all, by class, and where it is wrong."""
    from rich.table import Table

    from bft_nas.cli.tables import print_facts
    from bft_nas.core.units import format_percent
    from bft_nas.record.card import accuracy_text
    from bft_nas.training.measures import wilson

    measures, classes = evaluation.measures, trained.data.classes
    flattered = " (no test images: these chose the best weights)" if evaluation.split == "validation" else ""
    print_facts(
        console,
        [
            ("network", f"{trained.folder}"),
            ("accuracy", accuracy_text(evaluation) + flattered),
            ("loss", f"{measures.loss:.4f}"),
            ("calibration", f"{format_percent(measures.calibration_error)} expected calibration error"),
            *(("left out", text) for text in evaluation.left_out),
        ],
    )
    table = Table(box=None, pad_edge=False)
    for column in ("class", "images", "right", "95 %"):
        table.add_column(column, justify="left" if column == "class" else "right")
    for label, right, images in measures.by_class:
        low, high = (format_percent(end, 1) for end in wilson(right, images))
        table.add_row(classes[label], str(images), format_percent(right / images, 1), f"{low} to {high}")
    console.print()
    console.print(table)
    console.print()
    for count, label, other in measures.confused[:CONFUSIONS]:
        console.print(f"{count} of {classes[label]} taken for {classes[other]}")
    for mistake in measures.worst[:CONFUSIONS]:
        image = mistake.name or f"image {mistake.index}"
        console.print(
            f"{image}: {classes[mistake.label]}, taken for {classes[mistake.predicted]} with "
            f"{format_percent(mistake.confidence, 1)}"
        )
