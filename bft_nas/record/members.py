"""Who works on a run at the moment: one search, or several that share it, on one machine or on several.

A process that works on a run is a member. It holds a lock on a file of its own under ``.members`` and touches it
every few seconds: the lock tells at once that a process of this machine has died, the time that a machine is gone.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from bft_nas.core.errors import UserError, setting
from bft_nas.core.files import locks, writing

SECONDS_BETWEEN_BEATS = 5.0
SECONDS_TILL_DEAD = 60.0


class Members:
    """The processes that work on the run in a folder, and this one's place among them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.me = ""
        """This process's name in the run; empty before it has joined."""
        self._lock: IO[str] | None = None

    @contextmanager
    def joined(self, *, alone: bool, shut: bool = False) -> Iterator[None]:
        """Work on the run meanwhile; others may join unless it is ``shut``.

        Raises:
            UserError: ``alone``, and another process is at work on it.
            RunError: the folder cannot be written.
        """
        with writing(self.folder / ".lock"):
            (self.folder / ".members").mkdir(exist_ok=True)
            lock = (self.folder / ".lock").open("w")
        with lock:
            if not locks(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH):
                what = "another process trains more for it; expected its end"
                if alone and self._can_be_shared(lock):
                    join = setting("join")
                    what = f"another search is working on it; expected its end, or search {join} to share it"
                raise UserError(f"run '{self.folder.name}': {what}")
            if not shut:
                fcntl.flock(lock, fcntl.LOCK_SH)
            self.me = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
            own = self._file(self.me)
            with writing(own):
                beating = own.open("w")
            with beating:
                fcntl.flock(beating, fcntl.LOCK_EX)
                self._lock = lock
                gone = threading.Event()
                threading.Thread(target=_beat, args=(own, gone), daemon=True).start()
                try:
                    yield
                finally:
                    gone.set()
                    with suppress(OSError):
                        own.unlink()
                    self.me, self._lock = "", None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Keep other members waiting meanwhile: what is read here is still so when something is written."""
        with writing(self.folder / ".turn"):
            file = (self.folder / ".turn").open("w")
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def is_other(self, member: str) -> bool:
        """Whether a name is that of another process that is alive."""
        if not member or member == self.me:
            return False
        try:
            silent = (
                self._file(self.me).stat().st_mtime - self._file(member).stat().st_mtime if self.me else 0
            )
            with self._file(member).open() as file:
                # Its own clock is the file system's, and so the same for every machine.
                return silent < SECONDS_TILL_DEAD and not locks(file, fcntl.LOCK_SH)
        except OSError:
            return False

    def leave_unless_last(self) -> bool:
        """Whether no other process is at work on the run; from then on nobody can join, or this one has left."""
        assert self._lock is not None
        with self.turn():
            if locks(self._lock, fcntl.LOCK_EX):
                return True
            fcntl.flock(self._lock, fcntl.LOCK_UN)
            return False

    def _can_be_shared(self, lock: IO[str]) -> bool:
        """Whether a process that does not ask to be alone could join now."""
        # In turn: whoever is about to leave must not take this look for a member.
        with self.turn():
            shared = locks(lock, fcntl.LOCK_SH)
            fcntl.flock(lock, fcntl.LOCK_UN)
        return shared

    def _file(self, member: str) -> Path:
        return self.folder / ".members" / member


def _beat(own: Path, gone: threading.Event) -> None:
    while not gone.wait(SECONDS_BETWEEN_BEATS):
        with suppress(OSError):
            os.utime(own)
