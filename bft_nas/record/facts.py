"""What a run was asked, and its outcome, in words for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from bft_nas.core.units import format_duration, format_epochs, format_macs
from bft_nas.record.confirmations import left_networks

if TYPE_CHECKING:
    import pandas as pd

    from bft_nas.record.run import Run
    from bft_nas.record.settings import Settings

Facts = list[tuple[str, str]]
"""Names and values, in the order in which they are shown."""


def result_facts(run: Run, results: pd.DataFrame) -> Facts:
    """What a run was asked, and its outcome, for its report."""
    counts = {state: int((results["state"] == state).sum()) for state in ("stopped", "failed")}
    ended = ", ".join([f"{len(results)}", *(f"{count} {state}" for state, count in counts.items() if count)])
    asked = asked_facts(run, notes=run.data.notes)
    outcome = [
        ("candidates", ended),
        ("proxy trainings", format_duration(float(results["seconds"].sum()))),
        ("confirmed", confirmed_text(run)),
        ("started", f"{started(run)} UTC"),
    ]
    return [(name.capitalize(), value) for name, value in (*asked, *outcome)]


def confirmed_text(run: Run) -> str:
    """What a confirmation has done, in words."""
    rows = run.confirmations()
    if rows.empty:
        return "no: what is better is unconfirmed"
    networks = len(rows.drop_duplicates(["number", "name", "budget"]))
    seconds = format_duration(float(rows["seconds"].sum()))
    each = confirmation_epochs(run, int(rows["epochs"].max()))
    count = len(left_networks(rows))
    left = f", {count} of them left at the rung" if count else ""
    return (
        f"{networks} networks in {len(rows)} trainings of {each}{left} ({seconds} of training), protocol "
        f"{rows['protocol'].iloc[0]}"
    )


def confirmation_epochs(run: Run, epochs: int) -> str:
    """How long a training of a confirmation is and how large its images are, in words."""
    return f"{format_epochs(epochs)} {run.settings.confirmed_at}".rstrip()


def asked_facts(
    run: Run,
    *,
    data: str = "",
    notes: Iterable[str] = (),
    space: str = "",
    budget: str = "",
    protocol: Sequence[str] = (),
    limits: str = "",
) -> Facts:
    """What a run was asked: for its report, and with what only its beginning knows for the plan of its search.

    Args:
        run: was asked.
        data: their name and place, where it is not the protocol's.
        notes: what was found when the data were read.
        space: what else is known of the space.
        budget: what else is known of the budget.
        protocol: what else is known of the protocol.
        limits: of the search.
    """
    settings, trained = run.settings, run.protocol
    only = "" if settings.fusion is None else f", {settings.fusion} fusions only"
    return [
        ("space", settings.space + only + space),
        ("budget", f"{budgets_text(settings.budgets)} MACs{budget}"),
        ("deployment", f"{', '.join(map(str, settings.resolutions))} pixels, {settings.classes} classes"),
        (
            "data",
            f"{data or trained.data}, {trained.data_classes} classes, {trained.train_images} images to train on, "
            f"{trained.validation_images} to validate",
        ),
        *(("data read", note) for note in notes),
        ("protocol", ", ".join([f"{trained.hash}: {format_epochs(trained.epochs)}", *protocol])),
        *latency_facts(settings),
        ("search", f"{settings.sampler}, seed {settings.seed}{limits}"),
    ]


def latency_facts(settings: Settings) -> Facts:
    """The limit of latency, or where it is predicted without one; nothing where it is not."""
    if settings.latency_runtime is None:
        return []
    limit = "" if settings.latency is None else f"at most {settings.latency:g} ms "
    return [("latency", f"{limit}in {settings.latency_runtime}, predicted for one image and one thread")]


def budgets_text(budgets: Sequence[int]) -> str:
    """The budgets of a run, without their unit."""
    return ", ".join(map(format_macs, budgets))


def started(run: Run) -> str:
    """When a run began, to the minute, in UTC."""
    return run.created[:16].replace("T", " ")
