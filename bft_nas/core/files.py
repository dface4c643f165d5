"""Writing files so that a reader, or a kill at any moment, never finds half of one; and locking them."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from bft_nas.core.errors import RunError, UserError, one_line


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Put a file in place in one step: the old one stands until the new one is whole, which has its mode.

    At a symbolic link it is what the link points to; a pipe or a device is written to as it is.

    Args:
        durable: otherwise it may be lost with the machine's power, though not with the process.

    Raises:
        RunError: it cannot be written, on a full disk for example; what was there before is as it was.
    """
    with writing(path):
        mode = _mode(path)
        if mode is not None and not stat.S_ISREG(mode):
            with path.open("wb") as file:
                file.write(content)
            return
        place = path.resolve() if path.is_symlink() else path
        # As much of the name as leaves room for the rest, in the 255 bytes that a name may have.
        shown = place.name.encode(errors="ignore")[:200].decode(errors="ignore")
        # Two machines, or containers, that share the folder may have processes of one number.
        temporary = place.with_name(f".{shown}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        try:
            with temporary.open("wb") as file:
                if mode is not None:
                    # Not every file system has modes.
                    with suppress(OSError):
                        os.fchmod(file.fileno(), stat.S_IMODE(mode))
                file.write(content)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(place)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _mode(path: Path) -> int | None:
    """What there is and who may read it; None where there is nothing."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Put a text in place in one step; see `write_bytes`."""
    # A name of a file may be no UTF-8, and a message may quote it.
    write_bytes(path, text.encode(errors="backslashreplace"), durable=durable)


def read_text(path: Path) -> str:
    """A user's text; UserError when it cannot be read or is none."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as text ({one_line(error)})") from None


def is_file(path: Path) -> bool:
    """Whether there is a file; where none can be, under a name that is too long for example, there is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether there is a folder, as far as one may look."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def straight(folder: Path) -> Path:
    """A folder's path without the steps that go up again, unless a symbolic link makes them lead elsewhere."""
    path = Path(os.path.normpath(folder))
    try:
        return path if path.samefile(folder) else folder
    except OSError:
        return folder


def expanded(name: str) -> Path:
    """A path that a user wrote, with the home folder for ``~``; as it is where this machine knows of none."""
    try:
        return Path(name).expanduser()
    # ~someone, whom this machine does not know, is then reported as a path that is not there.
    except RuntimeError:
        return Path(name)


def cache_folder(kind: str) -> Path:
    """Where this user's files of a kind are kept that can be made anew; without a home, where none can be."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "bft-nas" / kind
    except RuntimeError:
        return Path(os.devnull) / kind


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    return path.stat().st_size


def check_writable(folder: Path) -> None:
    """UserError unless files can be made in a folder, or in what there is above it: before work that ends with one."""
    try:
        there = next((each for each in (folder, *folder.parents) if each.exists()), folder)
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or one_line(error)})") from None


@contextmanager
def writing(place: Path | str) -> Iterator[None]:
    """Name the file, or whatever else is written, when the operating system refuses to."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{place}: cannot be written ({error.strerror or error})") from error


def locks(file: IO[str] | int, kind: int) -> bool:
    """Lock an open file (``fcntl.LOCK_EX`` or ``LOCK_SH``) without waiting for whoever has it; whether it is."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
