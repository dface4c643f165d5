"""How the commands that train end: what came of it is written and printed, whatever cut it short."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from bft_nas.cli.unforeseen import describe, left_out
from bft_nas.core.errors import RunError, UserError, printable
from bft_nas.core.interrupts import Interrupt, exit_code, listen

if TYPE_CHECKING:
    from rich.console import Console

    from bft_nas.api.work import Show
    from bft_nas.record import Run
    from bft_nas.searching.loop import Clock


def show_on(console: Console) -> Show:
    """What shows progress on a console."""
    from bft_nas.api.progress import show_progress

    return partial(show_progress, console)


def to_the_end(
    console: Console, run: Run, clock: Clock, train: Callable[[], None], again: str, flags: Sequence[str] = ()
) -> int:
    """Train, then write and print what came of it, even when Ctrl-C or SIGTERM cut it short.

    Args:
        console: where it is printed.
        run: that is trained for.
        clock: where the seconds of ``train`` went.
        train: does it.
        again: the command that goes on with it, before the run's name.
        flags: of the command, after the name.
    """
    from bft_nas.core.memory import keep_freed_memory

    keep_freed_memory()
    listen()
    code = 0
    resume = printable(f"resume with: {' '.join(['bft-nas', again, shlex.quote(run.found_by), *flags])}")
    try:
        train()
    except KeyboardInterrupt as interrupt:
        if isinstance(interrupt, Interrupt) and interrupt.at_once:
            raise
        code = exit_code(interrupt)
        console.print(f"interrupted; {resume}")
    except RunError as error:
        code = 1
        print(f"bft-nas: error: {error}; when that is repaired, {resume}", file=sys.stderr)
    except (UserError, BrokenPipeError):
        raise
    except Exception as error:
        code = 1
        print(f"bft-nas: error: {describe(error, run.folder)}; {resume}", file=sys.stderr)
    problems = _conclude(console, run, clock, flags)
    if problems:
        print(f"bft-nas: error: {'; '.join(problems)}", file=sys.stderr)
    return code or int(bool(problems))


def _conclude(console: Console, run: Run, clock: Clock, flags: Sequence[str]) -> list[str]:
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
    with telling("confirmation"):
        tables.print_confirmation(console, run)
    with telling("butterflies"):
        tables.print_placement(console, run)
    tables.print_clock(console, clock)
    if len(results) and results["accuracy"].isna().all():
        reason = results["reason"].value_counts().index[0]
        problems.append(f"no candidate could be trained; most failed as this one: {reason}")
    console.print()
    if report is not None:
        console.print(f"report   {report}", soft_wrap=True)
    if results["accuracy"].notna().any():
        _print_uses(console, run)
    _print_resume(console, run, len(results), flags)
    return problems


def _print_uses(console: Console, run: Run) -> None:
    """What may be done with a run that has a winner, a command a line."""
    quoted = shlex.quote(run.found_by)
    winner = shlex.quote(f"{run.name}-winner")
    console.print(f"look     bft-nas show {quoted}")
    if run.settings.confirm_divisor > 1 and not run.confirmations().empty:
        console.print(f"surer    bft-nas search --resume {quoted} --confirm-divisor 1")
    console.print(f"train    bft-nas train {quoted}")
    console.print(f"export   bft-nas export {quoted} -o {winner}")


def _print_resume(console: Console, run: Run, candidates: int, flags: Sequence[str]) -> None:
    """How the search of a run that has so many candidates goes on."""
    under_way = candidates < (run.settings.trials or 0)
    more = flags if under_way else ["--trials", str(2 * max(8, candidates)), *flags]
    line = " ".join(["bft-nas search --resume", shlex.quote(run.found_by), *more])
    console.print(f"resume   {line}")
