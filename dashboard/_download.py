"""An export as a file to download, and the commands that do as much."""

from __future__ import annotations

import shlex
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from bft_nas.core.errors import UserError, one_line, printable
from bft_nas.record import RUNS
from bft_nas.record.trained_folder import TRAINED

NO_WEIGHTS = "there are no weights of it; a search keeps those of the front and of what it confirms"
LONGEST = 900
"""Seconds that an export may take, while others wait for it."""
# An export takes a core for some seconds and much memory: one at a time.
_EXPORTING = Lock()


def export_command(run: Path, number: int) -> str:
    """The command that exports a candidate of the run in a folder.

    >>> export_command(Path("runs/mobile-50M"), 7)
    'bft-nas export mobile-50M --candidate 7 -o mobile-50M-7'
    """
    return printable(shlex.join(["bft-nas", "export", *_named(run, number), "-o", f"{run.name}-{number}"]))


def trained_command(trained: Path) -> str:
    """The command that exports the trained network in a folder.

    >>> trained_command(Path("trained/shoes"))
    'bft-nas export trained/shoes -o shoes'
    """
    return printable(shlex.join(["bft-nas", "export", str(trained), "-o", trained.name]))


def train_command(run: Path, number: int, trained: Path) -> str:
    """The command that trains a candidate of the run in a folder to the end.

    >>> train_command(Path("runs/mobile-50M"), 7, Path("trained"))
    'bft-nas train mobile-50M --candidate 7'
    """
    return printable(shlex.join(["bft-nas", "train", *_named(run, number), *_into(trained)]))


def first_command(run: Path | None, trained: Path) -> str:
    """The command that trains the winner of the run in a folder, or a known network where there is no run.

    >>> first_command(Path("runs/mobile-50M"), Path("trained")), first_command(None, Path("mine"))
    ('bft-nas train mobile-50M', 'bft-nas train mobilenet_v3_small --flops 50M --trained mine')
    """
    what = ["mobilenet_v3_small", "--flops", "50M"] if run is None else [run.name, *_under(run)]
    return printable(shlex.join(["bft-nas", "train", *what, *_into(trained)]))


def exported_zip(run: Path, number: int) -> bytes:
    """An export of a candidate, checked, as a zip with one folder in it; see `_zip`."""
    return _zip(["export", *_named(run, number)], f"{printable(run.name)[:80]}-{number}")


def trained_zip(trained: Path) -> bytes:
    """An export of the trained network in a folder, checked, as a zip with one folder in it; see `_zip`."""
    return _zip(["export", str(trained)], printable(trained.name)[:80])


def _zip(arguments: list[str], name: str) -> bytes:
    """What a command exports.

    It runs in a process of its own: torch neither slows this one nor stays in it.

    Raises:
        UserError: there is nothing to export, it takes too long, or a file does not agree with its network.
    """
    with _EXPORTING, TemporaryDirectory() as temporary:
        folder = Path(temporary) / name
        try:
            done = subprocess.run(
                [sys.executable, "-m", "bft_nas.cli.main", *arguments, "-o", str(folder)],
                capture_output=True,
                text=True,
                check=False,
                timeout=LONGEST,
            )
        except subprocess.TimeoutExpired:
            raise UserError(
                f"the export was not done after {LONGEST} seconds; its command has all the time it takes"
            ) from None
        if done.returncode:
            raise UserError(one_line(done.stderr).removeprefix("bft-nas: error: ") or "the export failed")
        content = BytesIO()
        # Weights do not get smaller.
        with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
            for path in sorted(folder.iterdir()):
                archive.write(path, f"{folder.name}/{path.name}")
        return content.getvalue()


def _named(run: Path, number: int) -> list[str]:
    return [run.name, *_under(run), "--candidate", str(number)]


def _under(run: Path) -> list[str]:
    return [] if run.parent == RUNS else ["--runs", str(run.parent)]


def _into(trained: Path) -> list[str]:
    return [] if trained == TRAINED else ["--trained", str(trained)]
