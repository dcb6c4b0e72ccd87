"""Rows of a table in a Supabase project (PostgREST), a page at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pydantic import SecretStr

from crypto_bot.adapters.supabase_service import SupabaseService
from crypto_bot.core.errors import ConfigError, DataError, StorageError, nearest
from crypto_bot.registry.objects import MissingObject

if TYPE_CHECKING:
    import httpx

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_MILLISECONDS_FROM = 1e11
_SYMBOL = re.compile(r"[A-Za-z0-9/._:-]{1,40}")
TIME_COLUMNS = ("timestamp", "ts", "time", "created_at")
"""Looked for in this order where no time column is named."""


def read_table(
    url: str,
    key: SecretStr,
    table: str,
    *,
    start: datetime | str | None = None,
    end: datetime | str | None = None,
    symbol: str | None = None,
    time_column: str | None = None,
    symbol_column: str = "symbol",
    page: int = 1_000,
    timeout_s: float = 20.0,
    client: httpx.Client | None = None,
) -> Iterator[list[dict[str, Any]]]:
    """Pages of a table's rows, oldest first; one page is in memory at a time.

    Parameters
    ----------
    url : str                project URL (SUPABASE_URL)
    key : SecretStr          service-role key
    table : str              table of the schema `public`
    start, end : datetime or ISO text, optional    rows with start <= time < end; without a zone: UTC
    symbol : str, optional   rows of this symbol only
    time_column : str, optional    by default the first of `TIME_COLUMNS` that the table has
    symbol_column : str      column that `symbol` is compared with
    page : int               rows a request; a server that gives fewer is asked on
    timeout_s : float        longest silence of the server, seconds
    client : httpx.Client, optional    connections to use

    Yields
    ------
    list of dict    rows as the server gives them, never an empty list

    Raises
    ------
    ConfigError     a name or time that cannot be right, before any request; a key or address that
                    the server refuses
    DataError       no such table or column
    StorageError    network or server failed at every attempt
    """
    query = _query(table, start, end, symbol, symbol_column, page)
    service = SupabaseService(url, key, timeout_s=timeout_s, client=client)
    return _pages(service, table, query, _optional_name(time_column, "time_column"), page)


def _pages(
    service: SupabaseService,
    table: str,
    query: _Query,
    time_column: str | None,
    page: int,
) -> Iterator[list[dict[str, Any]]]:
    try:
        first = _rows(service, table, [("select", "*"), ("limit", "1")])
        if not first:
            return
        column = _time_column(table, time_column, first[0])
        fixed = query.parameters(column, first[0])
        offset = 0
        while True:
            asked = [*fixed, ("limit", str(page)), ("offset", str(offset))]
            rows = _rows(service, table, asked)
            if not rows:
                return
            yield rows
            # A server may cap pages below what was asked: only an empty page is the end.
            offset += len(rows)
    finally:
        service.close()


class _Query:
    """Filters of a request."""

    def __init__(
        self,
        start: datetime | None,
        end: datetime | None,
        symbol: str | None,
        symbol_column: str,
    ) -> None:
        self._bounds = (("gte", start), ("lt", end))
        self._symbol = symbol
        self._symbol_column = symbol_column

    def parameters(self, column: str, row: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Select, filters and an order that leaves no two rows in doubt where the table has ids."""
        order = f"{column}.asc,id.asc" if "id" in row and column != "id" else f"{column}.asc"
        found = [("select", "*"), ("order", order)]
        found += [
            (column, f"{sign}.{_as_stored(bound, row[column])}")
            for sign, bound in self._bounds
            if bound is not None
        ]
        if self._symbol is not None:
            found.append((self._symbol_column, f"eq.{self._symbol}"))
        return found


def _query(
    table: str,
    start: datetime | str | None,
    end: datetime | str | None,
    symbol: str | None,
    symbol_column: str,
    page: int,
) -> _Query:
    _optional_name(table, "table")
    _optional_name(symbol_column, "symbol_column")
    if symbol is not None and not _SYMBOL.fullmatch(symbol):
        raise ConfigError(f"symbol must look like XRPUSD or BTC/USDT, was {symbol!r}")
    if page < 1:
        raise ConfigError(f"page must be at least 1, was {page}")
    first, last = _instant(start, "start"), _instant(end, "end")
    if first is not None and last is not None and first >= last:
        raise ConfigError(f"start must be before end, was {first} and {last}")
    return _Query(first, last, symbol, symbol_column)


def _optional_name(name: str | None, what: str) -> str | None:
    if name is not None and not _NAME.fullmatch(name):
        raise ConfigError(f"{what} must be letters, digits and _, was {name!r}")
    return name


def _as_stored(moment: datetime, example: Any) -> str:
    """The bound in the form of the column: text, or a count of seconds or milliseconds."""
    if isinstance(example, bool) or not isinstance(example, (int, float)):
        return moment.isoformat().replace("+00:00", "Z")
    return f"{moment.timestamp() * (1_000 if example > _MILLISECONDS_FROM else 1):.0f}"


def _instant(value: datetime | str | None, what: str) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ConfigError(
            f"{what} must be a date or time such as 2026-01-31 or 2026-01-31T12:00:00Z, was {value!r}"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC)


def _time_column(table: str, wanted: str | None, row: Mapping[str, Any]) -> str:
    if wanted is not None:
        if wanted in row:
            return wanted
        raise DataError(
            f"table {table} must have the column {wanted!r}, had {', '.join(row)}"
            f"{nearest(wanted, row)}"
        )
    for name in TIME_COLUMNS:
        if name in row:
            return name
    raise DataError(
        f"table {table} must have a time column ({', '.join(TIME_COLUMNS)}), "
        f"had {', '.join(row)}; name the column"
    )


def _rows(
    service: SupabaseService, table: str, parameters: list[tuple[str, str]]
) -> list[dict[str, Any]]:
    def call() -> list[dict[str, Any]]:
        address = f"{service.url}/rest/v1/{table}"
        response = service.http.get(address, params=urlencode(parameters), headers=service.headers)
        response.raise_for_status()
        rows = response.json()
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise TypeError("rows must be a list of objects")
        return rows

    try:
        return service.ask(call, f"reading table {table}")
    except MissingObject as error:
        raise DataError(
            f"table {table} must exist at {service.host}, did not; "
            "check its name and that it is in the schema public"
        ) from error
    except StorageError as error:
        if type(error) is not StorageError:
            raise
        raise DataError(f"{error}; check the columns' names") from error
