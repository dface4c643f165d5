"""What a run was asked, and its outcome, in words for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bft_nas.core.units import format_duration, format_macs

if TYPE_CHECKING:
    import pandas as pd

    from bft_nas.record.run import Run

Facts = list[tuple[str, str]]
"""Names and values, in the order in which they are shown."""


def result_facts(run: Run, results: pd.DataFrame) -> Facts:
    """What a run was, and its outcome, for its report."""
    protocol, settings = run.protocol, run.settings
    counts = {text: int((results["state"] == text).sum()) for text in ("stopped", "failed")}
    return [
        ("Space", f"{settings.space} at {', '.join(map(str, settings.resolutions))} pixels"),
        ("Budget", ", ".join(f"{format_macs(budget)} MACs" for budget in settings.budgets)),
        ("Data", f"{protocol.data}, {protocol.train_images} + {protocol.validation_images} images"),
        *(("Data read", note) for note in run.data.notes),
        ("Protocol", f"{protocol.hash}, {protocol.epochs} epochs"),
        ("Sampler", f"{settings.sampler}, seed {settings.seed}"),
        (
            "Candidates",
            ", ".join([f"{len(results)}", *(f"{count} {text}" for text, count in counts.items() if count)]),
        ),
        ("Training", format_duration(float(results["seconds"].sum()))),
        ("Started", f"{run.created[:16].replace('T', ' ')} UTC"),
    ]
