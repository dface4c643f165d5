"""Writing files so that a reader, or a kill at any moment, never finds half of one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, write: Callable[[Path], None], *, durable: bool = True) -> None:
    """Let ``write`` fill a temporary file beside ``path`` and put it in place in one step.

    Not ``durable``, it may be lost with the machine's power, though not with the process.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        if durable:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Put a text in place in one step; see `write_whole`."""

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    write_whole(path, write)
