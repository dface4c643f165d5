"""Where networks trained to the end are, and what tells their folders."""

from __future__ import annotations

from pathlib import Path

from bft_nas.core.files import is_file

TRAINED, TRAINING_FILE = Path("trained"), "training.yaml"
"""Where they are by default, and what the folder of each holds first."""


def is_trained(name: str, *, trained: Path = TRAINED) -> bool:
    """Whether there is a network of that name under ``trained``, or in the folder of that path."""
    return bool(name) and any(is_file(folder / TRAINING_FILE) for folder in (trained / name, Path(name)))
