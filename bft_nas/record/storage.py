"""Optuna's storage of a run: a journal in the run's folder, or a database that several machines share."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bft_nas.core.errors import RunError, UserError, one_line, setting
from bft_nas.core.files import writing
from bft_nas.record.journal_repair import where_damaged

if TYPE_CHECKING:
    import optuna

JOURNAL = "study.journal"
POSTGRESQL_DRIVERS = ("psycopg", "psycopg2", "pg8000")


def open_journal(path: Path) -> optuna.storages.BaseStorage:
    """The storage in a file, made if there is none.

    Raises:
        RunError: a line of it cannot be read.
    """
    from optuna.storages import JournalStorage

    from bft_nas.record.journal_backend import JournalBackend

    try:
        with writing(path):
            return JournalStorage(JournalBackend(path))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path}: {where_damaged(path) or one_line(error)}; expected a whole journal, which "
            f"{setting('resume')} makes of it"
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
            f"{setting('storage')} '{without_password(url)}': cannot be opened ({_first_words(error)}); "
            f"expected a URL of a database such as postgresql://user@host/database"
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


@contextmanager
def in_one_write(storage: optuna.storages.BaseStorage) -> Iterator[None]:
    """Let all that is recorded meanwhile reach a journal in one write; nothing of it can be read before.

    A database has transactions of its own.
    """
    from optuna.storages import JournalStorage

    from bft_nas.record.journal_backend import JournalBackend

    backend = storage._backend if isinstance(storage, JournalStorage) else None
    if not isinstance(backend, JournalBackend):
        yield
        return
    with backend.held():
        yield


def _postgresql_driver() -> str:
    for name in POSTGRESQL_DRIVERS:
        if importlib.util.find_spec(name):
            return name
    raise UserError(
        f"{setting('storage')}: no driver for PostgreSQL is installed; expected pip install 'bft-nas[postgresql]'"
    )


def _first_words(error: BaseException) -> str:
    return one_line(error)[:160]
