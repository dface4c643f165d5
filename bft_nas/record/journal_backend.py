"""The file of a journal: whole lines only, and several operations in one write."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from optuna.distributions import json_to_distribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from bft_nas.record.journal_lock import JournalLock

# Each choice of each trial stands in a journal with all values that it could have had: of thousands of trials a few
# dozen texts. Parsing each of them again is most of the time to open a run: 2,000 trials of 30 choices take 0.5 s, and
# 0.1 s with every text parsed once. Optuna has no public way: a backend returns the texts, and the storage parses them
# by a name of its module. Where another version does not look there, runs open slower. Distributions never change.
vars(sys.modules[JournalStorage.__module__])["json_to_distribution"] = lru_cache(2**12)(json_to_distribution)


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
