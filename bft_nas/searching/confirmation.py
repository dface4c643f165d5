"""The confirmation after a search: who may win, and whom they are compared with, trained longer and with several seeds.

References are kept beside the runs for every run of the same protocol, as after the proxy training; candidates in the
run's folder.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bft_nas.core.files import write_text
from bft_nas.core.units import format_percent
from bft_nas.record import Candidate, Run, facts_of
from bft_nas.record.columns import is_missing
from bft_nas.record.confirmations import CONFIRMATION_NAMES
from bft_nas.searching.jobs import Engine, Job, Outcome, Reporting
from bft_nas.searching.promise import gain_of_a_doubling, promise
from bft_nas.searching.racing import Due, Racer, Rule, next_round, promoted_of
from bft_nas.searching.reference_store import ReferenceStore
from bft_nas.searching.references import Entrant
from bft_nas.searching.shortlist import RESERVES, SHORTLIST, Promising, kind_of, reserves, shortlist
from bft_nas.training.confirmation import Confirmation, time_of

if TYPE_CHECKING:
    from bft_nas.searching.loop import Clock, Watcher
    from bft_nas.training.curve import Curve
    from bft_nas.training.protocol import Protocol


@dataclass(frozen=True)
class Contender:
    """A network that is confirmed."""

    racer: Racer
    candidate: Candidate
    """With the number of a candidate; that of a reference says nothing."""
    width: float | None = None
    """Of a reference."""

    @property
    def facts(self) -> dict[str, Any]:
        """What confirmations.csv says of the network, whatever the seed."""
        candidate = self.candidate
        known = facts_of(candidate.architecture, candidate.budget)
        name: dict[str, Any] = {"number": candidate.number}
        if self.width is not None:
            name = {"name": candidate.architecture.family, "width": round(self.width, 3)}
        return {**name, **{key: known[key] for key in CONFIRMATION_NAMES if key in known}}


def contenders_of(
    run: Run, references: Sequence[Entrant] = (), *, protocol: str = ""
) -> tuple[Contender, ...]:
    """Who is to be confirmed of a run: the `shortlist` of each of its budgets, its `reserves`, and these references.

    Whoever was trained under the confirmation ``protocol`` of this hash before takes part too, such as for
    ``bft-nas fidelity``.
    """
    complete = [entry for entry in run.ledger.history.entries if entry.state == "complete"]
    gain = gain_of_a_doubling([entry.accuracies[-1] for entry in complete])
    promising = [
        Promising(
            entry.number,
            str(entry.facts["family"]),
            promise(entry.accuracies[-1], entry.macs, max(run.settings.budgets), gain),
            entry.macs,
            entry.facts["butterfly_share"] == 0,
            entry.choices,
        )
        for entry in complete
        if entry.facts is not None
    ]
    listed: dict[int, list[int]] = {}
    behind: dict[int, list[int]] = {}
    for budget in run.settings.budgets:
        for number in shortlist(promising, budget):
            listed.setdefault(number, []).append(budget)
        for number in reserves(promising, budget):
            behind.setdefault(number, []).append(budget)
    known = run.confirmations()
    before = known.loc[(known["protocol"] == protocol) & known["accuracy"].notna(), "number"].dropna()
    for number in map(int, before.unique()):
        if number not in behind:
            listed.setdefault(number, [])
    return (
        *(candidate_contender(run, number, budgets) for number, budgets in listed.items()),
        *(
            candidate_contender(run, number, budgets, reserve=True)
            for number, budgets in behind.items()
            if number not in listed
        ),
        *(reference_contender(each) for each in references),
    )


def reference_contender(entrant: Entrant) -> Contender:
    """A reference, confirmed for the budget that it was made for."""
    budget = entrant.candidate.budget
    racer = Racer(f"{entrant.name} {budget}", frozenset({budget}), reference=True)
    return Contender(racer, entrant.candidate, entrant.width)


def candidate_contender(
    run: Run, number: int, budgets: Sequence[int] = (), *, reserve: bool = False
) -> Contender:
    """A candidate of a run, confirmed for some of its budgets; without any, for all that it is within."""
    entry = run.ledger.history.entries[number]
    facts = entry.facts or {}
    within = budgets or [budget for budget in run.settings.budgets if entry.macs <= budget]
    return Contender(
        Racer(
            f"candidate {number}",
            frozenset(within),
            dense=facts["butterfly_share"] == 0,
            kind=kind_of(str(facts["family"]), dense=facts["butterfly_share"] == 0),
            reserve=reserve,
        ),
        Candidate(number, run.architecture(number), entry.macs, int(facts["budget"])),
    )


@dataclass(frozen=True)
class Cost:
    """What a confirmation costs, in whole trainings; those that are left at the rung count as their part."""

    least: float
    """When nobody but the best candidate and the best reference gets a second seed."""
    most: float
    """When everybody who goes on from the rung gets all of them."""
    parts: int
    """At most: a training that goes on from the rung has two."""

    def __str__(self) -> str:
        least, most = math.ceil(self.least), math.ceil(self.most)
        return f"{least} to {most} trainings" if least < most else f"{most} trainings"


def cost_of(candidates: int, references: int, *, budgets: int, confirmation: Confirmation) -> Cost:
    """What it costs to confirm so many candidates, called reserves among them, and references at so many budgets.

    >>> from bft_nas.training.protocol import Protocol
    >>> confirmation = Confirmation(Protocol("images", "", 10, 100, 20, 6, epochs=2))
    >>> str(cost_of(SHORTLIST + 1 + RESERVES, 4, budgets=1, confirmation=confirmation))
    '16 to 29 trainings'
    """
    further = len(confirmation.seeds) - 1
    compared = min(budgets, candidates) + min(budgets, references)
    first, parts, able = float(candidates), candidates, candidates
    if confirmation.rung:
        # As many of each budget as if it had all candidates, at most, and the best one without butterflies.
        able = min(candidates, budgets * (promoted_of(candidates) + 1))
        part = confirmation.rung / confirmation.epochs
        first, parts = candidates * part + able * (1 - part), candidates + able
    return Cost(
        first + references + compared * further,
        first + references + (able + references) * further,
        parts + references + (able + references) * further,
    )


def expected_cost(run: Run, references: int, confirmation: Confirmation) -> Cost:
    """What the confirmation of a run costs that is compared with so many references at each budget."""
    budgets = len(run.settings.budgets)
    candidates = budgets * (SHORTLIST + 1 + RESERVES)
    return cost_of(candidates, budgets * references, budgets=budgets, confirmation=confirmation)


def cost_of_contenders(contenders: Sequence[Contender], confirmation: Confirmation) -> Cost:
    """What it costs to confirm these."""
    racers = [contender.racer for contender in contenders]
    references = sum(racer.reference for racer in racers)
    budgets: frozenset[int] = frozenset().union(*(racer.budgets for racer in racers))
    called = sum(_most_called(racers, budget) for budget in budgets)
    candidates = sum(not racer.reference and not racer.reserve for racer in racers) + called
    return cost_of(candidates, references, budgets=len(budgets), confirmation=confirmation)


def _most_called(racers: Sequence[Racer], budget: int) -> int:
    """How many reserves of one kind there are within a budget at most."""
    kinds = Counter(racer.kind for racer in racers if racer.reserve and budget in racer.budgets)
    return max(kinds.values(), default=0)


def seconds_of(run: Run, protocol: Protocol, workers: int) -> float | None:
    """How long a training of the confirmation keeps a run from the next one, from its proxy trainings; None without."""
    results = run.results()
    trained = results[results["state"] == "complete"]
    if trained.empty:
        return None
    return float(trained["seconds"].mean()) * time_of(protocol, run.protocol) / workers


class Confirmations:
    """What is known of the trainings of a confirmation: in confirmations.csv, and of references beside the runs.

    Args:
        run: to be confirmed.
        contenders: see `contenders_of`.
        confirmation: under which.
        rule: who is trained next, and with which seed.
    """

    def __init__(
        self,
        run: Run,
        contenders: Sequence[Contender],
        confirmation: Confirmation,
        rule: Rule = next_round,
    ) -> None:
        self.run = run
        self.confirmation = confirmation
        self.rule = rule
        self.stores = {
            seed: ReferenceStore(run.folder.parent, confirmation.under(seed)) for seed in confirmation.seeds
        }
        self.contenders = {each.racer.key: each for each in contenders}
        self.rows: dict[tuple[str, int], Mapping[str, Any]] = {}
        """Of the contenders, by key and seed."""
        self.others: list[Mapping[str, Any]] = []
        """Of networks that were confirmed before and would not be now."""
        self._read_run()
        self._read_references()

    def missing(self) -> list[Due]:
        """What is to be trained now."""
        seeds = self.confirmation.seeds
        outcomes: dict[str, dict[int, float | None]] = {}
        rungs: dict[str, float | None] = {}
        for (key, seed), row in self.rows.items():
            if not is_left(row):
                outcomes.setdefault(key, {})[seed] = row.get("accuracy")
            if seed == seeds[0]:
                # A training that says nothing of its rung went on from there.
                rungs[key] = row.get("accuracy") if row.get("rung") is None else row["rung"]
        racers = [each.racer for each in self.contenders.values()]
        return self.rule(racers, outcomes, seeds, rungs if self.confirmation.rung else None)

    def add(self, contender: Contender, seed: int, outcome: Outcome) -> None:
        """Keep the outcome of a training, with its weights where it is the best of a candidate.

        One that went as far as the rung keeps its checkpoint.
        """
        architecture = contender.candidate.architecture
        if outcome.traceback:
            write_text(self.file(contender, seed, "traceback.txt"), outcome.traceback)
        row = self._row(contender, seed, outcome.summary)
        if (
            contender.width is None
            and self.confirmation.rung
            and len(outcome.curve) >= self.confirmation.rung
        ):
            row["rung"] = outcome.curve[self.confirmation.rung - 1].accuracy
        if outcome.curve and len(outcome.curve) < self.confirmation.epochs:
            self.rows[contender.racer.key, seed] = row | {"accuracy": None}
            self.write()
            return
        if contender.width is not None and not outcome.reason:
            self.stores[seed].keep(architecture, contender.width, outcome)
        elif not outcome.reason:
            self._keep_weights(contender, seed, outcome.curve[-1].accuracy)
        self.rows[contender.racer.key, seed] = row
        self.write()
        self.file(contender, seed, "pt").unlink(missing_ok=True)

    def write(self) -> None:
        """Write all of it into the run."""
        seeds = self.confirmation.seeds
        places = [(key, seed) for key in self.contenders for seed in seeds if (key, seed) in self.rows]
        self.run.record_confirmations([*(self.rows[place] for place in places), *self.others])

    def file(self, contender: Contender, seed: int, kind: str) -> Path:
        """A file of one of the trainings."""
        if contender.racer.reference:
            return self.stores[seed].file(contender.candidate.architecture, kind)
        return self.run.ledger.candidate_file(contender.candidate.number, f"confirmation-{seed}.{kind}")

    def leave(self) -> None:
        """Remove the checkpoints of those that were left at the rung."""
        for (key, seed), row in self.rows.items():
            if is_left(row):
                self.file(self.contenders[key], seed, "pt").unlink(missing_ok=True)

    def _keep_weights(self, contender: Contender, seed: int, accuracy: float) -> None:
        others = [row.get("accuracy") for (key, _), row in self.rows.items() if key == contender.racer.key]
        trained = self.file(contender, seed, "safetensors")
        if any(other is not None and other >= accuracy for other in others):
            trained.unlink(missing_ok=True)
        elif trained.is_file():
            trained.replace(trained.with_name("confirmed.safetensors"))

    def _read_run(self) -> None:
        """Candidates, and whoever else was confirmed under this protocol; what failed is to be tried again."""
        for row in self.run.confirmations().astype(object).to_dict("records"):
            known: dict[str, Any] = {
                str(name): None if is_missing(value) else value for name, value in row.items()
            }
            ended = known["accuracy"] is not None or is_left(known)
            if known["protocol"] != self.confirmation.hash or not ended:
                continue
            key = f"{known['name']} {known['budget']}" if known["name"] else f"candidate {known['number']}"
            if key not in self.contenders:
                self.others.append(known)
            elif not known["name"]:
                self.rows[key, known["seed"]] = known

    def _read_references(self) -> None:
        for key, contender in self.contenders.items():
            for seed in self.confirmation.seeds if contender.racer.reference else ():
                kept = self.stores[seed].known(contender.candidate.architecture)
                if kept is not None:
                    self.rows[key, seed] = self._row(contender, seed, kept)

    def _row(self, contender: Contender, seed: int, outcome: Mapping[str, Any]) -> dict[str, Any]:
        return {"epochs": 0, **contender.facts, "protocol": self.confirmation.hash, "seed": seed, **outcome}


def confirm(record: Confirmations, engine: Engine, watcher: Watcher, clock: Clock) -> None:
    """Train who may win with as many seeds as are needed, and record all in the run.

    A training that is interrupted loses the epoch under way and nothing else; one that failed is tried again in the
    next confirmation of the run.
    """
    record.write()
    engine(_Confirming(record, watcher, clock))
    record.leave()


def is_left(row: Mapping[str, Any]) -> bool:
    """Whether a training went as far as the rung, by its row, and no further as yet."""
    return row.get("rung") is not None and row.get("accuracy") is None and not row.get("reason")


class _Confirming(Reporting):
    """Drives an engine: the trainings of the round that is under way."""

    def __init__(self, record: Confirmations, watcher: Watcher, clock: Clock) -> None:
        self.record = record
        self.watcher = watcher
        self.clock = clock
        self.jobs: dict[int, Due] = {}
        """What is being trained, by number of the job."""

    def next(self) -> Job | None:
        """See `bft_nas.searching.jobs.Driver`."""
        begun = {(due.racer.key, due.seed) for due in self.jobs.values()}
        for due in self.record.missing():
            if (due.racer.key, due.seed) not in begun:
                return self._job(due)
        return None

    def _job(self, due: Due) -> Job:
        record, seed = self.record, due.seed
        contender, seeds = record.contenders[due.racer.key], record.confirmation.seeds
        network = contender.candidate
        number = len(seeds) * list(record.contenders).index(due.racer.key) + seeds.index(seed)
        reference = due.racer.reference
        label = f"seed {seed}" if reference else f"{due.racer.key}, seed {seed}"
        job = Candidate(number, network.architecture, network.macs, network.budget, label)
        self.watcher.begin(job, self.done + len(self.jobs))
        self.jobs[number] = due
        return Job(
            job,
            record.file(contender, seed, "pt"),
            None if reference else record.file(contender, seed, "safetensors"),
            record.confirmation.under(seed),
        )

    @property
    def done(self) -> int:
        """Parts of trainings: one that went on from the rung has two."""
        first, rows = self.record.confirmation.seeds[0], self.record.rows
        whole = [
            row for (_, seed), row in rows.items() if seed == first and row.get("rung") and not is_left(row)
        ]
        return len(rows) + len(whole)

    def epoch(self, candidate: Candidate, curve: Curve) -> bool:
        """See `bft_nas.searching.jobs.Driver`."""
        super().epoch(candidate, curve)
        return not (self.jobs[candidate.number].to_rung and len(curve) == self.record.confirmation.rung)

    def end(self, candidate: Candidate, outcome: Outcome) -> None:
        """See `bft_nas.searching.jobs.Driver`."""
        due = self.jobs.pop(candidate.number)
        before = self.record.rows.get((due.racer.key, due.seed), {})
        seconds = max(0.0, outcome.seconds - before.get("seconds", 0.0))
        self.clock.training += seconds
        self.record.add(self.record.contenders[due.racer.key], due.seed, outcome)
        reason = outcome.reason
        if not reason and len(outcome.curve) < self.record.confirmation.epochs:
            reason = (
                f"stopped after epoch {len(outcome.curve)} at {format_percent(outcome.curve[-1].accuracy)}"
            )
        self.watcher.end(candidate, None if reason else outcome.curve[-1].accuracy, reason, seconds)


class Forewarning:
    """A watcher of a search that is told what the confirmation will cost, once `ENOUGH` candidates were trained.

    Args:
        watcher: what is notified of all.
        cost: says it; empty where there will be none.
        known: candidates trained before: where they are enough, the plan has said it.
    """

    ENOUGH = 3

    def __init__(self, watcher: Watcher, cost: Callable[[], str], known: int) -> None:
        self.watcher = watcher
        self.cost = cost
        self.trained = known
        self.begin, self.step, self.epoch = watcher.begin, watcher.step, watcher.epoch
        self.lost, self.advise = watcher.lost, watcher.advise

    def end(self, candidate: Candidate, accuracy: float | None, reason: str, seconds: float) -> None:
        """See `bft_nas.searching.loop.Watcher`."""
        self.watcher.end(candidate, accuracy, reason, seconds)
        self.trained += accuracy is not None
        if self.trained == self.ENOUGH and accuracy is not None and (cost := self.cost()):
            self.advise(f"confirmation after the search: {cost}")
