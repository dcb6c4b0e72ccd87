"""The journal's outbox as a list."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Kept:
    number: int
    kind: str
    event_id: str
    body: dict[str, Any]
    status: str = "waiting"
    attempts: int = 0
    next_try_at_ns: int = 0
    last_error: str = ""


@dataclass
class ListOutbox:
    kept: list[Kept] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def add_message(self, kind, event_id, body, run_id=None):
        with self.changed:
            if any((k.kind, k.event_id) == (kind, event_id) for k in self.kept):
                return False
            self.kept.append(Kept(len(self.kept) + 1, kind, event_id, dict(body)))
            return True

    def due_messages(self, now_ns, limit=50):
        return [k for k in self.kept if k.status == "waiting" and k.next_try_at_ns <= now_ns][
            :limit
        ]

    def message_sent(self, number):
        self._change(number, status="sent")

    def message_failed(self, number, error, next_try_at_ns):
        status = "dead" if next_try_at_ns is None else "waiting"
        self._change(number, status=status, last_error=error, next_try_at_ns=next_try_at_ns or 0)

    def _change(self, number, **values):
        with self.changed:
            message = self.kept[number - 1]
            message.attempts += 1
            for name, value in values.items():
                setattr(message, name, value)
            self.changed.notify_all()

    def wait_for(self, condition, seconds=10):
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self.kept), seconds)
