"""``bft-nas train``: train a network to the end."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING

from bft_nas.api.training_options import TrainingOptions
from bft_nas.cli.options import Parser, add_command, add_options, given_of
from bft_nas.core.interrupts import exit_code

if TYPE_CHECKING:
    from bft_nas.api.training_work import OpenTraining
    from bft_nas.record.facts import Facts


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "train",
        "train a network to the end",
        "bft-nas train mobile-50M\n"
        "         bft-nas train mobilenet_v3_small --flops 50M --data photos/\n"
        "         bft-nas train --resume mobile-50M-7",
        "Trains the winner of a run, another candidate, an architecture.json or a reference at its deployment "
        "resolution on all training images, and evaluates it once on the test images. Everything is in trained/NAME: "
        "weights, curve, evaluation and a model card.",
        run=run,
    )
    parser.add_argument(
        "network",
        metavar="NETWORK",
        nargs="?",
        help="a run, an architecture.json, or the name of a reference",
    )
    add_options(parser, TrainingOptions)


def run(options: argparse.Namespace) -> int:
    """Train, and print what came of it."""
    from bft_nas.api.training import open_training
    from bft_nas.api.training_work import take_part
    from bft_nas.core.memory import keep_freed_memory
    from bft_nas.training.processes import joined

    command = shlex.join(["bft-nas", *options.line])
    with joined() as processes:
        keep_freed_memory()
        if not processes.first:
            take_part(processes)
            return 0
        given = given_of(options, TrainingOptions)
        with open_training(options.network, given, command=command, processes=processes) as work:
            return _train(work)


def _train(work: OpenTraining) -> int:
    from bft_nas.api.training_progress import show_training
    from bft_nas.api.training_work import run_to_the_end
    from bft_nas.cli import tables
    from bft_nas.cli.evaluate import print_evaluation
    from bft_nas.training.processes import ProcessLost

    console = tables.make_console()
    tables.print_facts(console, _plan(work))
    console.print()
    name = shlex.quote(str(work.trained.folder))
    try:
        with show_training(console) as watcher:
            evaluation = run_to_the_end(work, watcher)
    except KeyboardInterrupt as interrupt:
        console.print(f"interrupted; resume with: bft-nas train --resume {name}")
        return exit_code(interrupt)
    except ProcessLost:
        console.print(f"resume with: bft-nas train --resume {name}")
        raise
    console.print()
    print_evaluation(console, work.trained, evaluation)
    console.print()
    console.print(f"report   {work.trained.folder / 'report.html'}")
    console.print(f"export   bft-nas export {name} -o {shlex.quote(work.trained.name)}")
    return 0


def _plan(work: OpenTraining) -> Facts:
    """What is about to be done."""
    from bft_nas.api.training_work import count_of
    from bft_nas.core.units import format_epochs, format_macs, format_params
    from bft_nas.data.division import unevenness
    from bft_nas.network import cost

    trained, protocol = work.trained, work.trained.protocol
    uneven = unevenness(work.images.dataset.train, trained.data.classes)
    how = "evened out" if protocol.recipe.balance else "--balance evens it out"
    count = count_of(work.processes, work.cluster)
    kind = "processes" if work.cluster is None else "workers of Ray's at most"
    norms = "norms synchronised" if protocol.recipe.sync_norms else "norms each of its share"
    counted, side = cost(trained.architecture), trained.architecture.resolution
    return [
        ("network", f"{trained.facts['network']}: {trained.architecture.family} @{side}"),
        ("counted", f"{format_macs(counted.macs)} MACs, {format_params(counted.params)} parameters"),
        (
            "data",
            f"{protocol.data}: {protocol.train_images:,} images to train on, {protocol.validation_images:,} "
            f"to validate, {protocol.data_classes} classes",
        ),
        *([("uneven", f"{uneven}; {how}")] if uneven else []),
        *(("read", note) for note in trained.data.notes),
        *([("images", work.images.dataset.kept)] if work.images.dataset.kept else []),
        (
            "recipe",
            f"{trained.facts['recipe']}: {format_epochs(protocol.epochs)}, batches of {protocol.batch_size}, "
            f"{protocol.recipe.optimiser}, {protocol.recipe.precision}",
        ),
        *([("together", f"{count} {kind}, {norms}")] if count > 1 or work.cluster else []),
        *([("teacher", teacher)] if (teacher := _teacher(work)) else []),
        ("protocol", protocol.hash),
        ("folder", str(trained.folder)),
    ]


def _teacher(work: OpenTraining) -> str:
    """Which network teaches, and what its own training takes; empty without one."""
    from bft_nas.core.units import format_epochs, format_macs, format_params
    from bft_nas.network import cost

    place = work.trained.facts["teacher"]
    if work.first is None:
        return f"{place}, trained already" if place and work.trained.facts["teacher_first"] else place or ""
    teacher, protocol = work.first.trained, work.first.trained.protocol
    ours, theirs = cost(work.trained.architecture), cost(teacher.architecture)
    done = len(teacher.curve())
    resumed = f" ({done} of them done)" if done else ""
    return (
        f"{teacher.facts['network']} ({format_macs(theirs.macs)} MACs, {format_params(theirs.params)} parameters), "
        f"trained first, in {teacher.folder}: {format_epochs(protocol.epochs)}{resumed} of "
        f"{protocol.train_images:,} images, with {theirs.macs / ours.macs:.1f} times the MACs of the network itself"
    )
