"""Whether torchrun, or whatever sets the same environment, started this process as one of several."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path


def launched() -> tuple[int, int] | None:
    """The number of this process and how many there are; None where it is the only one."""
    try:
        rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    except (KeyError, ValueError):
        return None
    return (rank, count) if count > 1 else None


def launch() -> str:
    """Of torchrun: a restart has the same process above it, or on several machines the same id."""
    given = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    return given if given != "none" else f"process {os.getppid()}"


@contextmanager
def first_alone_speaks() -> Iterator[None]:
    """Within it, processes but the first one print nothing: it says what they fail with, too."""
    numbers = launched()
    if numbers is None or numbers[0] == 0:
        yield
        return
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield
