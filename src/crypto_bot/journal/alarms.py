"""Alarms: what reality objected to, what shall be done about it, and what came of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, insert, text, update

from crypto_bot.core.errors import DataError
from crypto_bot.journal import tables
from crypto_bot.journal.ledger import Ledger, matching

_IS_OPEN = text("status = 'open'")
"""In these very words: only so does the partial index answer, however many alarms have ended."""


class AlarmStatus(StrEnum):
    """How an alarm stands."""

    OPEN = "open"
    ACTED = "acted"
    CLEARED = "cleared"


@dataclass(frozen=True, slots=True)
class Alarm:
    """A finding and the action it asks for; open until the action is done or no longer needed."""

    number: int
    run_id: str
    symbol: str
    kind: str
    action: str
    detail: Mapping[str, Any]
    status: AlarmStatus
    outcome: str
    raised_at_ns: int
    ended_at_ns: int | None


class AlarmLedger(Ledger):
    """The alarms of every symbol; at most one of a kind is open for a symbol at a time."""

    def raise_alarm(
        self, run_id: str, symbol: str, kind: str, action: str, detail: Mapping[str, Any]
    ) -> Alarm:
        """Write an alarm down, or give the open one of this symbol and kind, unchanged."""
        row = {
            "run_id": run_id,
            "symbol": symbol,
            "kind": kind,
            "action": action,
            "detail": dict(detail),
            "status": AlarmStatus.OPEN.value,
            "outcome": "",
            "raised_at_ns": self._clock.now_ns(),
            "ended_at_ns": None,
        }
        same = matching(tables.alarms, {"symbol": symbol, "kind": kind}).where(_IS_OPEN)
        with self._writing() as connection:
            if connection.execute(same).first() is None:
                connection.execute(insert(tables.alarms), [row])
            return _alarm(dict(connection.execute(same).mappings().one()))

    def alarm(self, number: int) -> Alarm:
        """One alarm by its number; DataError if there is none."""
        rows = self._read(matching(tables.alarms, {"number": number}))
        if not rows:
            raise _unknown(number)
        return _alarm(rows[0])

    def alarms(
        self, *, run_id: str | None = None, symbol: str | None = None, status: str | None = None
    ) -> list[Alarm]:
        """Alarms in the order they were raised."""
        wanted = None if status is None else AlarmStatus(status).value
        query = matching(tables.alarms, {"run_id": run_id, "symbol": symbol, "status": wanted})
        return [_alarm(row) for row in self._read(query.order_by(tables.alarms.c.number))]

    def open_alarms(self, symbol: str | None = None, action: str | None = None) -> list[Alarm]:
        """Alarms that still ask for their action, oldest first."""
        query = matching(tables.alarms, {"symbol": symbol, "action": action}).where(_IS_OPEN)
        # Sorted here: asked for the order of numbers, SQLite walks all alarms that ever were.
        return sorted((_alarm(row) for row in self._read(query)), key=lambda alarm: alarm.number)

    def alarm_acted(self, number: int, outcome: str) -> None:
        """Write down what the action came to; again, as a resumed run does, changes nothing.

        DataError for an alarm that was cleared, and for another outcome than the one written down.
        """
        with self._writing() as connection:
            there = _require(connection, number)
            if (there["status"], there["outcome"]) == (AlarmStatus.ACTED, outcome):
                return
            if there["status"] != AlarmStatus.OPEN:
                raise DataError(
                    f"alarm {number} must be open, was {there['status']} ({there['outcome']})"
                )
            self._end(connection, number, AlarmStatus.ACTED, outcome)

    def clear_alarm(self, number: int, outcome: str) -> None:
        """Write down that the reason is gone, acted on or not; a cleared one stays as it is."""
        with self._writing() as connection:
            if _require(connection, number)["status"] != AlarmStatus.CLEARED:
                self._end(connection, number, AlarmStatus.CLEARED, outcome)

    def _end(self, connection: Connection, number: int, status: AlarmStatus, outcome: str) -> None:
        table = tables.alarms
        change = {"status": status.value, "outcome": outcome, "ended_at_ns": self._clock.now_ns()}
        connection.execute(update(table).where(table.c.number == number), change)


def _require(connection: Connection, number: int) -> Mapping[str, Any]:
    found = connection.execute(matching(tables.alarms, {"number": number})).mappings().first()
    if found is None:
        raise _unknown(number)
    return dict(found)


def _unknown(number: int) -> DataError:
    return DataError(f"number must be an alarm of this journal, was {number!r}")


def _alarm(row: Mapping[str, Any]) -> Alarm:
    return Alarm(**{**row, "status": AlarmStatus(row["status"])})
