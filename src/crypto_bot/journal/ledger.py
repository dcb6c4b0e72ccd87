"""What every ledger of the journal shares: one database, one clock, rows that are added once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Engine,
    Select,
    Table,
    bindparam,
    cast,
    column,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import IntegrityError

from crypto_bot.core.errors import DataError, StorageError
from crypto_bot.core.timeframes import Clock, SystemClock
from crypto_bot.journal.database import writing
from crypto_bot.journal.faults import shown, storage_errors
from crypto_bot.journal.records import to_json

Row = dict[str, Any]


class Ledger:
    """A part of the journal. Each writing method is one transaction: all of it, or nothing."""

    _url: URL
    _engine: Engine
    _clock: Clock
    _new_token: Callable[[], str]

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with storage_errors(self._url):
            try:
                with writing(self._engine) as connection:
                    yield connection
            except IntegrityError as error:
                raise self._refused(error) from error

    def _now_ns(self, connection: Connection) -> int:
        """Now by the one clock all writers share: the server's, unless the journal was given one."""
        if connection.dialect.name == "postgresql" and isinstance(self._clock, SystemClock):
            seconds = func.extract("epoch", func.clock_timestamp())
            return (
                int(connection.execute(select(cast(seconds * 1_000_000, BigInteger))).scalar_one())
                * 1000
            )
        return self._clock.now_ns()

    def _read(self, query: Select[Any]) -> list[Row]:
        with storage_errors(self._url), self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def _add(self, table: Table, rows: Sequence[Row]) -> None:
        if rows:
            with self._writing() as connection:
                connection.execute(insert(table), rows)

    def _add_once(self, table: Table, rows: Sequence[Row], key: Sequence[str]) -> int:
        """Add the rows whose key is new; one that is there with other content refuses them all."""
        if not rows:
            return 0
        with self._writing() as connection:
            return add_once(connection, table, rows, key)

    def _refused(self, error: IntegrityError) -> DataError | StorageError:
        fault = str(error.orig)
        if "foreign key" in fault.lower():
            return DataError(
                "record must name a run (and a fill an order) that this journal holds, did not; "
                "call start_run first, and record_orders before record_fills"
            )
        return StorageError(f"{shown(self._url)} must accept this record, was refused: {fault}")


def add_once(connection: Connection, table: Table, rows: Sequence[Row], key: Sequence[str]) -> int:
    """Add the rows whose key is new; StorageError where one is there with other content."""
    added = insert_new(connection, table, rows, key) if rows else 0
    if added < len(rows):
        for row in rows:
            _require_same(connection, table, row, key)
    return added


def insert_new(
    connection: Connection, table: Table, rows: Sequence[Row], key: Sequence[str]
) -> int:
    """Add the rows whose key is not there yet; gives how many that were."""
    if connection.dialect.name == "postgresql":
        names = list(rows[0])
        # All rows as one JSON value: several times faster than one by one, and the server counts.
        given = func.json_populate_recordset(text(f"NULL::{table.name}"), bindparam("rows"))
        source: Any = select(*(column(name) for name in names)).select_from(given)
        once = postgresql.insert(table).from_select(names, source)
        statement = once.on_conflict_do_nothing(index_elements=list(key))
        counted = statement.execution_options(preserve_rowcount=True)
        return int(connection.execute(counted, {"rows": to_json(rows)}).rowcount)
    adding = sqlite.insert(table).on_conflict_do_nothing(index_elements=list(key))
    return int(connection.execute(adding, rows).rowcount)


def matching(table: Table, where: Mapping[str, Any]) -> Select[Any]:
    """Rows whose named columns equal the given values; a None value asks nothing."""
    query = select(table)
    for name, value in where.items():
        if value is not None:
            query = query.where(table.c[name] == value)
    return query


def _require_same(connection: Connection, table: Table, row: Row, key: Sequence[str]) -> None:
    query = matching(table, {name: row[name] for name in key})
    there = connection.execute(query).mappings().one()
    for name, value in row.items():
        if to_json(there[name]) != to_json(value):
            identity = " ".join(str(row[part]) for part in key)
            raise StorageError(
                f"{table.name} {identity} must be written once, was there with {name} "
                f"{there[name]!r} instead of {value!r}; give the new record its own identity"
            )
