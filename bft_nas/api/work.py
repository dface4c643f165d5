"""What is trained for a run that is open: its candidates, the references, and what confirms its winner."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from bft_nas.api.request import RunOptions
from bft_nas.api.run import Run
from bft_nas.core.errors import RunError, UserError, one_line, setting
from bft_nas.core.units import format_duration, format_epochs, format_macs
from bft_nas.engines.choice import MakeEngine, WorkersUnder
from bft_nas.record.confirmations import aside
from bft_nas.record.fidelity import LEAST_NETWORKS
from bft_nas.searching import confirmation, loop, references
from bft_nas.searching.confirmation import Confirmations
from bft_nas.searching.confirmation_cost import (
    Cost,
    Forewarning,
    cost_of_contenders,
    expected_cost,
    seconds_of,
)
from bft_nas.searching.contenders import candidate_contender, contenders_of
from bft_nas.searching.jobs import Engine
from bft_nas.searching.latency_limit import LatencyLimit
from bft_nas.searching.sampling import of_all_ranks, sample_round
from bft_nas.searching.wider import confirmation_of, expected_confirmation
from bft_nas.training.confirmation import QUICK, Confirmation

if TYPE_CHECKING:
    from bft_nas.data.images import Images

Say = Callable[[str], None]
"""Takes a line for the user."""
Show = Callable[..., AbstractContextManager[loop.Watcher]]
"""Makes what is notified of progress; its keywords are those of `bft_nas.api.progress.show_progress`."""


@dataclass(frozen=True)
class Work:
    """A run, what trains its candidates, and where the seconds go."""

    run: Run
    prepared: loop.Prepared
    workers: WorkersUnder
    make_engine: MakeEngine
    clock: loop.Clock
    options: RunOptions
    """What is done at the end."""
    limit: LatencyLimit | None = None
    """How fast its networks are to be, where that is predicted."""

    @cached_property
    def engine(self) -> Engine:
        """What trains under the run's own protocol."""
        return self.make_engine(self.prepared.images, self.run.folder, self.prepared.protocol)

    def search(self, show: Show) -> None:
        """Train candidates until the limits are reached; see `bft_nas.searching.loop.search`.

        What the confirmation will take is said as soon as the first trainings tell.
        """
        settings, run = self.prepared.settings, self.run
        known = run.results()["accuracy"].dropna()
        with show(
            trials=settings.trials,
            seconds=settings.seconds,
            epochs=run.protocol.epochs,
            best=None if known.empty else float(known.max()),
            then="the confirmation" if self.options.confirm else "",
        ) as watcher:
            told = Forewarning(watcher, lambda: self.confirmation, known=len(known))
            loop.search(
                run,
                self.engine,
                told,
                self.clock,
                trials=settings.trials,
                seconds=settings.seconds,
                limit=self.limit,
            )

    @property
    def confirmation(self) -> str:
        """What the confirmation costs, in words; empty where none was asked for."""
        if not self.options.confirm:
            return ""
        names = references.asked_names(self.options.references)
        divisor = self.prepared.settings.confirm_divisor
        chosen = expected_confirmation(self.prepared)
        cost = expected_cost(self.run, len(names), chosen)
        text = confirmation_text(self.run, cost, chosen, self.workers(chosen.protocol))
        quick = divisor == 1 and self.prepared.protocol.resolution_divisor > QUICK
        return text + (f" ({setting('confirm_divisor')} {QUICK} has a quick look)" if quick else "")

    def conclude(self, show: Show, say: Say) -> None:
        """What comes after a search: `compare`, `confirm`, `time_front`, unless others are still at work on the run."""
        asked, run = self.options, self.run
        if run.results().empty:
            seconds = self.prepared.settings.seconds
            if seconds is not None and self.clock.whole > seconds:
                say("the time was up before the first candidate was trained")
            return
        if not (asked.references or asked.confirm or asked.timing):
            return
        if not run.members.leave_unless_last():
            parts = {
                "trains the references": asked.references,
                "confirms the winner": asked.confirm,
                "measures the front": asked.timing,
            }
            what = " and ".join(part for part, is_asked in parts.items() if is_asked)
            say(f"others are still at work on the run: the last one {what}")
            return
        names = references.asked_names(asked.references)
        if names:
            self.compare(show, say, (*names, *(n for n in run.references()["name"] if n not in names)))
        if asked.confirm:
            self.confirm(show, say, names)
        if asked.timing:
            started = time.perf_counter()
            time_front(run, say)
            self.clock.timing += time.perf_counter() - started

    def confirm(self, show: Show, say: Say, names: Sequence[str]) -> None:
        """Confirm the winner, and compare it with these references; see `bft_nas.searching.confirmation.confirm`.

        Raises:
            RunError: the data cannot be read as the confirmation needs them.
        """
        run = self.run
        try:
            chosen, images = confirmation_of(self.prepared)
        except UserError as error:
            # Not a mistake of the command any more: what was searched is to be shown.
            raise RunError(f"confirmation: {error}") from error
        entrants = references.field_of(run, names).entrants
        contenders = contenders_of(run, entrants, protocol=chosen.hash)
        known = Confirmations(run, contenders, chosen)
        if not known.missing() or all(contender.racer.reference for contender in contenders):
            known.end()
            return
        cost = cost_of_contenders(contenders, chosen)
        self._confirm(known, images, cost, show, say)

    def sample(self, show: Show, say: Say, count: int) -> None:
        """Train so many candidates of all ranks as a confirmation does; see `bft_nas.searching.sampling`.

        Raises:
            UserError: these are too few to say anything, or there are.
        """
        run = self.run
        if not isinstance(count, int) or count < LEAST_NETWORKS:
            raise UserError(
                f"{setting('train')} {one_line(repr(count))}: expected a whole number of {LEAST_NETWORKS} or more"
            )
        numbers = of_all_ranks(run, count)
        if len(numbers) < LEAST_NETWORKS:
            raise UserError(
                f"run '{run.name}': {len(numbers)} candidates of it are trained to the end; expected "
                f"{LEAST_NETWORKS} or more"
            )
        chosen, images = confirmation_of(self.prepared)
        if (run.confirmations()["protocol"] != chosen.hash).any():
            raise UserError(
                f"run '{run.name}': it was confirmed under another protocol; expected {setting('resume')} first, which "
                "confirms it anew"
            )
        contenders = [candidate_contender(run, number) for number in numbers]
        known = Confirmations(run, contenders, chosen, sample_round, whole=True)
        trainings = known.parts + len(known.missing())
        self._confirm(known, images, Cost(trainings, trainings, trainings), show, say)

    def _confirm(
        self,
        known: Confirmations,
        images: Images,
        cost: Cost,
        show: Show,
        say: Say,
    ) -> None:
        run, chosen = self.run, known.confirmation
        run.keep(confirm_divisor=chosen.protocol.resolution_divisor)
        for protocol in sorted({*run.confirmations()["protocol"]} - {chosen.hash}):
            say(f"what was confirmed under another protocol is kept in {run.folder / aside(protocol)}")
        done = f"; {known.trainings:.0f} of them are known" if known.parts else ""
        text = confirmation_text(run, cost, chosen, self.workers(chosen.protocol))
        say(f"confirmation: {text}, {chosen_text(chosen)}{done}")
        with show(
            trials=cost.parts,
            seconds=None,
            epochs=chosen.epochs,
            best=None,
            noun="confirmation, part",
            at_most=cost.least < cost.most,
        ) as watcher:
            engine = self.make_engine(images, run.folder, chosen.protocol)
            confirmation.confirm(known, engine, watcher, self.clock)

    def compare(self, show: Show, say: Say, names: Sequence[str] | None = None) -> None:
        """Train the references, by default all; see `bft_nas.searching.references.compare`."""
        run = self.run
        compared = references.field_of(run, names if names is None else tuple(dict.fromkeys(names)))
        for name, budget in compared.infeasible:
            say(f"{name}: has no network within {format_macs(budget)}, left out")
        with show(
            trials=len(compared.entrants),
            seconds=None,
            epochs=run.protocol.epochs,
            best=None,
            noun="reference",
        ) as watcher:
            references.compare(run, compared, self.engine, watcher, self.clock)


