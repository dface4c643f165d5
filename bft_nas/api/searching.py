"""`bft_nas.search`, and what more is trained for a run: each in one call."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bft_nas.api.progress import Silent, show_progress
from bft_nas.api.run import Run, open_run
from bft_nas.core.options import naming_keywords

if TYPE_CHECKING:
    from bft_nas.api.work import Say, Show
    from bft_nas.record.fidelity import Fidelity
    from bft_nas.searching.loop import Watcher


@naming_keywords
def search(
    flops: str | float | Sequence[str | float] | None = None,
    *,
    latency: str | float | None = None,
    latency_runtime: str | None = None,
    space: str | Path | None = None,
    fusion: str | None = None,
    data: str | Path | None = None,
    trials: int | None = None,
    time: str | float | None = None,
    seed: int | None = None,
    sampler: str | None = None,
    resolution: str | int | Sequence[int] | None = None,
    classes: int | None = None,
    epochs: int | None = None,
    scheduler: str | None = None,
    eta: int | None = None,
    min_epochs: int | None = None,
    images: int | None = None,
    max_unreadable: int | None = None,
    batch_size: int | None = None,
    proxy_divisor: int | None = None,
    confirm_divisor: int | None = None,
    storage: str | None = None,
    references: bool | Literal["all"] | None = None,
    confirm: bool | None = None,
    timing: bool | None = None,
    workers: int | None = None,
    retries: int | None = None,
    trial_timeout: str | float | None = None,
    engine: str | None = None,
    ray_address: str | None = None,
    ray_storage: str | None = None,
    cpus_per_trial: float | None = None,
    gpus_per_trial: float | None = None,
    name: str | None = None,
    resume: str | Path | None = None,
    join: str | Path | None = None,
    runs: str | Path | None = None,
    progress: bool | Watcher = True,
) -> Run:
    """Search networks within a budget, as ``bft-nas search`` does, and return the run.

    The keywords are the command's options with underscores for dashes (docs/options.md has the table); what is not
    given has the default of the command. The run's directory has the results and the report when the call ends, also
    when it ends by an error or by Ctrl-C; ``search(resume=NAME)`` continues it.

    Args:
        progress: True shows it in a terminal or a notebook, False is silent; a `bft_nas.searching.loop.Watcher` of
            your own is notified instead.

    Raises:
        UserError: a mistake in what was given; nothing was written.
        RunError: something in the way, such as a full disk; what was finished is kept.

    >>> run = search(flops="50M", trials=40)  # doctest: +SKIP
    >>> run.winner()["accuracy"]  # doctest: +SKIP
    """
    given = {name: value for name, value in locals().items() if value is not None and name != "progress"}
    from bft_nas.api.opening import open_work

    show, say = _shown(progress)
    with open_work(given, say=say) as work:
        run = work.run
        say(f"run {run.folder}")
        try:
            work.search(show)
            work.conclude(show, say)
        except BaseException:
            # What is there counts, and the error is the first one.
            with suppress(Exception):
                _write(run)
            raise
        _write(run)
    return run


def compare(run: Run | str | Path, *, progress: bool | Watcher = True, **given: Any) -> None:
    """Train the references under a run's protocol, as ``bft-nas compare`` does; `Run.references` has them then.

    Args:
        run: to be compared; or its name or folder, as `bft_nas.open_run` has them.
        progress: see `search`.
        given: options of the engine, as `search` has them, and ``data`` with where the run's data are now.

    Raises:
        UserError: a mistake in what was given, or another process is at work on the run.

    >>> compare("mobile-50M", workers=4)  # doctest: +SKIP
    """
    from bft_nas.api.opening import open_finished

    run, (show, say) = _opened(run), _shown(progress)
    with open_finished(run, given) as work:
        work.compare(show, say)
        _write(run)


def fidelity(
    run: Run | str | Path, *, train: int | None = None, progress: bool | Watcher = True, **given: Any
) -> Fidelity:
    """Whether a run's proxy trainings can be trusted, as ``bft-nas fidelity`` says it.

    Args:
        run: with what is recorded of it; or its name or folder, as `bft_nas.open_run` has them.
        train: so many candidates of all ranks as the confirmation does before; a dozen will do.
        progress: see `search`.
        given: see `compare`.

    Raises:
        UserError: a mistake in what was given, another process is at work on the run, or it has too few candidates.

    >>> fidelity("mobile-50M", train=12).tau  # doctest: +SKIP
    """
    from bft_nas.api.opening import open_finished
    from bft_nas.record.fidelity import fidelity_of

    run = _opened(run)
    if train is not None:
        show, say = _shown(progress)
        with open_finished(run, given) as work:
            work.sample(show, say, train)
            _write(run)
    return fidelity_of(run)


def _opened(run: Run | str | Path) -> Run:
    return open_run(run) if isinstance(run, str | Path) else run


def _write(run: Run) -> None:
    run.write_results()
    run.report()


def _shown(progress: bool | Watcher) -> tuple[Show, Say]:
    """What shows progress, and what says a line."""
    if not isinstance(progress, bool):
        return lambda **limits: nullcontext(progress), lambda text: None
    if not progress:
        return lambda **limits: nullcontext(Silent()), lambda text: None
    from rich.console import Console

    from bft_nas.core.errors import printable

    console = Console(markup=False, emoji=False, highlight=False)
    return partial(show_progress, console), lambda text: console.print(printable(text), soft_wrap=True)
