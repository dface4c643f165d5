"""A candidate's export as a file to download."""

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

# An export takes a core for some seconds and much memory: one at a time.
_EXPORTING = Lock()


def export_command(run: Path, number: int) -> str:
    """The command that exports a candidate of the run in a folder.

    >>> export_command(Path("runs/mobile-50M"), 7)
    'bft-nas export mobile-50M --candidate 7 -o mobile-50M-7'
    """
    return printable(shlex.join(["bft-nas", *_arguments(run, number, f"{run.name}-{number}")]))


def exported_zip(run: Path, number: int) -> bytes:
    """An export of a candidate, checked, as a zip with one folder in it.

    The export runs in a process of its own: torch neither slows this one nor stays in it.

    Raises:
        UserError: the candidate cannot be exported, or a file does not agree with its network.
    """
    with _EXPORTING, TemporaryDirectory() as temporary:
        folder = Path(temporary) / f"{printable(run.name)[:80]}-{number}"
        done = subprocess.run(
            [sys.executable, "-m", "bft_nas.cli.main", *_arguments(run, number, str(folder))],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise UserError(one_line(done.stderr).removeprefix("bft-nas: error: ") or "the export failed")
        content = BytesIO()
        # Weights do not get smaller.
        with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
            for path in sorted(folder.iterdir()):
                archive.write(path, f"{folder.name}/{path.name}")
        return content.getvalue()


def _arguments(run: Path, number: int, output: str) -> list[str]:
    where = [] if run.parent == RUNS else ["--runs", str(run.parent)]
    return ["export", run.name, *where, "--candidate", str(number), "-o", output]
