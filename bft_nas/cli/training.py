"""The commands that train: search and compare. What is slow to import is imported where it is needed."""

from __future__ import annotations

import argparse
import secrets
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bft_nas.cli.unforeseen import describe, left_out
from bft_nas.core.errors import RunError, UserError, printable
from bft_nas.core.interrupts import Interrupt, exit_code, listen
from bft_nas.core.units import format_macs, parse_duration, parse_macs, parse_resolutions

if TYPE_CHECKING:
    from rich.console import Console

    from bft_nas.record import Run, Settings
    from bft_nas.searching.jobs import Engine
    from bft_nas.searching.loop import Clock, Prepared


def search_command(options: argparse.Namespace, given: list[str]) -> int:
    """``bft-nas search``: its exit code."""
    from bft_nas.record import DataFacts, Run
    from bft_nas.record.storage import check_database
    from bft_nas.searching.loop import Clock, prepare
    from bft_nas.space.space import SearchSpace

    clock = Clock()
    compared = not options.no_references
    if options.resume is not None or options.join is not None:
        if options.resume is not None and options.join is not None:
            raise UserError("--join: not together with --resume; expected one of them")
        run = Run.open(options.join if options.resume is None else options.resume, runs=options.runs)
        if options.storage:
            run.database = options.storage
        with run.members.joined(alone=options.join is None):
            mended = run.repair_journal() if options.join is None else None
            if mended:
                print(printable(mended))
            # Whoever shares a run may have its data in a place of their own.
            prepared = _prepared_for(run, _resumed_settings(options, run), kept=options.join is None)
            engine = _engine(options, prepared, clock)
            return _searched(run, prepared, engine(run), clock, compared=compared)
    settings = _new_settings(options)
    if options.storage:
        check_database(options.storage)
    space = SearchSpace.load(settings.space, resolutions=settings.resolutions or None)
    prepared = prepare(settings, space)
    for budget in settings.budgets:
        prepared.space.check_reached(budget)
    dataset, images = prepared.images.dataset, prepared.images
    facts = DataFacts(dataset.classes, images.mean, images.std, dataset.notes, dataset.left_out)
    engine = _engine(options, prepared, clock)
    run = Run.create(
        options.name,
        prepared.settings,
        prepared.space,
        prepared.protocol,
        data=facts,
        runs=options.runs,
        command=shlex.join(["bft-nas", *_without_passwords(given)]),
    )
    options.made = run.folder
    run.database = options.storage or ""
    with run.members.joined(alone=True):
        return _searched(run, prepared, engine(run), clock, compared=compared)


def _prepared_for(run: Run, settings: Settings, *, kept: bool) -> Prepared:
    """What a run needs to resume, under its own protocol; where its data are now is then ``kept`` in it."""
    from bft_nas.data.dataset import is_there
    from bft_nas.searching.loop import check_protocol, prepare

    if settings.data == run.settings.data and not is_there(settings.data):
        raise UserError(
            f"run '{run.name}': no data at {settings.data} any more; expected --data with where they are now"
        )
    prepared = prepare(settings, run.space)
    check_protocol(run, prepared.protocol)
    if kept:
        run.move_data(prepared.settings.data)
    return replace(prepared, protocol=run.protocol)


def _without_passwords(given: list[str]) -> list[str]:
    from bft_nas.record.storage import without_password

    return [without_password(argument) if "://" in argument else argument for argument in given]


def _engine(options: argparse.Namespace, prepared: Prepared, clock: Clock) -> Callable[[Run], Engine]:
    """What trains a run's candidates; whatever is wrong with the options is said before there is a run."""
    images, protocol = prepared.images, prepared.protocol
    if options.engine == "ray":
        from bft_nas.engines.ray_tune import connect, ray_engine

        share = connect(
            options.ray_address,
            workers=options.workers,
            cpus=options.cpus_per_trial,
            gpus=options.gpus_per_trial,
        )
        clock.workers = share.workers
        return lambda run: ray_engine(
            images,
            protocol,
            share=share,
            storage=options.ray_storage or str((run.folder / ".ray").absolute()),
            retries=options.retries,
            timeout=options.trial_timeout,
        )
    for name in ("ray_address", "ray_storage", "cpus_per_trial", "gpus_per_trial"):
        if getattr(options, name) is not None:
            raise UserError(f"--{name.replace('_', '-')}: needs --engine ray")
    from bft_nas.engines import default_workers, local_engine

    clock.workers = options.workers or default_workers()
    engine = local_engine(
        images, protocol, workers=clock.workers, retries=options.retries, timeout=options.trial_timeout
    )
    return lambda run: engine


