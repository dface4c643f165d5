"""Whether torchrun, or whatever sets the same environment, started this process as one of several."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

FAILED = (1, 2)
"""Exit codes of which the first process says why."""
PATIENCE = 5.0
"""Seconds."""


def launched() -> tuple[int, int] | None:
    """The number of this process and how many there are; None where it is the only one."""
    try:
        rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    except (KeyError, ValueError):
        return None
    return (rank, count) if count > 1 else None


def neighbours() -> int:
    """How many processes share this machine that were started together, this one included."""
    try:
        return max(1, int(os.environ["LOCAL_WORLD_SIZE"]))
    except (KeyError, ValueError):
        return 1


def launch() -> str:
    """Of torchrun: a restart has the same process above it, or on several machines the same id."""
    given = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    return given if given != "none" else f"process {os.getppid()}"


def first_alone_speaks(run: Callable[[], int]) -> int:
    """The exit code of a command, of which processes but the first one print nothing: it says what they fail with, too.

    One that fails waits for the first to have said so: torchrun ends all others as soon as it sees one end.
    """
    numbers = launched()
    if numbers is None or numbers[0] == 0:
        return run()
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        try:
            code = run()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    if code in FAILED:
        time.sleep(PATIENCE)
    return code
