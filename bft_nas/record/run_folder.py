"""Where runs are: how one is found, and how a new one gets a name that no other has."""

from __future__ import annotations

import errno
import itertools
import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from bft_nas.core.errors import RunError, UserError, setting, shortened
from bft_nas.core.files import straight
from bft_nas.core.units import format_macs
from bft_nas.record.run_file import RUN_FILE
from bft_nas.record.settings import Settings
from bft_nas.record.trained_folder import is_trained

RUNS = Path("runs")
LONGEST_NAME = 200
"""Of a run, in bytes: less than file systems allow, as files are named after it."""
UNFINISHED = ".new-"
"""How the name of a folder begins that is about to be a run's."""


def run_names(runs: Path = RUNS) -> tuple[str, ...]:
    """The names of the runs in a folder, the newest last; UserError when it can be none."""
    found = []
    try:
        for path in runs.glob(f"*/{RUN_FILE}"):
            # What was there a moment ago may be gone.
            with suppress(OSError):
                found.append((path.stat().st_ctime, path.parent.name))
    except OSError as error:
        raise UserError(
            f"{setting('runs')} '{shortened(str(runs))}': cannot be read ({error.strerror})"
        ) from None
    return tuple(name for _, name in sorted(found) if not name.startswith(UNFINISHED))


def find_run_folder(runs: Path, name: str) -> Path:
    """The folder of the run of that name under ``runs``, or of that path.

    Raises:
        UserError: there is none; the message names those that there are.
    """
    if not name:
        raise UserError("run '': expected the name of a run, or its folder")
    for folder in (runs / name, Path(name)):
        try:
            if (folder / RUN_FILE).is_file():
                return straight(folder)
        except OSError as error:
            raise UserError(f"run '{shortened(name)}': cannot be read ({error.strerror})") from None
    known = ", ".join(run_names(runs)) or "a run, but there is none yet"
    other = f" (train --resume, evaluate and export take trained network {name})" if is_trained(name) else ""
    raise UserError(f"run '{shortened(name)}': not found under '{runs}'{other}; expected {known}")


def make_run_folder(runs: Path, name: str | None, settings: Settings, fill: Callable[[Path], None]) -> Path:
    """Make a run's folder, complete or not at all, and return its path.

    Args:
        runs: where the runs are.
        name: of the run; without one, it is made from the settings.
        settings: of the run.
        fill: writes into the folder, which is not in its place yet.

    Raises:
        UserError: no run can have the name, another one has it, or ``runs`` cannot be written.
    """
    if name is not None:
        check_name(name)
        if os.path.lexists(runs / name):
            raise _taken(name)
    try:
        runs.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=runs))
    except OSError as error:
        raise UserError(
            f"{setting('runs')} '{shortened(str(runs))}': cannot be written ({error.strerror})"
        ) from None
    try:
        temporary.chmod(0o755)
        fill(temporary)
        for free in _names(settings) if name is None else (name,):
            if moved(temporary, runs / free):
                return runs / free
        raise _taken(str(name))
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def moved(folder: Path, place: Path) -> bool:
    """Whether a folder has come to a place where there was nothing until now."""
    if os.path.lexists(place):
        return False
    try:
        folder.rename(place)
    except OSError as error:
        # Another search was begun in the same moment.
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            return False
        raise RunError(f"{place}: cannot be written ({error.strerror})") from None
    return True


def check_name(name: str) -> None:
    """UserError unless a folder can have the name."""
    fits = name.strip(".") and name == name.strip() and name.isprintable() and Path(name).name == name
    if not fits or name.startswith(("-", UNFINISHED)) or len(os.fsencode(name)) > LONGEST_NAME:
        raise UserError(
            f"{setting('name')} '{shortened(name)}': expected the name of a folder, without slashes and "
            f"line breaks, of at most {LONGEST_NAME} bytes"
        )


def _taken(name: str) -> UserError:
    return UserError(
        f"run '{name}': there is one already; expected a new name, or {setting('resume')} {shlex.quote(name)}"
    )


def _names(settings: Settings) -> Iterator[str]:
    """Names for a run that nobody gave one, the best first."""
    space = "".join(c if c.isalnum() or c in "._-" else "_" for c in Path(settings.space).stem).lstrip(".-")
    space = space.encode()[: LONGEST_NAME // 2].decode(errors="ignore") or "run"
    budgets = "-".join(map(format_macs, settings.budgets))
    if len(budgets) > LONGEST_NAME // 3:
        budgets = f"{len(settings.budgets)}-budgets"
    return (f"{space}-{budgets}" + (f"-{i}" if i > 1 else "") for i in itertools.count(1))
