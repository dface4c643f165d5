"""Writing files so that a reader, or a kill at any moment, never finds half of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bft_nas.core.errors import RunError


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Put a file in place in one step: the old one stands until the new one is whole.

    Args:
        durable: otherwise it may be lost with the machine's power, though not with the process.

    Raises:
        RunError: it cannot be written, on a full disk for example; what was there before is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        try:
            with temporary.open("wb") as file:
                file.write(content)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Put a text in place in one step; see `write_bytes`."""
    write_bytes(path, text.encode())


@contextmanager
def writing(place: Path | str) -> Iterator[None]:
    """Name the file, or whatever else is written, when the operating system refuses to."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{place}: cannot be written ({error.strerror or error})") from error