def time_front(run: Run, say: Say) -> None:
    """Measure the latency of a run's front, within seconds; the run is what it was where that fails."""
    try:
        from bft_nas.latency.front import measure_front

        text = measure_front(run)
    except Exception as error:
        text = f"not measured ({one_line(error)[:200]})"
    if text:
        say(f"latency: {text}")


def confirmation_text(run: Run, cost: Cost, chosen: Confirmation, workers: int) -> str:
    """What a confirmation costs, in words; with its time as soon as trainings tell how long one takes."""
    protocol = chosen.protocol
    each = seconds_of(run, protocol, workers)
    least, most = (format_duration((each or 0.0) * count) for count in (cost.least, cost.most))
    time = "" if each is None else f", about {least} to {most}"
    sides = "/".join(str(protocol.proxy_resolution(side)) for side in run.settings.resolutions)
    same = protocol.resolution_divisor == run.protocol.resolution_divisor
    size = f"{sides} pixels{', as in the proxy trainings' if same else ''}"
    return f"{cost} on images of {size}, seeds {', '.join(map(str, chosen.seeds))}{time}"


def chosen_text(chosen: Confirmation) -> str:
    """What its trainings are, in words."""
    protocol = chosen.protocol
    return f"{format_epochs(protocol.epochs)} of {protocol.train_images} images (protocol {chosen.hash})"
