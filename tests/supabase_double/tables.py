"""The part of PostgREST that reading a table takes: select, filters, order, paging, errors."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

from supabase_double.keys import BadToken, read_token
from supabase_double.storage_routes import Answer, Request, as_json

PREFIX = "/rest/v1/"
_FILTER = re.compile(r"(eq|gt|gte|lt|lte)\.(.*)")
_COMPARE = {
    "eq": lambda a, b: a == b,
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
}


class TableError(Exception):
    """An error of PostgREST."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"code": code, "details": None, "hint": None, "message": message}


class Tables:
    """Tables of the schema `public`; rows of equal keys."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.most_rows = 1_000

    def answer(self, name: str, query: str, request: Request) -> Answer:
        """GET of a table."""
        try:
            self._authorize(request)
            if name not in self.rows:
                said = f"Could not find the table 'public.{name}' in the schema cache"
                raise TableError(404, "PGRST205", said)
            return self._page(name, query, request)
        except TableError as error:
            return as_json(error.body, error.status)

    def _authorize(self, request: Request) -> None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        try:
            read_token(self._secret, token)
        except BadToken as error:
            expired = "exp" in str(error)
            said = "JWT expired" if expired else "JWSError JWSInvalidSignature"
            raise TableError(401, "PGRST303" if expired else "PGRST301", said) from None

    def _page(self, name: str, query: str, request: Request) -> Answer:
        limit, offset, order = self.most_rows, 0, ""
        found = list(self.rows[name])
        columns = set(found[0]) if found else set()
        for key, value in parse_qsl(query, keep_blank_values=True):
            if key == "limit":
                limit = min(limit, int(value))
            elif key == "offset":
                offset = int(value)
            elif key == "order":
                order = value
            elif key != "select":
                found = [row for row in found if keeps(name, key, value, row, columns)]
        span = re.fullmatch(r"(\d+)-(\d+)", request.headers.get("range", ""))
        if span is not None:
            offset, limit = int(span[1]), min(limit, int(span[2]) - int(span[1]) + 1)
        rows = ordered(name, found, order, columns)[offset : offset + limit]
        last = f"{offset}-{offset + len(rows) - 1}" if rows else "*"
        return as_json(rows, **{"content-range": f"{last}/*"})


def keeps(table: str, column: str, wanted: str, row: dict[str, Any], columns: set[str]) -> bool:
    """Whether a row passes a filter such as 'gte.2026-01-01'."""
    match = _FILTER.fullmatch(wanted)
    if match is None:
        raise TableError(400, "PGRST100", f'"failed to parse filter ({wanted})"')
    require_column(table, column, columns)
    value = row[column]
    if value is None:
        return False
    try:
        bound = type(value)(match[2])
    except ValueError:
        said = f'invalid input syntax for type bigint: "{match[2]}"'
        raise TableError(400, "22P02", said) from None
    return _COMPARE[match[1]](value, bound)


def ordered(
    table: str, rows: list[dict[str, Any]], order: str, columns: set[str]
) -> list[dict[str, Any]]:
    """Sorted by 'a.asc,b.desc'."""
    for part in reversed(order.split(",") if order else []):
        column, _, direction = part.partition(".")
        require_column(table, column, columns)
        rows = sorted(rows, key=lambda row: row[column], reverse=direction == "desc")
    return rows


def require_column(table: str, column: str, columns: set[str]) -> None:
    """PostgreSQL's words for a column that is not there."""
    if columns and column not in columns:
        raise TableError(400, "42703", f"column {table}.{column} does not exist")
