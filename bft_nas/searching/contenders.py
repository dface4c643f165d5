"""Whom a confirmation is about: the most promising candidates of a run, and the references they are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bft_nas.record import Candidate, Run, facts_of
from bft_nas.record.confirmations import CONFIRMATION_NAMES
from bft_nas.searching.promise import gain_of_a_doubling, promise
from bft_nas.searching.racing import Racer
from bft_nas.searching.references import Entrant
from bft_nas.searching.shortlist import Promising, kind_of, reserves, shortlist


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
