"""PostgreSQL: connections that end by themselves, and one writer at a time as with SQLite."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import NoSuchModuleError

from crypto_bot.core.errors import MissingExtra
from crypto_bot.journal import faults
from crypto_bot.journal.records import to_json
from crypto_bot.journal.tables import metadata

STATEMENT_S = 300.0
"""No single statement of ours takes longer; one that does is stuck."""
_CONNECTION = {
    "connect_timeout": 10,
    "application_name": "crypto-bot",
    # A server that is gone without a word is noticed within a minute, not within hours.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
_LOCK = (
    "SELECT pg_advisory_xact_lock(hashtext('crypto-bot journal'), hashtext(current_schema()::text))"
)
"""Held until the transaction ends, however it ends. One schema, one lock."""


def postgresql_engine(url: URL) -> Engine:
    """An engine whose waits are bounded; MissingExtra without the driver."""
    options = {name: value for name, value in _CONNECTION.items() if name not in url.query}
    try:
        engine = create_engine(
            url,
            json_serializer=to_json,
            pool_pre_ping=True,  # a connection the server dropped while idle is replaced
            pool_timeout=faults.BUSY_S,
            connect_args=options,
        )
    except (ModuleNotFoundError, NoSuchModuleError):
        raise MissingExtra("psycopg", "pg") from None
    event.listen(engine, "connect", _bound_waits)
    event.listen(engine, "begin", _one_writer)
    return engine


def read_every_page(connection: Connection) -> None:
    """Have the server read our tables from end to end, past its indexes."""
    for way in ("indexscan", "indexonlyscan", "bitmapscan"):
        connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
    for table in metadata.sorted_tables:
        connection.execute(select(func.count()).select_from(table))


def _bound_waits(connection: Any, _record: Any) -> None:
    waits = {
        "lock_timeout": faults.BUSY_S,
        "statement_timeout": STATEMENT_S,
        # The server lets go of what a client holds that vanished in the middle.
        "idle_in_transaction_session_timeout": 2 * faults.BUSY_S,
    }
    connection.autocommit = True
    for name, seconds in waits.items():
        connection.execute(f"SET {name} = {int(seconds * 1000)}")
    connection.autocommit = False


def _one_writer(connection: Connection) -> None:
    # The ledgers read first and write what follows from it; this makes that safe, as BEGIN IMMEDIATE
    # does with SQLite, and no two writers can wait for each other.
    if connection.get_execution_options().get("is_write", False):
        connection.exec_driver_sql(_LOCK)
