"""How a search's progress is shown: a live display in a terminal or a notebook, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from bft_nas.core.errors import printable
from bft_nas.core.units import format_duration, format_macs, format_percent
from bft_nas.record import Candidate

if TYPE_CHECKING:
    from bft_nas.training.curve import Epoch

CANDIDATE = "candidate"
"""What has a number that commands and tables call it by; anything else that is trained is told by its place."""


@dataclass
class _Active:
    """A training under way."""

    position: int
    part: float = 0.0
    epoch: int = 0
    accuracy: float | None = None


class _State:
    """What both displays know: what is being trained, the best so far, and how long the rest will take."""

    def __init__(
        self,
        noun: str,
        trials: int | None,
        seconds: float | None,
        epochs: int,
        best: float | None,
        then: str,
        at_most: bool,
    ) -> None:
        self.noun = noun
        self.then = f", then {then}" if then else ""
        self.trials = trials
        self.at_most = "at most " if at_most else ""
        self.seconds = seconds
        self.epochs = epochs
        self.best = best
        self.started = time.monotonic()
        self.first: int | None = None
        self.ended = 0
        self.active: dict[int, _Active] = {}

    def begin(self, candidate: Candidate, position: int) -> None:
        self.first = position if self.first is None else self.first
        self.active[candidate.number] = _Active(position)

    def epoch(self, candidate: Candidate, row: Epoch) -> None:
        active = self.active[candidate.number]
        active.epoch, active.accuracy, active.part = row.epoch, row.accuracy, row.epoch / self.epochs

    def end(self, candidate: Candidate, accuracy: float | None) -> None:
        self.ended += 1
        del self.active[candidate.number]
        if accuracy is not None and (self.best is None or accuracy > self.best):
            self.best = accuracy

    def position(self, candidate: Candidate) -> str:
        place = self.active[candidate.number].position + 1
        if self.noun != CANDIDATE:
            of = f" of {self.at_most}" if self.at_most else "/"
            return f"{self.noun} {place}" + (f"{of}{self.trials}" if self.trials is not None else "")
        return f"{CANDIDATE} {candidate.number}" + (
            f" ({place} of {self.trials})" if self.trials is not None else ""
        )

    @property
    def done(self) -> float:
        """How many are done in all, parts of those under way included."""
        return (self.first or 0) + self.ended + sum(active.part for active in self.active.values())

    @property
    def left(self) -> str:
        """Time left, from the pace so far: of the candidates to come, or until the time is up."""
        elapsed = time.monotonic() - self.started
        lefts = []
        pace = self.done - (self.first or 0)
        if self.trials is not None and pace > 0:
            lefts.append(elapsed / pace * (self.trials - self.done))
        if self.seconds is not None:
            lefts.append(self.seconds - elapsed)
        if not lefts:
            return f"time left unknown{self.then}"
        return f"{self.at_most}{format_duration(max(0.0, min(lefts)))} left{self.then}"


class Silent:
    """Shows nothing."""

    def begin(self, candidate: Candidate, position: int) -> None:
        """See `bft_nas.searching.loop.Watcher`."""

    def step(self, candidate: Candidate, done: int, total: int) -> None:
        """See `bft_nas.searching.loop.Watcher`."""

    def epoch(self, candidate: Candidate, row: Epoch) -> None:
        """See `bft_nas.searching.loop.Watcher`."""

    def lost(self, candidate: Candidate, reason: str) -> None:
        """See `bft_nas.searching.loop.Watcher`."""

    def end(self, candidate: Candidate, accuracy: float | None, reason: str, seconds: float) -> None:
        """See `bft_nas.searching.loop.Watcher`."""

    def advise(self, text: str) -> None:
        """See `bft_nas.searching.loop.Watcher`."""


class PlainProgress:
    """One line for each epoch and one for each outcome."""

    def __init__(self, console: Console, state: _State) -> None:
        self.console = console
        self.state = state

    def begin(self, candidate: Candidate, position: int) -> None:
        """See `bft_nas.searching.loop.Watcher`."""
        self.state.begin(candidate, position)

    def step(self, candidate: Candidate, done: int, total: int) -> None:
        """See `bft_nas.searching.loop.Watcher`."""
        self.state.active[candidate.number].part = done / total

    def epoch(self, candidate: Candidate, row: Epoch) -> None:
        """See `bft_nas.searching.loop.Watcher`."""
        state = self.state
        state.epoch(candidate, row)
        best = f", best so far {format_percent(state.best)}" if state.best is not None else ""
        self._line(
            f"{state.position(candidate)}: {in_short(candidate)}, epoch {row.epoch}/{state.epochs}, "
            f"{format_percent(row.accuracy)}{best}, {state.left}"
        )

    def lost(self, candidate: Candidate, reason: str) -> None:
        """See `bft_nas.searching.loop.Watcher`."""
        self._line(f"{self.state.position(candidate)}: {reason}")

    def end(self, candidate: Candidate, accuracy: float | None, reason: str, seconds: float) -> None:
        """See `bft_nas.searching.loop.Watcher`."""
        self._line(f"{self.state.position(candidate)}: {outcome(candidate, accuracy, reason, seconds)}")
        self.state.end(candidate, accuracy)

    def advise(self, text: str) -> None:
        """See `bft_nas.searching.loop.Watcher`."""
        self._line(text)

    def _line(self, text: str) -> None:
        self.console.print(printable(text), highlight=False, markup=False, emoji=False, soft_wrap=True)


class LiveProgress:
    """Bars that stay at the bottom, one for all candidates and one for each under way, and a line an outcome."""

    def __init__(self, progress: Progress, state: _State) -> None:
        self.progress = progress
        self.state = state
        total = float(state.trials) if state.trials is not None else None
        self.all = progress.add_task("search", total=total, text="")
        self.bars: dict[int, TaskID] = {}

    def begin(self, candidate: Candidate, position: int) -> None:
        """See `bft_nas.searching.loop.Watcher`."""
        self.state.begin(candidate, position)
        self.bars[candidate.number] = self.progress.add_task(self.state.noun, total=1.0, text="")
        self._show(candidate)

    def step(self, candidate: Candidate, done: int, total: int) -> None:
        """See `bft_nas.searching.loop.Watcher`."""
        self.state.active[candidate.number].part = done / total
        self._show(candidate)

    def epoch(self, candidate: Candidate, row: Epoch) -> None:
        """See `bft_nas.searching.loop.Watcher`."""
        self.state.epoch(candidate, row)
        self._show(candidate)

    def lost(self, candidate: Candidate, reason: str) -> None:
        """See `bft_nas.searching.loop.Watcher`."""
        self._line(candidate, reason)

    def end(self, candidate: Candidate, accuracy: float | None, reason: str, seconds: float) -> None:
        """See `bft_nas.searching.loop.Watcher`."""
        self._line(candidate, outcome(candidate, accuracy, reason, seconds))
        self.progress.remove_task(self.bars.pop(candidate.number))
        self.state.end(candidate, accuracy)
        self._show_all(f"{round(self.state.done)} done")

    def advise(self, text: str) -> None:
        """See `bft_nas.searching.loop.Watcher`."""
        self.progress.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _line(self, candidate: Candidate, text: str) -> None:
        self.progress.console.print(f"{candidate.number:>4}  ", end="", style="dim", highlight=False)
        self.progress.console.print(
            printable(text), highlight=False, markup=False, emoji=False, soft_wrap=True
        )

    def _show(self, candidate: Candidate) -> None:
        state = self.state
        active = state.active[candidate.number]
        epoch = min(state.epochs, active.epoch + 1)
        now = f", {format_percent(active.accuracy)}" if active.accuracy is not None else ""
        self.progress.update(
            self.bars[candidate.number],
            completed=active.part,
            text=f"{in_short(candidate)}, epoch {epoch}/{state.epochs}{now}",
        )
        self._show_all(state.position(candidate))

    def _show_all(self, position: str) -> None:
        state = self.state
        best = f"best {format_percent(state.best)}, " if state.best is not None else ""
        self.progress.update(self.all, completed=state.done, text=f"{position}, {best}{state.left}")


@contextmanager
def show_progress(
    console: Console,
    *,
    trials: int | None,
    seconds: float | None,
    epochs: int,
    best: float | None,
    noun: str = CANDIDATE,
    then: str = "",
    at_most: bool = False,
) -> Iterator[PlainProgress | LiveProgress]:
    """The display that suits the console, for as long as a search or a comparison runs.

    Args:
        trials: candidates planned in all, None without such a limit.
        seconds: when the search ends at the latest, None without such a limit.
        epochs: of each training.
        best: highest accuracy known before, None without one.
        noun: what is trained.
        then: what the time left does not count, as it comes after all that is trained here.
        at_most: whether it may end with fewer.
    """
    state = _State(noun, trials, seconds, epochs, best, then, at_most)
    # Rich draws in a notebook by its widgets, where they are installed.
    live = console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None)
    if not live:
        yield PlainProgress(console, state)
        return
    columns = (BarColumn(bar_width=24), TextColumn("{task.fields[text]}", markup=False))
    with Progress(*columns, console=console, transient=True, refresh_per_second=4) as progress:
        yield LiveProgress(progress, state)


def in_short(candidate: Candidate) -> str:
    """A candidate's network in a few words."""
    net = candidate.architecture
    label = f"{candidate.label}: " if candidate.label else ""
    return f"{label}{net.family} {format_macs(candidate.macs)} @{net.resolution}"


def outcome(candidate: Candidate, accuracy: float | None, reason: str, seconds: float) -> str:
    """One finished candidate in a line."""
    net = candidate.architecture
    failed = reason if reason.startswith("stopped") else f"failed: {reason}"
    result = format_percent(accuracy) if accuracy is not None else failed
    return f"{result:>6}  {in_short(candidate):<28} {net.fusion_pattern}  ({format_duration(seconds)})"
