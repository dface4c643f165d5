"""What is said of an error that nobody foresaw: one line, with the whole traceback in a file."""

from __future__ import annotations

import argparse
import tempfile
import traceback
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from bft_nas.cli.options import runs_folder
from bft_nas.core.errors import one_line
from bft_nas.core.memory import is_out_of_memory

ERRORS = "errors.log"
"""In a run's folder: the tracebacks of all errors that nobody foresaw."""


def describe(error: BaseException, folder: Path | None) -> str:
    """An error in one line that says where its traceback was written; see `keep_traceback`."""
    # Of a message of several lines, such as that of another process, the first says what it is.
    first = next(iter(str(error).strip().splitlines()), "")
    said = f"{type(error).__name__}: {one_line(first)[:200]}".rstrip(": ")
    if is_out_of_memory(error):
        said = f"out of memory ({said})"
    kept = keep_traceback(error, folder)
    return f"{said}; the whole traceback {f'is in {kept}' if kept else 'could be written nowhere'}"


def left_out(view: str, error: Exception, folder: Path) -> str:
    """That a report has all but one view, in a line."""
    return f"report: without '{view}', which says so in its place ({describe(error, folder)})"


def keep_traceback(error: BaseException, folder: Path | None) -> Path | None:
    """Write an error's traceback to the end of `ERRORS` in a run's folder, or to a file for temporary ones.

    Returns the file; None when neither can be written.
    """
    text = f"{datetime.now():%Y-%m-%d %H:%M:%S}\n{''.join(traceback.format_exception(error))}\n"
    content = text.encode(errors="replace")
    if folder is not None:
        with suppress(OSError), (folder / ERRORS).open("ab") as file:
            file.write(content)
            return folder / ERRORS
    with (
        suppress(OSError),
        tempfile.NamedTemporaryFile(prefix="bft-nas-error-", suffix=".log", delete=False) as file,
    ):
        file.write(content)
        return Path(file.name)
    return None


def run_folder(options: argparse.Namespace | None) -> Path | None:
    """The folder of the run that a command is at: the one that it made, or the first that it was given by name."""
    made: Path | None = getattr(options, "made", None)
    if made is not None:
        return made
    from bft_nas.record import RUN_FILE

    given = [getattr(options, name, None) for name in ("resume", "join", "run")]
    names = [name for each in given if each for name in ([each] if isinstance(each, str) else each)]
    if options is None:
        return None
    places = [folder for name in names for folder in (runs_folder(options) / name, Path(name))]
    return next((folder for folder in places if (folder / RUN_FILE).is_file()), None)
