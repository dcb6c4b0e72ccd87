"""The database's errors in our words: which database, what is wrong with it, the way out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from crypto_bot.core.errors import CryptoBotError, StorageError

BUSY_S = 30.0
"""How long a writer waits for another process's transaction."""


@contextmanager
def storage_errors(url: URL) -> Iterator[None]:
    """Turn the driver's errors into StorageError naming the database and the way out."""
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        raise StorageError(_explain(error, url)) from error
    except NoConnectionFree as error:
        raise StorageError(
            f"{shown(url)} must have a connection free, had none for {BUSY_S:.0f} s; "
            "use it from fewer threads"
        ) from error
    except StatementError as error:
        # A value refused by to_json on its way into a statement: our own error, wrapped.
        if isinstance(error.orig, CryptoBotError):
            raise error.orig from None
        raise


def shown(url: URL) -> str:
    """The database's name for people: the file, or the URL with its passwords masked."""
    if url.get_backend_name() == "sqlite":
        return url.database or ":memory:"
    masked = {name: "***" for name in url.query if "password" in name}
    return url.update_query_dict(masked).render_as_string(hide_password=True)


def _explain(error: DBAPIError, url: URL) -> str:
    fault = " ".join(str(error.orig).split())
    if url.get_backend_name() == "sqlite":
        return _explain_sqlite(fault, shown(url))
    state = getattr(error.orig, "sqlstate", None) or ""
    said = getattr(getattr(error.orig, "diag", None), "message_primary", None)
    fault = said or fault  # without the statement's text and the driver's hints
    return _explain_postgresql(fault, state, error, shown(url))


def _explain_sqlite(fault: str, name: str) -> str:
    if "not a database" in fault or "malformed" in fault or "corrupt" in fault:
        return (
            f"{name} must be an intact SQLite file, was damaged ({fault}); save what is readable by: "
            f"sqlite3 {name} .recover | sqlite3 mended.sqlite, or move it away to start afresh"
        )
    if "unable to open" in fault or "readonly" in fault or "read-only" in fault:
        return f"{name} must be writable, was not ({fault}); check the folder's permissions"
    if "locked" in fault or "busy" in fault:
        return f"{name} must be free, was held by another process for {BUSY_S:.0f} s; try again"
    if "disk is full" in fault or "full" in fault.split():
        return f"{name} must have room, was on a full disk; free some space and start again"
    if "disk I/O error" in fault:
        return (
            f"{name} must be on a disk that works, was not ({fault}); check the disk and its free "
            "space, then start again: what was written down before is kept"
        )
    return f"{name} must accept this, was refused: {fault}"


_BY_STATE: Mapping[str, str] = {
    "53100": "must have room, was on a full disk ({fault}); free some space on the server",
    "53300": "must have a connection free, had none ({fault}); raise its max_connections",
    "55P03": f"must be free, was held by another process for {BUSY_S:.0f} s; try again",
    "57014": "must answer in time, did not ({fault}); see what it is busy with, and try again",
    "25006": "must be writable, was not ({fault}); name the server that takes writes",
    "42501": "must be writable, was not ({fault}); grant this user its tables",
    "3F000": "must name a schema that exists, did not; make it: CREATE SCHEMA name",
    "XX001": "must be intact, was damaged ({fault}); restore it from a backup",
    "XX002": "must be intact, was damaged ({fault}); REINDEX it, or restore a backup",
}
_BY_WORDS: Mapping[str, str] = {
    "password": "must let us in, did not ({fault}); give the password by PGPASSWORD or ~/.pgpass",
    "authentication": "must let us in, did not ({fault}); see the server's pg_hba.conf",
    "does not exist": "must exist, did not ({fault}); make it: createdb, createuser",
}


def _explain_postgresql(fault: str, state: str, error: DBAPIError, name: str) -> str:
    if state in _BY_STATE:
        return f"{name} {_BY_STATE[state].format(fault=fault)}"
    for words, told in _BY_WORDS.items():
        if not error.connection_invalidated and state in ("", "3D000", "28P01") and words in fault:
            return f"{name} {told.format(fault=fault)}"
    if error.connection_invalidated or not state or state.startswith(("08", "57P")):
        return (
            f"{name} must be reachable, was not: {fault}; start it, or wait until it is back, and "
            "try again"
        )
    return f"{name} must accept this, was refused: {fault}"
