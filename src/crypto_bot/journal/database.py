"""Opening the database: pragmas, schema version, and its errors in our words."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    StatementError,
)
from sqlalchemy.pool import StaticPool

from crypto_bot.core.errors import ConfigError, CryptoBotError, MissingExtra, StorageError
from crypto_bot.journal import tables
from crypto_bot.journal.records import to_json

BUSY_S = 30.0
"""How long a writer waits for another process's transaction."""


class Durability(StrEnum):
    """What a commit survives; the word is SQLite's own setting."""

    POWER_LOSS = "FULL"
    """every commit is synced to the disk before it returns"""
    PROCESS_DEATH = "NORMAL"
    """a kill -9 loses nothing, a power cut may lose the last commits; for replays of history"""


def database_url(location: str | Path) -> URL:
    """A path, a SQLite URL or a PostgreSQL URL as one kind of thing."""
    text = str(location)
    if "://" not in text:
        return URL.create("sqlite", database=text)
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        raise ConfigError(
            "journal url must look like sqlite:///file or postgresql://host/name, was neither"
        ) from None
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigError(
            f"journal url must be sqlite or postgresql, was {url.get_backend_name()!r}"
        )
    return url


def open_database(url: URL, durability: Durability, now_ns: int) -> Engine:
    """An engine on a database that holds our schema, made on first use."""
    engine = _sqlite(url, durability) if url.get_backend_name() == "sqlite" else _postgresql(url)
    try:
        with storage_errors(url), writing(engine) as connection:
            _require_schema(connection, url, now_ns)
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that holds the write lock from its start; committed when the body ends."""
    with engine.connect().execution_options(is_write=True) as connection, connection.begin():
        yield connection


@contextmanager
def storage_errors(url: URL) -> Iterator[None]:
    """Turn the driver's errors into StorageError naming the database and the way out."""
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        raise StorageError(_explain(str(error.orig), url)) from error
    except StatementError as error:
        # A value refused by to_json on its way into a statement: our own error, wrapped.
        if isinstance(error.orig, CryptoBotError):
            raise error.orig from None
        raise


def shown(url: URL) -> str:
    """The database's name for people: the file, or the URL with its password masked."""
    if url.get_backend_name() == "sqlite":
        return url.database or ":memory:"
    return url.render_as_string(hide_password=True)


def _sqlite(url: URL, durability: Durability) -> Engine:
    in_memory = url.database in (None, "", ":memory:")
    more: dict[str, Any] = {"poolclass": StaticPool} if in_memory else {}
    if not in_memory:
        _make_folder(Path(str(url.database)))
    engine = create_engine(
        url,
        json_serializer=to_json,
        connect_args={"timeout": BUSY_S, "check_same_thread": False},
        **more,
    )

    @event.listens_for(engine, "connect")
    def _settings(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, see _begin
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY_S * 1000)}")
        if not in_memory:
            _use_write_ahead_log(connection, url)
        connection.execute(f"PRAGMA synchronous = {durability.value}")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A deferred transaction that reads first and writes later fails at once when another process
        # wrote in between; taking the lock at the start waits instead.
        is_write = connection.get_execution_options().get("is_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")

    return engine


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{path} must be in a folder that can be made, was not: {error.strerror}"
        ) from error


def _use_write_ahead_log(connection: Any, url: URL) -> None:
    """Switch the file to WAL once; the switch needs the file alone, and does not wait by itself."""
    import sqlite3

    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    if mode != "wal":
        raise StorageError(
            f"{shown(url)} must be on a disk that allows a write-ahead log, was in mode {mode}; "
            "use a local disk or a PostgreSQL URL"
        )


def _postgresql(url: URL) -> Engine:
    try:
        return create_engine(url, json_serializer=to_json, pool_pre_ping=True)
    except (ModuleNotFoundError, NoSuchModuleError):
        raise MissingExtra("psycopg", "pg") from None


def _require_schema(connection: Connection, url: URL, now_ns: int) -> None:
    present = set(inspect(connection).get_table_names())
    if not present:
        tables.metadata.create_all(connection, checkfirst=False)
        connection.execute(
            insert(tables.journal_schema).values(
                version=tables.SCHEMA_VERSION, created_at_ns=now_ns
            )
        )
        return
    if tables.journal_schema.name not in present:
        raise StorageError(
            f"{shown(url)} must be a journal of this program, was another database with tables "
            f"{', '.join(sorted(present)[:5])}; name another file"
        )
    version = connection.execute(select(tables.journal_schema.c.version)).scalar()
    if version != tables.SCHEMA_VERSION:
        raise StorageError(
            f"{shown(url)} must have schema version {tables.SCHEMA_VERSION}, was {version}; "
            "open it with the version of crypto-bot that wrote it, or name another file"
        )


def _explain(fault: str, url: URL) -> str:
    name = shown(url)
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
    if url.get_backend_name() == "postgresql":
        return f"{name} must be reachable, was not: {fault.splitlines()[0]}"
    return f"{name} must accept this, was refused: {fault}"