def _searched(run: Run, prepared: Prepared, engine: Engine, clock: Clock, *, compared: bool) -> int:
    from bft_nas.cli import tables

    console = tables.make_console()
    tables.print_facts(console, tables.plan_facts(prepared, run))
    console.print()
    clock.preparing = clock.whole

    def train() -> None:
        _run_search(console, run, prepared.settings, engine, clock)
        if not compared or run.results().empty:
            return
        console.print()
        if run.members.leave_unless_last():
            _run_comparison(console, run, engine, clock)
        else:
            console.print("others are still at work on the run: the last one trains the references")

    return _to_the_end(console, run, clock, train, "search --resume")


def compare_command(options: argparse.Namespace, given: list[str]) -> int:
    """``bft-nas compare``: its exit code."""
    from bft_nas.cli import tables
    from bft_nas.record import Run
    from bft_nas.searching.loop import Clock

    clock = Clock()
    run = Run.open(options.run, runs=options.runs)
    with run.members.joined(alone=True):
        prepared = _prepared_for(
            run, replace(run.settings, data=options.data or run.settings.data), kept=True
        )
        clock.preparing = clock.whole
        console = tables.make_console()
        engine = _engine(options, prepared, clock)(run)
        return _to_the_end(
            console, run, clock, lambda: _run_comparison(console, run, engine, clock), "compare"
        )


def _to_the_end(console: Console, run: Run, clock: Clock, train: Callable[[], None], again: str) -> int:
    """Train, then write and print what came of it, even when Ctrl-C or SIGTERM cut it short."""
    from bft_nas.core.memory import keep_freed_memory

    keep_freed_memory()
    listen()
    code = 0
    go_on = printable(f"go on with: bft-nas {again} {shlex.quote(_as_named(run))}")
    try:
        train()
    except KeyboardInterrupt as interrupt:
        if isinstance(interrupt, Interrupt) and interrupt.at_once:
            raise
        code = exit_code(interrupt)
        console.print(f"interrupted; {go_on}")
    except RunError as error:
        code = 1
        print(f"bft-nas: error: {error}; when that is mended, {go_on}", file=sys.stderr)
    except (UserError, BrokenPipeError):
        raise
    except Exception as error:
        code = 1
        print(f"bft-nas: error: {describe(error, run.folder)}; {go_on}", file=sys.stderr)
    problems = _conclude(console, run, clock)
    if problems:
        print(f"bft-nas: error: {'; '.join(problems)}", file=sys.stderr)
    return code or int(bool(problems))


def _run_search(console: Console, run: Run, settings: Settings, engine: Engine, clock: Clock) -> None:
    from bft_nas.cli.progress import show_progress
    from bft_nas.searching.loop import search

    known = run.results()["accuracy"].dropna()
    with show_progress(
        console,
        trials=settings.trials,
        seconds=settings.seconds,
        epochs=run.protocol.epochs,
        best=None if known.empty else float(known.max()),
    ) as watcher:
        search(run, engine, watcher, clock, trials=settings.trials, seconds=settings.seconds)


def _run_comparison(console: Console, run: Run, engine: Engine, clock: Clock) -> None:
    from bft_nas.cli.progress import show_progress
    from bft_nas.searching.references import compare, field_of

    field = field_of(run)
    for name, budget in field.out_of_reach:
        console.print(f"{name}: has no network within {format_macs(budget)}, left out", highlight=False)
    with show_progress(
        console,
        trials=len(field.entrants),
        seconds=None,
        epochs=run.protocol.epochs,
        best=None,
        noun="reference",
    ) as watcher:
        compare(run, field, engine, watcher, clock)


def _as_named(run: Run) -> str:
    """What a command finds the run by: its name, or its folder where that is not under ``runs``."""
    return run.name if run.folder.parent == Path("runs") else str(run.folder)


