"""Who writes to a journal keeps the others waiting, and no longer than it lives."""

from __future__ import annotations

import fcntl
import os
import weakref
from pathlib import Path
from typing import IO

from optuna.storages.journal._file import BaseJournalFileLock


class JournalLock(BaseJournalFileLock):
    """A lock that the operating system takes back from a process that is killed.

    Optuna's own is a symbolic link, which stays. Others wait for half a minute then, and for ever where the journal's
    path is relative, since such a link leads nowhere and its age cannot be told.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._path = journal.with_name(f".{journal.name}.lock")
        self._file: IO[str] | None = None

    def acquire(self) -> bool:
        """Wait for whoever writes, and take away the half line that one left who was killed or found the disk full."""
        if self._file is None:
            # Not before something is written: a run that is only read may be in a folder that cannot be written.
            self._file = self._path.open("w")
            weakref.finalize(self, self._file.close)
        # Held already if Ctrl-C came before its release: the same open file has it twice without waiting for itself.
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            _drop_half_line(self._journal)
        except BaseException:
            self.release()
            raise
        return True

    def release(self) -> None:
        """Let the next one write."""
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)


def _drop_half_line(journal: Path) -> None:
    with journal.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return
        file.seek(size - 1)
        if file.read() == b"\n":
            return
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
