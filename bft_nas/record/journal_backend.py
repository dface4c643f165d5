"""The file of a journal: whole lines only, and several operations in one write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from optuna.distributions import json_to_distribution
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal import _storage as journal_storage

from bft_nas.record.journal_lock import JournalLock

# Each choice of each trial stands in a journal with all values that it could have had: of thousands of trials a few
# dozen texts, and parsing each of them again is most of the time to open a run. Nobody changes a distribution.
vars(journal_storage)["json_to_distribution"] = lru_cache(maxsize=2**12)(json_to_distribution)


class JournalBackend(JournalFileBackend):
    """Optuna's journal in a file, with a lock that ends with its holder's process, and writes that can be held."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), JournalLock(path))
        self._held: list[dict[str, Any]] | None = None

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write operations, or keep them for the one write at the end of `held`."""
        if self._held is None:
            super().append_logs(logs)
        else:
            self._held += logs

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep operations meanwhile, and write them together; none of them when something is raised."""
        if self._held is not None:
            yield
            return
        self._held = []
        try:
            yield
            logs = self._held
        finally:
            self._held = None
        if logs:
            super().append_logs(logs)
