"""The folder of an export: what is written for it appears there when all of it is done, and nothing otherwise.

A folder that is not there yet is written beside its place, and renamed. One that is there is written within itself and
its files are exchanged one by one: it may be a mount point or the working directory of a shell, and may hold files of
its user's, none of which is touched.
"""

from __future__ import annotations

import fcntl
import filecmp
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bft_nas.core.errors import UserError, one_line
from bft_nas.core.files import check_writable, locks

IDENTIFYING = ("architecture.json", "model.py")
"""Without both of them no folder is taken for an export."""
TELLING = ("architecture.json", "weights.safetensors")
"""What says which network an export is of."""
_FORM = r"[a-z0-9_]{8}"
"""What `tempfile` puts behind a prefix."""
_WITHIN = ".bft-nas-export-"
_LEFT_WITHIN = re.compile(re.escape(_WITHIN) + _FORM)
"""Of exports to a folder that was there, within it."""


@contextmanager
def staged(folder: Path, owned: Collection[str]) -> Iterator[Path]:
    """A new folder whose files come to ``folder`` if all goes well, and vanish otherwise.

    Args:
        folder: of the export; made if missing.
        owned: names of what an export of another network may have left there, which goes. Of the same one with the
            same weights it stays where nothing new takes its place: files for another runtime, say.

    Raises:
        UserError: it cannot be written; what was there is there again.
    """
    target = folder.resolve()
    made = [parent for parent in target.parents if not parent.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(target)
        within = target.exists()
        with (
            tempfile.TemporaryDirectory(
                dir=target if within else target.parent,
                prefix=_WITHIN if within else f".{target.name}-",
                ignore_cleanup_errors=True,
            ) as scratch,
            _opened(Path(scratch)) as opened,
        ):
            with suppress(OSError):
                fcntl.flock(opened, fcntl.LOCK_EX)
            # One level down, because the scratch folder itself is readable by nobody else.
            staging, previous = Path(scratch, "export"), Path(scratch, "previous")
            staging.mkdir()
            yield staging
            check_free(folder)
            if target.exists():
                _exchange(staging, target, previous, owned)
            else:
                staging.rename(target)
    except BaseException as error:
        for parent in made:
            with suppress(OSError):
                parent.rmdir()
        if isinstance(error, OSError):
            raise UserError(
                f"{folder}: cannot be written ({error.strerror or one_line(error)[:300]})"
            ) from None
        raise


def check_free(folder: Path) -> None:
    """UserError unless an export can be written to a folder."""
    try:
        exists = folder.exists()
        if exists and not folder.is_dir():
            raise UserError(f"{folder}: exists and is no folder")
        names = {path.name for path in folder.iterdir()} if exists else set()
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror})") from None
    # One that was killed while it exchanged files has left its own folder, and half of an export.
    left = any(map(_LEFT_WITHIN.fullmatch, names))
    if names and not left and not names.issuperset(IDENTIFYING):
        raise UserError(f"{folder}: exists and holds something else than a previous export")
    check_writable(folder)


def _exchange(staging: Path, target: Path, previous: Path, owned: Collection[str]) -> None:
    """Put what is staged in the place of what is owned; where that fails, all is as it was.

    What tells an export goes first and comes last, so that a half is none.
    """
    previous.mkdir()
    new = {path.name for path in staging.iterdir()}
    goes = new if _is_alike(staging, target) else new.union(owned)
    old = {name for name in goes if os.path.lexists(target / name)}
    with _opened(target) as opened, ExitStack() as undone:
        with suppress(OSError):
            fcntl.flock(opened, fcntl.LOCK_EX)
        for name in sorted(old, key=_is_told_late):
            _move(target / name, previous / name, undone)
        for name in sorted(new, key=_is_told_late, reverse=True):
            _move(staging / name, target / name, undone)
        undone.pop_all()


def _is_alike(staging: Path, target: Path) -> bool:
    """Whether two exports are of one network with the same weights."""
    with suppress(OSError):
        return all(filecmp.cmp(staging / name, target / name, shallow=False) for name in TELLING)
    return False


def _is_told_late(name: str) -> tuple[bool, str]:
    return name not in IDENTIFYING, name


def _move(source: Path, place: Path, undone: ExitStack) -> None:
    undone.callback(_move_back, place, source)
    source.rename(place)


def _move_back(place: Path, source: Path) -> None:
    with suppress(FileNotFoundError):
        place.rename(source)


def _remove_left(target: Path) -> None:
    """Remove what exports to a folder have left behind that were killed; one that is at work has locked its own."""
    beside = re.compile(rf"\.{re.escape(target.name)}-{_FORM}")
    for place, form in ((target.parent, beside), (target, _LEFT_WITHIN)):
        found = place.iterdir() if place.exists() else ()
        for scratch in [path for path in found if form.fullmatch(path.name)]:
            with suppress(OSError), _opened(scratch) as opened:
                # Beside the target a former version had, for a moment, files of the user's in it.
                theirs = place != target and (scratch / "previous").exists()
                if locks(opened, fcntl.LOCK_EX) and (scratch / "export").is_dir() and not theirs:
                    shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield number
    finally:
        os.close(number)