def _conclude(console: Console, run: Run, clock: Clock) -> list[str]:
    """Write what came of a run, then print it; what of it went wrong, in words, while the rest is there."""
    import time

    from bft_nas.cli import tables
    from bft_nas.dashboard import write_run_report
    from bft_nas.record.pareto import winners

    problems: list[str] = []

    @contextmanager
    def telling(what: str) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except (UserError, RunError) as error:
            problems.append(str(error))
        except Exception as error:
            problems.append(f"{what}: {describe(error, run.folder)}")

    def note_view(view: str, error: Exception) -> None:
        problems.append(left_out(view, error, run.folder))

    started = time.perf_counter()
    with telling("results.csv"):
        run.write_results()
    report = None
    with telling("report"):
        report = write_run_report(run, on_problem=note_view)
    clock.recording += time.perf_counter() - started
    console.print()
    results = run.results()
    with telling("front"):
        tables.print_front(console, run, results)
    with telling("references"):
        tables.print_references(console, run.references(), winners(results, run.settings.budgets))
    tables.print_clock(console, clock)
    if len(results) and results["accuracy"].isna().all():
        reason = results["reason"].value_counts().index[0]
        problems.append(f"no candidate could be trained; most failed as this one: {reason}")
    quoted = shlex.quote(_as_named(run))
    winner = shlex.quote(f"{run.name}-winner")
    console.print()
    if report is not None:
        console.print(f"report   {report}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"look     bft-nas show {quoted}", markup=False, highlight=False)
    console.print(f"export   bft-nas export {quoted} -o {winner}", markup=False, highlight=False)
    console.print(
        f"go on    bft-nas search --resume {quoted} --trials {2 * max(8, len(results))}",
        markup=False,
        highlight=False,
    )
    return problems


def _new_settings(options: argparse.Namespace) -> Settings:
    from bft_nas.record import Settings
    from bft_nas.record.storage import without_password
    from bft_nas.searching.loop import SCHEDULERS
    from bft_nas.searching.proposers import PROPOSERS

    if options.flops is None:
        raise UserError("--flops: missing; expected a budget in MACs such as --flops 50M")
    sampler = options.sampler or "tpe"
    if sampler not in PROPOSERS:
        raise UserError(f"--sampler '{sampler}': unknown; expected {', '.join(PROPOSERS)}")
    scheduler = options.scheduler or "none"
    if scheduler not in SCHEDULERS:
        raise UserError(f"--scheduler '{scheduler}': unknown; expected {', '.join(SCHEDULERS)}")
    if options.eta == 1:
        raise UserError("--eta 1: expected 2 or more, as only the best 1/eta go on")
    seconds = parse_duration(options.time) if options.time else None
    return Settings(
        budgets=tuple(sorted({parse_macs(part) for part in options.flops.split(",")})),
        space=options.space or "mobile",
        resolutions=parse_resolutions(options.resolution) if options.resolution else (),
        classes=options.classes or 0,
        data=options.data or "fashion-mnist",
        images=options.images or 8000,
        max_unreadable=options.max_unreadable,
        epochs=options.epochs or 2,
        batch_size=options.batch_size or 64,
        proxy_divisor=options.proxy_divisor or 0,
        sampler=sampler,
        seed=options.seed or 0,
        trials=options.trials or (20 if seconds is None else None),
        seconds=seconds,
        scheduler=scheduler,
        eta=options.eta or 3,
        min_epochs=options.min_epochs or 1,
        storage=without_password(options.storage) if options.storage else "",
        # Many runs may share a database, and two of a name may come from two folders.
        study=f"bft-nas-{secrets.token_hex(6)}" if options.storage else "search",
    )


def _resumed_settings(options: argparse.Namespace, run: Run) -> Settings:
    """The run's own settings, with what may change on the way: how long it continues, and the protocol's check."""
    kept = (
        "flops",
        "space",
        "sampler",
        "seed",
        "name",
        "resolution",
        "classes",
        "scheduler",
        "eta",
        "min_epochs",
    )
    for name in kept:
        if getattr(options, name) is not None:
            raise UserError(
                f"--{name.replace('_', '-')}: a resumed run keeps its own; expected --resume without it"
            )
    settings = run.settings
    seconds = parse_duration(options.time) if options.time else None
    return replace(
        settings,
        data=options.data or settings.data,
        images=options.images or settings.images,
        max_unreadable=settings.max_unreadable if options.max_unreadable is None else options.max_unreadable,
        epochs=options.epochs or settings.epochs,
        batch_size=options.batch_size or settings.batch_size,
        proxy_divisor=options.proxy_divisor or settings.proxy_divisor,
        trials=options.trials or (settings.trials if seconds is None else None),
        seconds=seconds if options.trials or seconds else settings.seconds,
    )
