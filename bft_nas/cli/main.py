"""The command line: parses and prints, decides nothing. Everything slow is imported by the command that needs it."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import bft_nas
from bft_nas.cli.options import (
    HelpFormatter,
    Parser,
    amount,
    natural,
    path,
    port,
    positive,
    seconds,
    with_signs,
)
from bft_nas.core.errors import RunError, UserError, one_line
from bft_nas.core.interrupts import exit_code
from bft_nas.core.units import parse_macs, parse_resolutions

if TYPE_CHECKING:
    from bft_nas.record import Run

WHAT_COUNTS = (
    "A MAC is a multiply-accumulate for one image at the deployment resolution; papers call this FLOPs. "
    "Counted: convolutions, linear layers, butterfly stages and a butterfly's residual. Not counted: bias, "
    "batch norm, activations, pooling, skip additions."
)


def _replace_what_cannot_be_encoded() -> None:
    """Where output is not UTF-8, question marks stand for what it has no letters for, and nothing else is lost."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0, 2 for a mistake of the user, 1 when something else is in the way, 130 and 143 when interrupted. Of an error that
    nobody foresaw a line is said, and its traceback written to a file.
    """
    options: argparse.Namespace | None = None
    given = list(sys.argv[1:] if arguments is None else arguments)
    _replace_what_cannot_be_encoded()
    try:
        options = _parser().parse_args(with_signs(given))
        return int(options.command(options, given))
    except UserError as error:
        print(f"bft-nas: error: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(f"bft-nas: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        return exit_code(interrupt)
    except BrokenPipeError:
        # Whoever reads has seen enough; Python's own flush at exit must not complain about it either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        print(f"bft-nas: error: {_unforeseen(error, options)}", file=sys.stderr)
        return 1


def _unforeseen(error: Exception, options: argparse.Namespace | None) -> str:
    from bft_nas.cli.unforeseen import describe, run_folder

    try:
        folder = run_folder(options)
    except Exception:
        folder = None  # there may be no memory to look for it
    return describe(error, folder)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="bft-nas",
        description="Search mobile image networks under a hard MAC budget, butterfly transforms included.",
        epilog="example: bft-nas search --flops 50M",
    )
    parser.add_argument("--version", action="version", version=f"bft-nas {bft_nas.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_search(commands)

    show = _add(commands, "show", "print a candidate layer by layer", "bft-nas show mobile-50M --candidate 7")
    show.add_argument("run", metavar="RUN", help="name of a run, or its folder")
    show.add_argument("--candidate", type=natural, metavar="N", help="which one (default: the winner)")
    show.set_defaults(command=_show)

    export = _add(
        commands,
        "export",
        "write a candidate as an ordinary PyTorch model",
        "bft-nas export mobile-50M -o winner",
        "Writes architecture.json, weights.safetensors, model.pt2, model.onnx and model.py (plain PyTorch, "
        "without bft_nas), and checks each against the trained network.",
    )
    export.add_argument("run", metavar="RUN", help="name of a run, or its folder")
    export.add_argument("--candidate", type=natural, metavar="N", help="which one (default: the winner)")
    export.add_argument("-o", "--output", type=path, required=True, metavar="DIR", help="folder to write")
    export.set_defaults(command=_export)

    compare = _add(
        commands,
        "compare",
        "train the references under a run's protocol",
        "bft-nas compare mobile-50M",
        "MNasNet, FBNet, MobileNetV1 to V3 and ShuffleNetV2, each as wide as the run's budget allows, join the run's "
        "tables and report. A search does this at its end; each is trained once per protocol.",
    )
    compare.add_argument("run", metavar="RUN", help="name of a run, or its folder")
    compare.add_argument("--data", metavar="DATA", help="where the run's data are now, if they were moved")
    _add_engine(compare)
    compare.set_defaults(command=_compare)

    dashboard = _add(
        commands,
        "dashboard",
        "show runs in a browser, and follow them",
        "bft-nas dashboard mobile-50M",
        "Finished runs and those that are going on; without any, a search that comes along.",
    )
    dashboard.add_argument(
        "run", nargs="*", metavar="RUN", help="names of runs; the first is shown (default: the newest)"
    )
    dashboard.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="to listen on (default: 127.0.0.1, which only this machine reaches)",
    )
    dashboard.add_argument(
        "--port",
        type=port,
        default=8050,
        metavar="N",
        help="to listen on, or the next free one (default: 8050)",
    )
    dashboard.set_defaults(command=_dashboard)

    runs = _add(commands, "runs", "list the runs", "bft-nas runs")
    runs.set_defaults(command=_runs)
    report = _add(
        commands,
        "report",
        "write a run's dashboard as one HTML file",
        "bft-nas report mobile-50M -o mobile-50M.html",
        "It opens in any browser, without a network; a search writes it at its end.",
    )
    report.add_argument("run", metavar="RUN", help="name of a run, or its folder")
    report.add_argument(
        "-o",
        "--output",
        type=path,
        metavar="FILE",
        help="to write (default: report.html in the run's folder)",
    )
    report.set_defaults(command=_report)

    for command in (show, export, compare, dashboard, report, runs):
        _add_runs_folder(command)

    references = _add(
        commands,
        "references",
        "list the comparison networks and their counts",
        "bft-nas references --flops 50M",
        "Without a budget: what is counted here beside what was published.",
    )
    references.add_argument("--flops", metavar="MACS", help="as wide as a budget such as 50M allows")
    references.add_argument(
        "--resolution", metavar="N", default="224", help="in pixels, for --flops (default: 224)"
    )
    references.set_defaults(command=_references)

    spaces = _add(commands, "spaces", "list the search spaces that come with bft-nas", "bft-nas spaces")
    spaces.set_defaults(command=_spaces)
    return parser


def _add_search(commands: argparse._SubParsersAction[Parser]) -> None:
    search = _add(
        commands,
        "search",
        "search networks within a budget",
        "bft-nas search --flops 50M\n"
        "         bft-nas search --flops 20M,50M --data photos/ --time 2h\n"
        "         bft-nas search --resume mobile-50M --trials 40",
        WHAT_COUNTS,
    )
    option = search.add_argument
    option("--flops", metavar="MACS", help="hard budget such as 50M, 0.05G, 50e6; several: 20M,50M")
    option("--space", metavar="SPACE", help="a space's name or a .yaml file (default: mobile)")
    option(
        "--data",
        metavar="DATA",
        help="fashion-mnist (default, comes along), cifar10, cifar10=FOLDER, a folder of class folders, or a .npz",
    )
    option(
        "--trials", type=positive, metavar="N", help="candidates to train (default: 20, or as --time allows)"
    )
    option("--time", metavar="TIME", help="stop after a time such as 30m or 1h30m")
    option("--seed", type=natural, metavar="N", help="of the proposals (default: 0)")
    option("--sampler", metavar="NAME", help="tpe (default), nsga2 or random")
    option("--name", metavar="NAME", help="of the run (default: made from space and budget)")
    option("--resolution", metavar="N,N", help="deployment resolutions in pixels, instead of the space's")
    option(
        "--classes",
        type=positive,
        metavar="N",
        help="classes at deployment (default: 1000 for fashion-mnist and cifar10, else the data's own)",
    )
    option("--epochs", type=positive, metavar="N", help="of each proxy training (default: 2)")
    option(
        "--scheduler",
        metavar="NAME",
        help="halving: only the best 1/eta of the candidates go on past 1, eta, eta*eta epochs; none (default)",
    )
    option("--eta", type=positive, metavar="N", help="of --scheduler halving (default: 3)")
    option("--min-epochs", type=positive, metavar="N", help="before the first is stopped (default: 1)")
    option("--images", type=positive, metavar="N", help="most images to train on (default: 8000)")
    option(
        "--max-unreadable",
        type=natural,
        metavar="N",
        help="images of a folder that may be left out because they cannot be decoded (default: 20, or 1%% if more)",
    )
    option("--batch-size", type=positive, metavar="N", help="images a step (default: 64)")
    option(
        "--proxy-divisor",
        type=positive,
        metavar="N",
        help="train at the deployment resolution divided by this (default: 4, less for small images)",
    )
    option(
        "--no-references",
        action="store_true",
        help="do not train the references at the end (which --trials and --time do not count)",
    )
    _add_engine(search)
    option(
        "--storage",
        metavar="URL",
        help="a database that owns the study, such as postgresql://user@host/db (default: a file in the run's folder)",
    )
    option(
        "--resume",
        metavar="RUN",
        help="go on with a run; --trials and --time may be given anew, and --data with where its data are now",
    )
    option("--join", metavar="RUN", help="share a run that another process is at, here or on another machine")
    _add_runs_folder(search)
    search.set_defaults(command=_search)


def _add(
    commands: argparse._SubParsersAction[Parser], name: str, does: str, example: str, more: str = ""
) -> Parser:
    return commands.add_parser(
        name,
        help=does,
        description=f"{does[0].upper()}{does[1:]}. {more}".strip(),
        epilog=f"example: {example}",
        formatter_class=HelpFormatter,
    )


def _add_runs_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs", type=path, default=Path("runs"), metavar="DIR", help="where the runs are (default: runs)"
    )


def _add_engine(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option(
        "--workers",
        type=positive,
        metavar="N",
        help="trainings at once (default: one for each GPU, or for every four cores)",
    )
    option(
        "--retries",
        type=natural,
        default=2,
        metavar="N",
        help="how often a candidate is tried again when its worker dies (default: 2)",
    )
    option(
        "--trial-timeout",
        type=seconds,
        default=600.0,
        metavar="TIME",
        help="without a sign of life after which a worker is ended (default: 10m)",
    )
    option(
        "--engine",
        choices=("local", "ray"),
        default="local",
        metavar="NAME",
        help="ray: train on a Ray cluster; local (default): in processes of this machine",
    )
    option(
        "--ray-address",
        metavar="ADDRESS",
        help="of the head of a running cluster, such as 10.0.0.1:6379 (default: a cluster of this machine's own)",
    )
    option(
        "--ray-storage",
        metavar="PATH",
        help="where all nodes can keep checkpoints: a shared folder or a URI (default: in the run's folder)",
    )
    option("--cpus-per-trial", type=amount, metavar="N", help="cores for each of Ray's trainings")
    option("--gpus-per-trial", type=amount, metavar="N", help="GPUs for each of Ray's trainings, such as 0.5")


def _search(options: argparse.Namespace, given: list[str]) -> int:
    from bft_nas.cli.training import search_command

    return search_command(options, given)


def _compare(options: argparse.Namespace, given: list[str]) -> int:
    from bft_nas.cli.training import compare_command

    return compare_command(options, given)


def _report(options: argparse.Namespace, given: list[str]) -> int:
    from bft_nas.cli.viewing import report_command

    return report_command(options)


def _dashboard(options: argparse.Namespace, given: list[str]) -> int:
    from bft_nas.cli.viewing import dashboard_command

    return dashboard_command(options)


def _show(options: argparse.Namespace, given: list[str]) -> int:
    from bft_nas.cli import tables
    from bft_nas.record import Run

    run = Run.open(options.run, runs=options.runs)
    number = _candidate(run, options.candidate)
    row = run.row(number)
    console = tables.make_console()
    tables.print_facts(console, tables.candidate_facts(run, row))
    console.print()
    tables.print_layers(console, run.architecture(number))
    return 0


def _export(options: argparse.Namespace, given: list[str]) -> int:
    from bft_nas.cli.export import export_command
    from bft_nas.record import Run

    run = Run.open(options.run, runs=options.runs)
    return export_command(run, _candidate(run, options.candidate), options.output)


def _candidate(run: Run, number: int | None) -> int:
    """The candidate asked for, or the winner of the largest budget."""
    if number is not None:
        return number
    from bft_nas.record.pareto import winners

    best = winners(run.results(), run.settings.budgets)
    if best.empty:
        raise UserError(f"run '{run.name}': no trained candidate yet; expected a run with a winner")
    return int(best.iloc[-1]["number"])


def _runs(options: argparse.Namespace, given: list[str]) -> int:
    from bft_nas.cli import tables
    from bft_nas.record import run_names

    names = run_names(options.runs)
    console = tables.make_console()
    if names:
        tables.print_runs(console, [options.runs / name for name in names])
    else:
        console.print(f"no runs under '{options.runs}'; begin with: bft-nas search --flops 50M")
    return 0


def _references(options: argparse.Namespace, given: list[str]) -> int:
    from bft_nas.cli import tables
    from bft_nas.network.references import published_counts

    resolution, *others = parse_resolutions(options.resolution)
    if others:
        raise UserError(f"--resolution {one_line(options.resolution)[:40]}: expected one number of pixels")
    budget = None if options.flops is None else parse_macs(options.flops)
    console = tables.make_console()
    if budget is None:
        tables.print_reference_counts(console, published_counts())
    else:
        tables.print_scaled_references(console, budget, resolution)
    return 0


def _spaces(options: argparse.Namespace, given: list[str]) -> int:
    from bft_nas.cli import tables
    from bft_nas.space.space import SearchSpace, shipped_spaces

    tables.print_spaces(tables.make_console(), [SearchSpace.load(name) for name in shipped_spaces()])
    return 0


if __name__ == "__main__":
    sys.exit(main())
