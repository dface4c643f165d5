"""How the progress of a training to the end is shown: a bar in a terminal, a line an epoch everywhere."""

from __future__ import annotations

import math
import time
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from bft_nas.core.units import format_duration, format_percent
from bft_nas.training.curve import FullCurve

if TYPE_CHECKING:
    from bft_nas.training.protocol import Protocol


class TrainingWatcher(typing.Protocol):
    """Is notified of a training to the end."""

    def begin(self, curve: FullCurve, protocol: Protocol, images: int) -> None:
        """It begins, or goes on after a curve, with so many images an epoch."""

    def step(self, done: int, total: int) -> None:
        """So many of all steps are done."""

    def epoch(self, curve: FullCurve) -> None:
        """An epoch is over."""

    def say(self, text: str) -> None:
        """Something happened, in a line."""


class SilentTraining:
    """Shows nothing."""

    def begin(self, curve: FullCurve, protocol: Protocol, images: int) -> None:
        """See `TrainingWatcher`."""

    def step(self, done: int, total: int) -> None:
        """See `TrainingWatcher`."""

    def epoch(self, curve: FullCurve) -> None:
        """See `TrainingWatcher`."""

    def say(self, text: str) -> None:
        """See `TrainingWatcher`."""


class Lines:
    """A line an epoch and, where there is a bar, how far it has come."""

    def __init__(self, console: Console, bar: Progress | None) -> None:
        self.console = console
        self.bar = bar
        self.task = bar.add_task("training", total=1.0, text="") if bar is not None else None
        self.epochs = self.images = 0
        self.batch = 1
        self.done = 0
        self.left = ""
        self.first: int | None = None
        self.started = self.latest = time.monotonic()

    def begin(self, curve: FullCurve, protocol: Protocol, images: int) -> None:
        """See `TrainingWatcher`."""
        self.epochs, self.batch = protocol.epochs, protocol.batch_size
        # What is left over for no whole batch is not trained on.
        self.images = images // self.batch * self.batch or images
        self.latest, self.first = time.monotonic(), None
        if curve:
            self.say(f"goes on after epoch {len(curve)}/{self.epochs}")

    def step(self, done: int, total: int) -> None:
        """See `TrainingWatcher`."""
        if self.first is None or done <= self.done:
            # What was undone by going back to a checkpoint says nothing of the steps to come.
            self.first, self.started = done - 1, self.latest
        self.done, self.latest = done, time.monotonic()
        elapsed = self.latest - self.started
        pace = (done - self.first) / max(elapsed, 1e-9)
        self.left = f", {format_duration((total - done) / pace)} left"
        if self.bar is not None and self.task is not None:
            text = f"epoch {min(self.epochs, done * self.epochs // total + 1)}/{self.epochs}, "
            text += f"{pace * self.batch:,.0f} images/s{self.left}"
            self.bar.update(self.task, completed=done / total, text=text)

    def epoch(self, curve: FullCurve) -> None:
        """See `TrainingWatcher`."""
        row = curve[-1]
        averaged = "" if math.isnan(row.averaged) else f" (averaged weights {format_percent(row.averaged)})"
        best = max(each.best for each in curve)
        self.say(
            f"epoch {row.epoch}/{self.epochs}: loss {row.train_loss:.3f}, validation {row.loss:.3f}, "
            f"{format_percent(row.accuracy)}{averaged}, best {format_percent(best)}, "
            f"{self.images / row.seconds:,.0f} images/s{self.left}"
        )

    def say(self, text: str) -> None:
        """See `TrainingWatcher`."""
        console = self.bar.console if self.bar is not None else self.console
        console.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True)


@contextmanager
def show_training(console: Console) -> Iterator[TrainingWatcher]:
    """The display that suits the console."""
    if not console.is_terminal:
        yield Lines(console, None)
        return
    columns = (BarColumn(bar_width=24), TextColumn("{task.fields[text]}", markup=False))
    with Progress(*columns, console=console, transient=True, refresh_per_second=4) as progress:
        yield Lines(console, progress)


@contextmanager
def shown(progress: bool | TrainingWatcher) -> Iterator[TrainingWatcher]:
    """What is asked for: a display, none, or a watcher of the caller's own."""
    if not isinstance(progress, bool):
        yield progress
    elif not progress:
        yield SilentTraining()
    else:
        with show_training(Console(markup=False, emoji=False, highlight=False)) as watcher:
            yield watcher
