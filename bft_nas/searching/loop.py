"""The search itself: propose, cost, train, record."""

from __future__ import annotations

import hashlib
import re
import time
import typing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

import bft_nas.training.loop
from bft_nas.core.errors import RunError, UserError, setting
from bft_nas.core.units import LEAST_SIDE
from bft_nas.data.dataset import anchored, deployment_classes, load_dataset
from bft_nas.data.images import Images
from bft_nas.record import Candidate, Run, RunStatus, Settings
from bft_nas.record.candidate import TRACEBACK, WEIGHTS
from bft_nas.searching.halving import Halving
from bft_nas.searching.jobs import Engine, Job, Outcome, Reporting
from bft_nas.searching.latency_limit import LatencyLimit, descend
from bft_nas.searching.named import NAMES
from bft_nas.searching.proposers import PROPOSERS, NothingFits, Proposer
from bft_nas.space.space import SearchSpace
from bft_nas.training.checkpoint import damage_of
from bft_nas.training.confirmation import nearer_divisor
from bft_nas.training.curve import CHECKPOINT
from bft_nas.training.protocol import Protocol, default_divisor
from bft_nas.training.recipe import Precision, Recipe

if TYPE_CHECKING:
    from bft_nas.training.curve import Curve, Epoch

REPEATS_IN_A_ROW = 200
"""After so many proposals that were all evaluated before, the space is taken to be exhausted."""
ALIKE_IN_A_ROW = 5
"""After so many candidates in a row that failed alike, and not by their loss, the next one will too."""


class Watcher(typing.Protocol):
    """What is notified of a search's progress; see `bft_nas.api.progress`."""

    def begin(self, candidate: Candidate, position: int) -> None:
        """A candidate's training begins, after ``position`` others that are done or under way."""

    def step(self, candidate: Candidate, done: int, total: int) -> None:
        """So many of a training's steps are done."""

    def epoch(self, candidate: Candidate, row: Epoch) -> None:
        """An epoch of the training is over."""

    def lost(self, candidate: Candidate, reason: str) -> None:
        """A worker died over the candidate, which is trained on from its last epoch."""

    def end(self, candidate: Candidate, accuracy: float | None, reason: str, seconds: float) -> None:
        """The candidate is recorded: with its accuracy, or with the reason why it has none."""

    def advise(self, text: str) -> None:
        """What may help, of no candidate alone."""


@dataclass
class Clock:
    """Where the seconds of a search went, from the reading of its data on."""

    preparing: float = 0.0
    proposing: float = 0.0
    training: float = 0.0
    """Under the proxy protocol."""
    confirming: float = 0.0
    recording: float = 0.0
    timing: float = 0.0
    """Of networks, at the end."""
    workers: int = 1
    """Trainings at once, whose seconds add up."""
    started: float = field(default_factory=time.perf_counter)
    _before: dict[int, float] = field(default_factory=dict)
    """Seconds of the epochs that a training had when it went on in this process, by its number."""

    def epoch(self, number: int, curve: Curve) -> None:
        """A training has come as far as a curve."""
        self._before.setdefault(number, sum(row.seconds for row in curve[:-1]))

    def spent(self, number: int, outcome: Outcome) -> float:
        """The seconds in this process of a training that is over."""
        before = self._before.pop(number, 0.0)
        return outcome.seconds if outcome.reason else max(0.0, outcome.seconds - before)

    @property
    def whole(self) -> float:
        """Seconds since the search began."""
        return time.perf_counter() - self.started


@dataclass(frozen=True)
class Prepared:
    """All that a search needs, checked before anything is written."""

    settings: Settings
    space: SearchSpace
    dropped: tuple[str, ...]
    """Families of the space that cannot stay within the smallest budget."""
    protocol: Protocol
    images: Images


def check_names(settings: Settings) -> None:
    """UserError for a sampler or a scheduler that there is not, or an eta that stops nobody."""
    for name, known in NAMES.items():
        value = getattr(settings, name)
        if value not in known:
            raise UserError(f"{setting(name)} '{value}': unknown; expected {', '.join(known)}")
    if settings.eta == 1:
        raise UserError(f"{setting('eta')} 1: expected 2 or more, as only the best 1/eta are trained on")


