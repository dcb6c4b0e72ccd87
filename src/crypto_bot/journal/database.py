"""Opening the database: which kind it is, SQLite's settings, one transaction at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import StaticPool

from crypto_bot.core.errors import ConfigError, StorageError
from crypto_bot.journal import faults
from crypto_bot.journal.faults import shown, storage_errors
from crypto_bot.journal.postgresql import postgresql_engine
from crypto_bot.journal.records import to_json
from crypto_bot.journal.schema import require_schema


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
    engine = (
        _sqlite(url, durability) if url.get_backend_name() == "sqlite" else postgresql_engine(url)
    )
    try:
        with storage_errors(url), writing(engine) as connection:
            require_schema(connection, url, now_ns)
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that holds the write lock from its start; committed when the body ends."""
    with engine.connect().execution_options(is_write=True) as connection, connection.begin():
        yield connection


def _sqlite(url: URL, durability: Durability) -> Engine:
    in_memory = url.database in (None, "", ":memory:")
    more: dict[str, Any] = {"poolclass": StaticPool} if in_memory else {}
    if not in_memory:
        _make_folder(Path(str(url.database)))
    engine = create_engine(
        url,
        json_serializer=to_json,
        connect_args={"timeout": faults.BUSY_S, "check_same_thread": False},
        **more,
    )

    @event.listens_for(engine, "connect")
    def _settings(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, see _begin
        connection.execute(f"PRAGMA busy_timeout = {int(faults.BUSY_S * 1000)}")
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

    deadline = time.monotonic() + faults.BUSY_S
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
