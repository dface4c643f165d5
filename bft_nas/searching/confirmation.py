"""The confirmation after a search: who may win, and whom they are compared with, trained longer and with several seeds.

References are kept beside the runs for every run of the same protocol, as after the proxy training; candidates in the
run's folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bft_nas.core.files import write_text
from bft_nas.record import Candidate, Run
from bft_nas.record.candidate import CONFIRMED_WEIGHTS, TRACEBACK
from bft_nas.record.columns import is_missing
from bft_nas.record.confirmations import LEFT
from bft_nas.searching.contenders import Contender
from bft_nas.searching.jobs import Engine, Job, Outcome, Reporting
from bft_nas.searching.racing import Due, RoundRule, next_round
from bft_nas.searching.reference_store import ReferenceStore
from bft_nas.training.confirmation import Confirmation

if TYPE_CHECKING:
    from bft_nas.searching.loop import Clock, Watcher
    from bft_nas.training.curve import Curve


class Confirmations:
    """What is known of the trainings of a confirmation: in confirmations.csv, and of references beside the runs.

    Args:
        run: to be confirmed.
        contenders: see `bft_nas.searching.contenders.contenders_of`.
        confirmation: under which.
        rule: who is trained next, and with which seed.
        whole: whether all trainings go to their end, whatever their accuracy at the rung.
    """

    def __init__(
        self,
        run: Run,
        contenders: Sequence[Contender],
        confirmation: Confirmation,
        rule: RoundRule = next_round,
        *,
        whole: bool = False,
    ) -> None:
        self.run = run
        self.confirmation = confirmation
        self.rule = rule
        self.rung = None if whole else confirmation.rung
        """The epochs after which candidates are compared."""
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
            if not at_rung(row):
                outcomes.setdefault(key, {})[seed] = row.get("accuracy")
            if seed == seeds[0]:
                rungs[key] = row.get("rung")
        racers = [each.racer for each in self.contenders.values()]
        return self.rule(racers, outcomes, seeds, rungs if self.rung else None)

    def add(self, contender: Contender, seed: int, outcome: Outcome) -> None:
        """Keep the outcome of a training, with its weights where it is the best of a candidate.

        One that went as far as the rung keeps its checkpoint, and so does one that failed.
        """
        architecture = contender.candidate.architecture
        if outcome.traceback:
            write_text(self.file(contender, seed, TRACEBACK), outcome.traceback)
        row = self._row(contender, seed, outcome.summary)
        before = self.rows.get((contender.racer.key, seed), {})
        if contender.width is None and self.rung and len(outcome.curve) >= self.rung:
            row["rung"] = outcome.curve[self.rung - 1].accuracy
        elif outcome.reason and at_rung(before):
            row |= {"rung": before["rung"], "seconds": row["seconds"] + before["seconds"]}
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
        if not outcome.reason:
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
        return self._file(contender.candidate.number, seed, kind)

    def end(self) -> None:
        """Nothing is left to be trained: who is at the rung stays there, without a checkpoint."""
        self.rows = {place: self._left(row) for place, row in self.rows.items()}
        self.others = [self._left(row) for row in self.others]
        self.write()

    def _left(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        if not at_rung(row):
            return row
        self._file(row["number"], row["seed"], "pt").unlink(missing_ok=True)
        return {**row, "reason": LEFT}

    def _file(self, number: int, seed: int, kind: str) -> Path:
        return self.run.ledger.candidate_file(number, f"confirmation-{seed}.{kind}")

    @property
    def parts(self) -> int:
        """How many are done: a training that went on from the rung has two, where there is one."""
        if self.rung is None:
            return sum(not at_rung(row) for row in self.rows.values())
        first = self.confirmation.seeds[0]
        went_on = [
            row
            for (_, seed), row in self.rows.items()
            if seed == first and row.get("rung") is not None and not at_rung(row)
        ]
        return len(self.rows) + len(went_on)

    @property
    def trainings(self) -> float:
        """How many whole ones those that are done are worth."""
        return sum(int(row["epochs"]) for row in self.rows.values()) / self.confirmation.epochs

    def _keep_weights(self, contender: Contender, seed: int, accuracy: float) -> None:
        others = [row.get("accuracy") for (key, _), row in self.rows.items() if key == contender.racer.key]
        trained = self.file(contender, seed, "safetensors")
        if any(other is not None and other >= accuracy for other in others):
            trained.unlink(missing_ok=True)
        elif trained.is_file():
            trained.replace(trained.with_name(CONFIRMED_WEIGHTS))

    def _read_run(self) -> None:
        """Candidates, and whoever else was confirmed under this protocol; references by way of their store.

        What failed is to be tried again, from the rung where it had come so far.
        """
        for row in self.run.confirmations().astype(object).to_dict("records"):
            known: dict[str, Any] = {
                str(name): None if is_missing(value) else value for name, value in row.items()
            }
            if known["accuracy"] is None and known["rung"] is not None and not at_rung(known):
                known["reason"] = ""
            ended = known["accuracy"] is not None or at_rung(known)
            if known["protocol"] != self.confirmation.hash or not ended:
                continue
            key = f"{known['name']} {known['budget']}" if known["name"] else f"candidate {known['number']}"
            if key not in self.contenders or known["seed"] not in self.confirmation.seeds:
                self.others.append(known)
            elif known["name"]:
                self.stores[known["seed"]].take_in(known)
            else:
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
    record.end()


def at_rung(row: Mapping[str, Any]) -> bool:
    """Whether a training has come as far as the rung, by its row, and no further as yet."""
    known = row.get("rung") is not None and row.get("accuracy") is None
    return known and row.get("reason") in (None, "", LEFT)


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
        # One network is trained several times: a number of its own for each.
        number = len(seeds) * list(record.contenders).index(due.racer.key) + seeds.index(seed)
        reference = due.racer.reference
        label = f"seed {seed}" if reference else f"{due.racer.key}, seed {seed}"
        job = Candidate(number, network.architecture, network.macs, network.budget, label)
        self.watcher.begin(job, record.parts + len(self.jobs))
        self.jobs[number] = due
        return Job(
            job,
            record.file(contender, seed, "pt"),
            None if reference else record.file(contender, seed, "safetensors"),
            record.confirmation.under(seed),
        )

    def epoch(self, candidate: Candidate, curve: Curve) -> bool:
        """See `bft_nas.searching.jobs.Driver`."""
        super().epoch(candidate, curve)
        job, rung = self.jobs[candidate.number], self.record.rung
        return not (job.to_rung and rung is not None and len(curve) >= rung)

    def end(self, candidate: Candidate, outcome: Outcome) -> None:
        """See `bft_nas.searching.jobs.Driver`."""
        due = self.jobs.pop(candidate.number)
        seconds = self.clock.spent(candidate.number, outcome)
        self.clock.confirming += seconds
        self.record.add(self.record.contenders[due.racer.key], due.seed, outcome)
        reason = outcome.reason
        if not reason and len(outcome.curve) < self.record.confirmation.epochs:
            reason = outcome.stop
        self.watcher.end(candidate, None if reason else outcome.curve[-1].accuracy, reason, seconds)
