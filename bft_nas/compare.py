"""The references trained as a run's candidates were: at its budgets, under its protocol, once per protocol."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bft_nas.train
from bft_nas.files import write_text
from bft_nas.network import cost
from bft_nas.network.references import REFERENCES, widest
from bft_nas.pareto import winners
from bft_nas.run import Candidate, Run, facts_of

if TYPE_CHECKING:
    from bft_nas.search import Clock, Watcher
    from bft_nas.train import Images


@dataclass(frozen=True)
class Entrant:
    """A reference made as wide as one of a run's budgets allows."""

    width: float
    candidate: Candidate
    """Numbered in the order of training; its architecture's family is the reference's name."""


@dataclass(frozen=True)
class Field:
    """Who can take part in a comparison."""

    entrants: tuple[Entrant, ...]
    out_of_reach: tuple[tuple[str, int], ...]
    """Names and budgets in MACs of references whose narrowest form has more MACs."""


def field_of(run: Run) -> Field:
    """The references for each of a run's budgets, at the resolution of the budget's winner.

    Before there is a winner, at the largest resolution of the run.
    """
    best = winners(run.results(), run.settings.budgets)
    resolutions = {int(row["for_budget"]): int(row["resolution"]) for row in best.to_dict("records")}
    entrants: list[Entrant] = []
    out_of_reach = []
    for budget in run.settings.budgets:
        resolution = resolutions.get(budget, max(run.settings.resolutions))
        for name in REFERENCES:
            found = widest(name, budget, resolution=resolution, classes=run.settings.classes)
            if found is None:
                out_of_reach.append((name, budget))
                continue
            width, architecture = found
            candidate = Candidate(len(entrants), architecture, cost(architecture).macs, budget)
            entrants.append(Entrant(width, candidate))
    return Field(tuple(entrants), tuple(out_of_reach))


def compare(run: Run, field: Field, images: Images, watcher: Watcher, clock: Clock) -> None:
    """Train the references that were not trained under the run's protocol before, and record all in the run.

    What was trained is kept beside the runs, in ``.references/PROTOCOL/ARCHITECTURE.json``, and read from there by
    every run of the same protocol. An interruption loses the training under way and nothing else.
    """
    kept = run.folder.parent / ".references" / run.protocol_hash
    outcomes = {entrant: _known(kept, entrant) for entrant in field.entrants}

    def record() -> None:
        run.record_references([_row(entrant, found) for entrant, found in outcomes.items() if found])

    record()
    for entrant, found in outcomes.items():
        if found is None:
            outcomes[entrant] = _trained(run, entrant, images, watcher, clock, kept)
            record()


def _known(kept: Path, entrant: Entrant) -> dict[str, Any] | None:
    try:
        outcome = json.loads(
            (kept / f"{entrant.candidate.architecture.hash}.json").read_text(encoding="utf-8")
        )
        return {key: outcome[key] for key in ("accuracy", "epochs", "seconds")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _trained(
    run: Run, entrant: Entrant, images: Images, watcher: Watcher, clock: Clock, kept: Path
) -> dict[str, Any]:
    candidate = entrant.candidate
    watcher.begin(candidate, candidate.number)
    started = time.perf_counter()
    try:
        curve = bft_nas.train.evaluate(
            candidate.architecture,
            run.protocol,
            images,
            on_epoch=lambda curve: watcher.epoch(curve[-1]),
            on_step=watcher.step,
        ).curve
    except bft_nas.train.TrainingFailed as failure:
        seconds = time.perf_counter() - started
        clock.training += seconds
        watcher.end(candidate, None, str(failure), seconds)
        return {"reason": str(failure), "seconds": seconds}
    seconds = time.perf_counter() - started
    clock.training += seconds
    outcome = {"accuracy": curve[-1].accuracy, "epochs": len(curve), "seconds": seconds}
    kept.mkdir(parents=True, exist_ok=True)
    content = {
        **outcome,
        "name": candidate.architecture.family,
        "width": entrant.width,
        "curve": [[row.epoch, row.train_loss, row.accuracy, row.seconds] for row in curve],
        "architecture": candidate.architecture.to_dict(),
        "protocol": run.protocol.to_dict(),
    }
    write_text(kept / f"{candidate.architecture.hash}.json", json.dumps(content))
    watcher.end(candidate, curve[-1].accuracy, "", seconds)
    return outcome


def _row(entrant: Entrant, outcome: Mapping[str, Any]) -> dict[str, Any]:
    candidate = entrant.candidate
    return {
        "name": candidate.architecture.family,
        "width": round(entrant.width, 3),
        "state": "complete" if "accuracy" in outcome else "failed",
        "accuracy": outcome.get("accuracy", float("nan")),
        "epochs": outcome.get("epochs", 0),
        "seconds": outcome["seconds"],
        "reason": outcome.get("reason", ""),
        **facts_of(candidate.architecture, candidate.budget),
    }
