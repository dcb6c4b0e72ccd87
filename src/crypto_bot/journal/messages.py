"""The outbox: what others shall be told, written down first, tried until it is sent or dead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, update

from crypto_bot.core.errors import DataError
from crypto_bot.journal import tables
from crypto_bot.journal.ledger import Ledger, insert_new, matching


class MessageStatus(StrEnum):
    """How a message stands."""

    WAITING = "waiting"
    SENT = "sent"
    DEAD = "dead"
    """given up after too many tries; kept for a person to read"""


@dataclass(frozen=True, slots=True)
class Message:
    """Something to tell; `event_id` lets the receiver know one that comes twice."""

    number: int
    kind: str
    event_id: str
    body: Mapping[str, Any]
    status: MessageStatus
    attempts: int
    next_try_at_ns: int
    last_error: str
    recorded_at_ns: int
    run_id: str | None = None


class MessageLedger(Ledger):
    """Messages by kind (a channel or an event): added once, delivered at least once."""

    def add_message(
        self, kind: str, event_id: str, body: Mapping[str, Any], run_id: str | None = None
    ) -> bool:
        """Write a message down, due at once; False when this kind and event id are there already.

        The first body stays: a resumed run may add its messages again.
        """
        now_ns = self._clock.now_ns()
        row = {
            "kind": kind,
            "event_id": event_id,
            "run_id": run_id,
            "body": dict(body),
            "status": MessageStatus.WAITING.value,
            "attempts": 0,
            "next_try_at_ns": now_ns,
            "last_error": "",
            "recorded_at_ns": now_ns,
        }
        with self._writing() as connection:
            return insert_new(connection, tables.messages, [row], ("kind", "event_id")) == 1

    def due_messages(self, now_ns: int, limit: int = 50) -> list[Message]:
        """Waiting messages whose time has come, the longest due first."""
        table = tables.messages
        query = matching(table, {"status": MessageStatus.WAITING.value})
        due = query.where(table.c.next_try_at_ns <= now_ns)
        ordered = due.order_by(table.c.next_try_at_ns, table.c.number).limit(limit)
        return [_message(row) for row in self._read(ordered)]

    def message_sent(self, number: int) -> None:
        """Write down that the receiver has it; saying so twice changes nothing."""
        with self._writing() as connection:
            message = _require(connection, number)
            if message["status"] != MessageStatus.SENT:
                _tried(connection, message, status=MessageStatus.SENT.value, last_error="")

    def message_failed(self, number: int, error: str, next_try_at_ns: int | None) -> None:
        """Write down a failed try and when to try again; None gives the message up.

        DataError for a message that is no longer waiting: one that was sent stays sent.
        """
        with self._writing() as connection:
            message = _require(connection, number)
            if message["status"] != MessageStatus.WAITING:
                raise DataError(f"message {number} must be waiting, was {message['status']}")
            if next_try_at_ns is None:
                _tried(connection, message, status=MessageStatus.DEAD.value, last_error=error)
            else:
                _tried(connection, message, next_try_at_ns=int(next_try_at_ns), last_error=error)

    def messages(self, status: MessageStatus | str | None = None) -> list[Message]:
        """Messages in the order they were written down."""
        wanted = None if status is None else MessageStatus(status).value
        query = matching(tables.messages, {"status": wanted})
        return [_message(row) for row in self._read(query.order_by(tables.messages.c.number))]


def _require(connection: Connection, number: int) -> Mapping[str, Any]:
    found = connection.execute(matching(tables.messages, {"number": number})).mappings().first()
    if found is None:
        raise DataError(f"number must be a message of this journal, was {number!r}")
    return dict(found)


def _tried(connection: Connection, message: Mapping[str, Any], **values: Any) -> None:
    table = tables.messages
    change = {**values, "attempts": message["attempts"] + 1}
    connection.execute(update(table).where(table.c.number == message["number"]), change)


def _message(row: Mapping[str, Any]) -> Message:
    return Message(**{**row, "status": MessageStatus(row["status"])})
