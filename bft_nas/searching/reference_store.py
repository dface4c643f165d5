"""Trained references, kept beside the runs for every run of a protocol: ``.references/PROTOCOL/ARCHITECTURE.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

from bft_nas.core.files import write_text, writing
from bft_nas.network import Architecture
from bft_nas.record.columns import is_missing
from bft_nas.searching.jobs import Outcome
from bft_nas.training.protocol import Protocol

_OUTCOME = ("accuracy", "epochs", "seconds")


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
        return self._read(architecture.hash)

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

    def take_in(self, row: Mapping[str, Any]) -> None:
        """Keep the outcome that a run's own table has of a reference under the protocol, if there is none yet.

        A run that was moved or copied has left the store behind, and its tables are written anew from the store.
        """
        name = row["hash"]
        # A table comes from anywhere, and a file is named after this.
        if not re.fullmatch("[0-9a-f]{12}", str(name)) or any(is_missing(row[key]) for key in _OUTCOME):
            return
        if self._read(name) is None:
            kept = {key: row[key] for key in (*_OUTCOME, "name", "width")}
            write_text(self._file(name, "json"), json.dumps({**kept, "protocol": self.protocol.to_dict()}))

    def file(self, architecture: Architecture, kind: str) -> Path:
        """A file about a network."""
        return self._file(architecture.hash, kind)

    def _file(self, architecture_hash: str, kind: str) -> Path:
        return self.folder / f"{architecture_hash}.{kind}"

    def _read(self, architecture_hash: str) -> dict[str, Any] | None:
        try:
            kept = json.loads(self._file(architecture_hash, "json").read_text(encoding="utf-8"))
            return {key: kept[key] for key in _OUTCOME}
        except (OSError, ValueError, KeyError, TypeError):
            return None
