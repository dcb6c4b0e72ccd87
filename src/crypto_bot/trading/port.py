"""The broker port: where orders go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from crypto_bot.core.bars import Bar
from crypto_bot.core.orders import Fill, Order, Position
from crypto_bot.engine.rules import UNASKED, Known

EXIT, ENTRY, PROTECT = "exit", "entry", "protect"
"""Legs: close at the next open, open at the next open, stop and target that rest with a position."""


class Broker(Protocol):
    """Where orders go. `intents` says what a decision means, `submit` acts, `on_bar` reports."""

    @property
    def symbol(self) -> str: ...

    @property
    def equity_quote(self) -> float:
        """Account value at the last close."""
        ...

    @property
    def exposure_quote(self) -> float:
        """Value of what is held at the last close, never negative."""
        ...

    def position(self) -> Position:
        """What is held now."""
        ...

    def intents(self, direction: int, score: float, known: Known = UNASKED) -> tuple[Order, ...]:
        """Orders for the next open that this decision at the last close asks for; nothing is sent."""
        ...

    def closing_intents(self, reason: str) -> tuple[Order, ...]:
        """Orders that would close what is held at the next open; none when flat."""
        ...

    def shrunk(self, orders: Sequence[Order], frac: float) -> tuple[Order, ...]:
        """Intended orders with the entry, and what protects it, at a share of their size."""
        ...

    def submit(self, orders: Sequence[Order]) -> None:
        """Send some of the orders that were intended at the last close."""
        ...

    def on_bar(self, bar: Bar) -> tuple[Fill, ...]:
        """Take note of a closed bar and report what was filled during it, in order."""
        ...


def leg_of(order: Order) -> str:
    """The leg an order's client id ends with."""
    return order.client_id.rpartition("-")[2]
