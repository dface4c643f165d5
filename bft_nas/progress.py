"""How a search's progress is shown: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from bft_nas.run import Candidate
from bft_nas.units import format_duration, format_macs, format_percent

if TYPE_CHECKING:
    from bft_nas.checkpoint import Epoch


class _State:
    """What both displays know: best so far, and how long the rest will take."""

    def __init__(
        self, noun: str, trials: int | None, seconds: float | None, epochs: int, best: float | None
    ) -> None:
        self.noun = noun
        self.trials = trials
        self.seconds = seconds
        self.epochs = epochs
        self.best = best
        self.started = time.monotonic()
        self.first_done: int | None = None
        self.done = 0
        self.candidate: Candidate | None = None
        self.part = 0.0
        self.accuracy: float | None = None
        self.epoch = 0

    def begin(self, candidate: Candidate, done: int) -> None:
        if self.first_done is None:
            self.first_done = done
        self.candidate, self.done = candidate, done
        self.part, self.accuracy, self.epoch = 0.0, None, 0

    def end(self, accuracy: float | None) -> None:
        self.done += 1
        self.part = 0.0
        if accuracy is not None and (self.best is None or accuracy > self.best):
            self.best = accuracy

    @property
    def position(self) -> str:
        of = f"/{self.trials}" if self.trials is not None else ""
        return f"{self.noun} {self.done + 1}{of}"

    @property
    def what(self) -> str:
        assert self.candidate is not None
        net = self.candidate.architecture
        return f"{net.family} {format_macs(self.candidate.macs)} @{net.resolution}"

    @property
    def left(self) -> str:
        """Time left, from the pace so far: of the candidates to come, or until the time is up."""
        elapsed = time.monotonic() - self.started
        lefts = []
        pace = self.done - (self.first_done or 0) + self.part
        if self.trials is not None and pace > 0:
            lefts.append(elapsed / pace * (self.trials - self.done - self.part))
        if self.seconds is not None:
            lefts.append(self.seconds - elapsed)
        return f"{format_duration(max(0.0, min(lefts)))} left" if lefts else "time left unknown"


class PlainProgress:
    """One line for each epoch and one for each outcome."""

    def __init__(self, console: Console, state: _State) -> None:
        self.console = console
        self.state = state

    def begin(self, candidate: Candidate, done: int) -> None:
        """See `bft_nas.search.Watcher`."""
        self.state.begin(candidate, done)

    def step(self, done: int, total: int) -> None:
        """See `bft_nas.search.Watcher`."""
        self.state.part = done / total

    def epoch(self, row: Epoch) -> None:
        """See `bft_nas.search.Watcher`."""
        state = self.state
        best = f", best so far {format_percent(state.best)}" if state.best is not None else ""
        self._line(
            f"{state.position}: {state.what}, epoch {row.epoch}/{state.epochs}, {format_percent(row.accuracy)}"
            f"{best}, {state.left}"
        )

    def end(self, candidate: Candidate, accuracy: float | None, reason: str, seconds: float) -> None:
        """See `bft_nas.search.Watcher`."""
        self._line(f"{self.state.position}: {outcome(candidate, accuracy, reason, seconds)}")
        self.state.end(accuracy)

    def _line(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


class LiveProgress:
    """Two bars that stay at the bottom, all candidates and the current one, and a line for each outcome."""

    def __init__(self, progress: Progress, state: _State) -> None:
        self.progress = progress
        self.state = state
        total = float(state.trials) if state.trials is not None else None
        self.all = progress.add_task("search", total=total, text="")
        self.current = progress.add_task(state.noun, total=1.0, text="")

    def begin(self, candidate: Candidate, done: int) -> None:
        """See `bft_nas.search.Watcher`."""
        self.state.begin(candidate, done)
        self._show()

    def step(self, done: int, total: int) -> None:
        """See `bft_nas.search.Watcher`."""
        self.state.part = done / total
        self._show()

    def epoch(self, row: Epoch) -> None:
        """See `bft_nas.search.Watcher`."""
        self.state.epoch, self.state.accuracy = row.epoch, row.accuracy
        self._show()

    def end(self, candidate: Candidate, accuracy: float | None, reason: str, seconds: float) -> None:
        """See `bft_nas.search.Watcher`."""
        line = f"[dim]{candidate.number:>4}[/]  {outcome(candidate, accuracy, reason, seconds)}"
        self.progress.console.print(line, highlight=False, soft_wrap=True)
        self.state.end(accuracy)
        self._show()

    def _show(self) -> None:
        state = self.state
        epoch = min(state.epochs, state.epoch + 1)
        now = f", {format_percent(state.accuracy)}" if state.accuracy is not None else ""
        best = f"best {format_percent(state.best)}, " if state.best is not None else ""
        self.progress.update(
            self.current,
            completed=state.part,
            text=f"{state.what}, epoch {epoch}/{state.epochs}{now}",
        )
        done = state.done + state.part
        self.progress.update(self.all, completed=done, text=f"{state.position}, {best}{state.left}")


@contextmanager
def show_progress(
    console: Console,
    *,
    trials: int | None,
    seconds: float | None,
    epochs: int,
    best: float | None,
    noun: str = "candidate",
) -> Iterator[PlainProgress | LiveProgress]:
    """The display that suits the console, for as long as a search or a comparison runs.

    Args:
        trials: candidates planned in all, None without such a limit.
        seconds: when the search ends at the latest, None without such a limit.
        epochs: of each training.
        best: highest accuracy known before, None without one.
        noun: what is trained.
    """
    state = _State(noun, trials, seconds, epochs, best)
    if not console.is_terminal:
        yield PlainProgress(console, state)
        return
    columns = (BarColumn(bar_width=24), TextColumn("{task.fields[text]}", markup=False))
    with Progress(*columns, console=console, transient=True, refresh_per_second=4) as progress:
        yield LiveProgress(progress, state)


def outcome(candidate: Candidate, accuracy: float | None, reason: str, seconds: float) -> str:
    """One finished candidate in a line."""
    net = candidate.architecture
    result = format_percent(accuracy) if accuracy is not None else f"failed: {reason}"
    what = f"{net.family} {format_macs(candidate.macs)} @{net.resolution}"
    return f"{result:>6}  {what:<28} {net.fusion_pattern}  ({format_duration(seconds)})"