def prepare(settings: Settings, space: SearchSpace, recipe: Recipe | None = None) -> Prepared:
    """Load the data and check that budgets, classes and space go together.

    ``classes`` of 0 in the settings stands for `bft_nas.data.dataset.deployment_classes`,
    ``proxy_divisor`` of 0 for `bft_nas.training.protocol.default_divisor`, ``confirm_divisor`` of 0 for
    `bft_nas.training.confirmation.nearer_divisor`, and one above that of the proxy for that. A resumed run keeps its
    recipe, whatever today's is; the precision is the device's.

    Raises:
        UserError: data that cannot be used, too few classes, pixels or images, or an infeasible budget.
    """
    import torch

    if settings.batch_size < 2:
        raise UserError(
            f"{setting('batch_size')} {settings.batch_size}: a single image has no spread for batch norm; "
            f"expected 2 or more"
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    divisor = settings.proxy_divisor or default_divisor(space.resolutions)
    nearer = settings.confirm_divisor or nearer_divisor(divisor, max(settings.budgets))
    for name, each in (("proxy_divisor", divisor), ("confirm_divisor", nearer)):
        if min(space.resolutions) < LEAST_SIDE * each:
            raise UserError(
                f"{setting(name)} {each}: leaves {min(space.resolutions) / each:.2g} of "
                f"{min(space.resolutions)} pixels; expected at most {min(space.resolutions) // LEAST_SIDE}"
            )
    largest = round(max(space.resolutions) / divisor)
    dataset = load_dataset(
        settings.data, size=largest, images=settings.images, max_unreadable=settings.max_unreadable
    )
    if len(dataset.train.labels) < 2:
        raise UserError(
            f"{setting('data')} '{settings.data}': {len(dataset.train.labels)} image to train on has no spread "
            f"for batch norm; expected 2 or more"
        )
    own = len(dataset.classes)
    classes = settings.classes or deployment_classes(settings.data, own, side=max(space.resolutions))
    if classes < own:
        raise UserError(f"{setting('classes')} {classes}: the data has {own} classes; expected {own} or more")
    space = replace(space, classes=classes)
    within = space.within(min(settings.budgets))
    dropped = tuple(f.name for f in space.families if f not in within.families)
    protocol = Protocol.of(dataset, divisor, epochs=settings.epochs, batch_size=settings.batch_size)
    precision: Precision = "bfloat16" if device.type == "cuda" else "float32"
    protocol = replace(protocol, recipe=replace(recipe or protocol.recipe, precision=precision))
    settings = replace(
        settings,
        data=anchored(settings.data),
        classes=classes,
        proxy_divisor=divisor,
        # Whatever is asked for: a winner is not proved on images smaller than those it was found on.
        confirm_divisor=min(nearer, divisor),
        resolutions=tuple(space.resolutions),
    )
    return Prepared(settings, within, dropped, protocol, Images(dataset, device))


def check_protocol(run: Run, protocol: Protocol) -> None:
    """UserError naming what differs when a run's accuracies would not compare with those of a protocol.

    The name of the data does not count: the digest tells whether they are the same.
    """
    if run.protocol_hash in {protocol.hash, replace(protocol, data=run.data_name).hash}:
        return
    then, now = run.protocol.flat(), protocol.flat()
    differing = [f"{k} {then[k]} there, {now[k]} here" for k in then if then[k] != now[k]]
    raise UserError(
        f"run '{run.name}': searched under protocol {run.protocol_hash}, this would be {protocol.hash}"
        f" ({'; '.join(differing)}); expected the same protocol, or a new run"
    )


def search(
    run: Run,
    engine: Engine,
    watcher: Watcher,
    clock: Clock,
    *,
    trials: int | None,
    seconds: float | None,
    limit: LatencyLimit | None = None,
) -> None:
    """Propose, train and record candidates until the run has ``trials`` of them or ``seconds`` have passed.

    A candidate that was being trained when another search of the run was killed is trained first, from its last
    epoch and under its own number. Several processes that have joined a run share its proposals and its limits. The
    i-th proposal depends only on the seed and on what is recorded, so that a search which trains one candidate at a
    time proposes the same whether or not it was killed and resumed. ``clock`` is kept up to date throughout, for
    whoever interrupts. Under a ``limit`` no network is trained that is predicted to be slower.

    Raises:
        RunError: `ALIKE_IN_A_ROW` candidates in a row failed alike, or something cannot be written.
    """
    engine(_Search(run, watcher, clock, trials, seconds, limit))


class _Search(Reporting):
    """Drives an engine: what is proposed next, and the record of what came of it."""

    def __init__(
        self,
        run: Run,
        watcher: Watcher,
        clock: Clock,
        trials: int | None,
        seconds: float | None,
        limit: LatencyLimit | None,
    ) -> None:
        self.run = run
        self.watcher = watcher
        self.clock = clock
        self.trials = trials
        self.seconds = seconds
        self.limit = limit
        self.space = run.space.within(min(run.settings.budgets))
        self.proposer = PROPOSERS[run.settings.sampler]()
        self.running: set[int] = set()
        self.trained = 0
        self.exhausted = False
        """Nothing new was found to propose, which was said."""
        self.failed_alike: list[Candidate] = []
        """The last ones in a row, with `kind` in common."""
        self.kind = ""
        settings = run.settings
        self.halving: Halving | None = None
        if settings.scheduler == "halving":
            self.halving = Halving(settings.eta, settings.min_epochs, settings.epochs)

    def next(self) -> Job | None:
        """See `bft_nas.searching.jobs.Driver`."""
        average = self.clock.training / self.trained if self.trained else 0.0
        if self.seconds is not None and self.clock.whole + average > self.seconds:
            return None
        started, ledger = time.perf_counter(), self.run.ledger
        with self.run.members.turn():
            ledger.repair(self.running)
            status = ledger.status(self.running)
            candidate = self._claimed(status)
        self.clock.proposing += time.perf_counter() - started
        if candidate is None:
            return None
        self.running.add(candidate.number)
        self.watcher.begin(candidate, status.ended + status.running)
        job = Job(
            candidate,
            ledger.candidate_file(candidate.number, CHECKPOINT),
            ledger.candidate_file(candidate.number, WEIGHTS),
        )
        damage = damage_of(job.checkpoint)
        if damage:
            job.checkpoint.unlink()
            self.watcher.lost(candidate, f"{job.checkpoint}: {damage}, so its training restarts from scratch")
        return job

    def _claimed(self, status: RunStatus) -> Candidate | None:
        """What is to be trained now, made this process's own."""
        run, history = self.run, self.run.ledger.history
        promoted = None if self.halving is None else self.halving.promoted(history.progress)
        if promoted is not None:
            return run.ledger.claim(promoted, run.architecture(promoted))
        if self.trials is not None and status.ended + status.running >= self.trials:
            return None
        if status.orphans:
            orphan = status.orphans[0]
            return run.ledger.claim(orphan, run.architecture(orphan))
        found = propose_new(run, self.space, self.proposer, self.limit)
        if found is None and not self.exhausted:
            self.exhausted = True
            fast = "" if self.limit is None else " that is fast enough"
            self.watcher.advise(
                f"the space seems to hold no other network{fast}: {status.ended + status.running} were found"
            )
        return found

    def epoch(self, candidate: Candidate, curve: Curve) -> bool:
        """See `bft_nas.searching.jobs.Driver`."""
        if self.halving is not None:
            self.run.ledger.advance(candidate, curve)
        super().epoch(candidate, curve)
        if not self.run.ledger.is_own(candidate):
            return False
        return self.halving is None or self.halving.goes_on(
            candidate.number, self.run.ledger.history.progress
        )

    def end(self, candidate: Candidate, outcome: Outcome) -> None:
        """See `bft_nas.searching.jobs.Driver`."""
        self.clock.training += self.clock.spent(candidate.number, outcome)
        started = time.perf_counter()
        reason = outcome.reason
        if not self.run.ledger.is_own(candidate):
            reason = "taken over by another process"
        elif reason:
            self.run.ledger.fail(candidate, reason, outcome.seconds, outcome.traceback)
        elif len(outcome.curve) < self.run.settings.epochs:
            self.run.ledger.stop(candidate, outcome.curve, outcome.seconds)
            reason = outcome.stop
        else:
            self.run.ledger.finish(candidate, outcome.curve, outcome.seconds)
        self.clock.recording += time.perf_counter() - started
        self.running.discard(candidate.number)
        self.trained += 1
        self.watcher.end(candidate, None if reason else outcome.curve[-1].accuracy, reason, outcome.seconds)
        self._judge_failure(candidate, outcome)

    def _judge_failure(self, candidate: Candidate, outcome: Outcome) -> None:
        """Give advice when candidates run out of memory, and end the search when each fails as the one before."""
        kind = "" if outcome.diverged else _kind_of(outcome.reason)
        if kind != self.kind:
            self.failed_alike.clear()
        self.kind = kind
        if not kind:
            return
        self.failed_alike.append(candidate)
        if len(self.failed_alike) == 2 and kind == bft_nas.training.loop.OUT_OF_MEMORY:
            self.watcher.advise(_on_memory(self.clock.workers, self.run.settings.batch_size))
        if len(self.failed_alike) == ALIKE_IN_A_ROW:
            kept = self.run.ledger.candidate_file(candidate.number, TRACEBACK)
            where = f"; the traceback is in {kept}" if kept.is_file() else ""
            raise RunError(f"the last {ALIKE_IN_A_ROW} candidates failed alike ({outcome.reason}{where})")


def _kind_of(reason: str) -> str:
    """What failures have in common that differ in numbers alone; running out of memory has many words.

    The kernel, or whatever limits a container, says nothing and kills.
    """
    if reason.startswith((bft_nas.training.loop.OUT_OF_MEMORY, "its worker was killed by signal 9")):
        return bft_nas.training.loop.OUT_OF_MEMORY
    return re.sub(r"[0-9]+", "0", reason)


def _on_memory(workers: int, batch_size: int) -> str:
    ways = [f"{setting('workers')} {workers // 2} (now {workers})"] if workers > 1 else []
    if batch_size > 2:
        ways.append(f"a new run with {setting('batch_size')} {batch_size // 2} (now {batch_size})")
    less = " or ".join(ways) or "smaller networks"
    return (
        f"memory is short: two candidates in a row ran out of it or were killed; less is needed with {less}"
    )


def propose_new(
    run: Run, space: SearchSpace, proposer: Proposer, limit: LatencyLimit | None = None
) -> Candidate | None:
    """The next candidate that was not evaluated before; None when the space seems to hold no other.

    Where the proposer finds none below the limit, one is sought among fast networks.
    """
    settings, ledger = run.settings, run.ledger
    for _ in range(REPEATS_IN_A_ROW):
        started, history = datetime.now(), ledger.history
        seed = _seed_of(settings.seed, history.proposed)
        if limit is None:
            proposal = proposer(space, settings.budgets, history, seed)
        else:
            try:
                proposal = proposer(space, settings.budgets, history, seed, limit.fits)
            except NothingFits:
                _, proposal = descend(limit, space, settings.budgets, seed).fastest
                if not limit.fits(proposal.architecture):
                    return None
        earlier = history.by_hash.get(proposal.architecture.hash)
        if earlier is None:
            milliseconds = None if limit is None else limit.predict(proposal.architecture)
            return ledger.propose(proposal, started, milliseconds)
        ledger.repeat(proposal, earlier, started)
    return None


def _seed_of(seed: int, position: int) -> int:
    """A seed of its own for each proposal, so that nothing depends on how often a search was resumed."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{position}".encode()).digest()[:4])
