"""Optuna's storage of a run: a journal in the run's folder, or a database that several machines share."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bft_nas.core.errors import RunError, UserError, one_line
from bft_nas.core.files import write_bytes, writing

if TYPE_CHECKING:
    import optuna

JOURNAL = "study.journal"
CREATE_TRIAL = 4
"""Optuna's code of the operation in a journal."""
POSTGRESQL_DRIVERS = ("psycopg", "psycopg2", "pg8000")


def open_journal(path: Path) -> optuna.storages.BaseStorage:
    """The storage in a file, made if there is none.

    Raises:
        RunError: a line of it cannot be read.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    from bft_nas.record.journal_lock import JournalLock

    try:
        with writing(path):
            return JournalStorage(JournalFileBackend(str(path), JournalLock(path)))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path}: {_where_damaged(path) or one_line(error)}; expected a whole journal, which --resume makes of it"
        ) from None


def open_database(url: str) -> optuna.storages.BaseStorage:
    """The storage behind a URL such as ``postgresql://user@host/database`` or ``sqlite:///study.db``.

    A password that the URL lacks is taken from ``PGPASSWORD``.

    Raises:
        UserError: it is no such URL, or nothing answers there.
    """
    import sqlalchemy
    from optuna.storages import RDBStorage
    from optuna.storages._cached_storage import _CachedStorage

    try:
        place = sqlalchemy.make_url(url)
        if place.drivername == "postgresql":
            place = place.set(drivername=f"postgresql+{_postgresql_driver()}")
        if place.drivername.startswith("postgresql") and place.password is None:
            place = place.set(password=os.environ.get("PGPASSWORD"))
        # What Optuna itself makes of a URL: a database behind a cache of the finished trials.
        return _CachedStorage(RDBStorage(place.render_as_string(hide_password=False)))
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"--storage '{without_password(url)}': cannot be opened ({_first_words(error)}); expected a URL of "
            f"a database such as postgresql://user@host/database"
        ) from None


def check_database(url: str) -> None:
    """UserError unless a storage can be opened at a URL; see `open_database`."""
    open_database(url).remove_session()


def without_password(url: str) -> str:
    """A URL as it may be printed and kept.

    >>> without_password("postgresql://me:secret@host/studies")
    'postgresql://me@host/studies'
    """
    import sqlalchemy

    try:
        return sqlalchemy.make_url(url)._replace(password=None).render_as_string()
    except sqlalchemy.exc.ArgumentError:
        return url


@contextmanager
def recording(place: str) -> Iterator[None]:
    """Name the storage when it cannot be written or no longer answers."""
    from optuna.exceptions import StorageInternalError

    try:
        with writing(place):
            yield
    except StorageInternalError as error:
        raise RunError(f"{place}: cannot be written ({_first_words(error.__cause__ or error)})") from error


def mend_journal(path: Path, recognised: Callable[[], int]) -> str | None:
    """Take what cannot be read out of a journal; None when it is whole, otherwise what was done.

    The damaged file is kept beside the repaired one. Where the line was lost that begins a trial, all that was said of
    the trial would be said of none: an empty trial takes its place.

    Args:
        recognised: how many candidates of the journal as it now stands are those that the run's folder describes.

    Raises:
        RunError: it cannot be repaired, and is left as it was.
    """
    if not path.is_file():
        return None
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    damaged = [index for index, line in enumerate(lines) if not _is_whole(line)]
    if not damaged:
        return None
    if damaged == [len(lines) - 1] and not lines[-1].endswith(b"\n"):
        # Its writer was killed or found the disk full; nothing of it was acted upon, and who writes next drops it.
        return None
    kept = path.with_name(f"{path.name}.damaged")
    write_bytes(kept, content)
    whole = [line for line in lines if _is_whole(line)]
    beginning = next((line for line in whole if json.loads(line)["op_code"] == CREATE_TRIAL), b"")
    found = {}
    for stand_in in (b"", beginning):
        mended = b"".join(
            stand_in + _whole_end(line) if index in damaged else line for index, line in enumerate(lines)
        )
        write_bytes(path, mended)
        try:
            found[mended] = recognised()
        except RunError:
            continue
    if not found:
        write_bytes(path, content)
        raise RunError(f"{path}: {_where_damaged(path)}, and without it the rest cannot be understood")
    write_bytes(path, max(found, key=lambda mended: found[mended]))
    where = ", ".join(str(index + 1) for index in damaged[:5])
    return f"{path}: line {where} could not be read and was taken out; the file as it was is {kept.name}"


def _is_whole(line: bytes) -> bool:
    try:
        return line.endswith(b"\n") and "op_code" in json.loads(line)
    except (ValueError, TypeError):
        return False


def _whole_end(line: bytes) -> bytes:
    """The whole line behind half of another, which a full disk left."""
    end = line[max(0, line.rfind(b'{"op_code"')) :]
    return end if _is_whole(end) else b""


def _where_damaged(path: Path) -> str:
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        return str(error.strerror)
    return next(
        (f"line {i} cannot be read" for i, line in enumerate(lines, start=1) if not _is_whole(line)), ""
    )


def _postgresql_driver() -> str:
    for name in POSTGRESQL_DRIVERS:
        if importlib.util.find_spec(name):
            return name
    raise UserError(
        "--storage: no driver for PostgreSQL is installed; expected pip install 'bft-nas[postgresql]'"
    )


def _first_words(error: BaseException) -> str:
    return one_line(error)[:160]
