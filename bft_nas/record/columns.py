"""What results say of a candidate: their columns, and the values that follow from its architecture."""

from __future__ import annotations

from typing import Any

from bft_nas.network import Architecture, cost

COLUMNS = (
    "number",
    "state",
    "family",
    "resolution",
    "budget",
    "macs",
    "params",
    "peak_memory",
    "butterfly_share",
    "fusions",
    "accuracy",
    "epochs",
    "seconds",
    "reason",
    "hash",
)
"""Of `Run.results`: the state is complete, stopped or failed; accuracy is 0 to 1, after the last epoch that there was,
and NaN where training failed; peak_memory in bytes, seconds of training."""
REFERENCE_COLUMNS = ("name", "width", *COLUMNS[1:])
"""Of `Run.references`: the reference's name and width multiplier, then as in `Run.results`."""


def facts_of(architecture: Architecture, budget: int) -> dict[str, Any]:
    """What `COLUMNS` say of a network itself, in plain values; the budget in MACs is that it was made for."""
    counted = cost(architecture)
    return {
        "family": architecture.family,
        "resolution": architecture.resolution,
        "budget": budget,
        "macs": counted.macs,
        "params": counted.params,
        "peak_memory": counted.peak_memory,
        "butterfly_share": round(counted.butterfly_share, 4),
        "fusions": architecture.fusion_pattern,
        "hash": architecture.hash,
    }
