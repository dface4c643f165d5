"""What tests that kill processes share: who is there, and how to end them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def start(
    folder: Path, *arguments: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.STDOUT
) -> subprocess.Popen[str]:
    """``bft-nas`` in a process of its own, in a folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "bft_nas.cli.main", *arguments],
        cwd=folder,
        stdout=stdout,
        stderr=stderr,
        text=True,
    )


def followed(process: subprocess.Popen[str], beginning: str, do: Callable[[], object]) -> list[str]:
    """All lines that it says; ``do`` is called at each that begins so."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith(beginning):
            do()
    return said


def children_of(process: int) -> list[int]:
    """The processes that it started, or none where it has ended."""
    found = []
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            found += [int(child) for child in children.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def kill(process: int) -> None:
    """End it at once, unless it has ended by itself."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return


def kill_all(process: int) -> None:
    """End it and whatever descends from it at once, as a machine that is switched off does."""
    generation, every = [process], [process]
    while generation := [child for parent in generation for child in children_of(parent)]:
        every += generation
    for one in every:
        kill(one)
