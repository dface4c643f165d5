"""Trained references, kept beside the runs for every run of a protocol: ``.references/PROTOCOL/ARCHITECTURE.json``."""

from __future__ import annotations

import json
from dataclasses import astuple
from pathlib import Path
from typing import Any

from bft_nas.core.files import write_text, writing
from bft_nas.network import Architecture
from bft_nas.searching.jobs import Outcome
from bft_nas.training.protocol import Protocol


class ReferenceStore:
    """The outcomes of references under one protocol.

    Args:
        runs: the folder that the runs are in.
        protocol: of the trainings.
    """

    def __init__(self, runs: Path, protocol: Protocol) -> None:
        self.folder = runs / ".references" / protocol.hash
        self.protocol = protocol
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    def known(self, architecture: Architecture) -> dict[str, Any] | None:
        """``accuracy``, ``epochs`` and ``seconds`` of a trained network; None where there are none to be read."""
        try:
            kept = json.loads(self.file(architecture, "json").read_text(encoding="utf-8"))
            return {key: kept[key] for key in ("accuracy", "epochs", "seconds")}
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, architecture: Architecture, width: float, outcome: Outcome) -> None:
        """Keep the outcome of a training that did not fail."""
        content = {
            **outcome.summary,
            "name": architecture.family,
            "width": width,
            "curve": [astuple(row) for row in outcome.curve],
            "architecture": architecture.to_dict(),
            "protocol": self.protocol.to_dict(),
        }
        write_text(self.file(architecture, "json"), json.dumps(content))

    def file(self, architecture: Architecture, kind: str) -> Path:
        """A file about a network."""
        return self.folder / f"{architecture.hash}.{kind}"
