"""What a loop is made of: parts that are asked again and again to do what is due."""

from __future__ import annotations

from typing import Protocol

from crypto_bot.core.timeframes import SECOND_NS, Clock, FastClock

POLL_S = 0.2
"""Seconds between two looks at what works beside the loop."""


class Part(Protocol):
    """One concern of the loop."""

    @property
    def name(self) -> str:
        """For logs and metrics."""
        ...

    def tick(self, now_ns: int) -> int:
        """Do what is due now; the moment of the clock to be asked again, later than `now_ns`."""
        ...

    def close(self) -> None:
        """End cleanly, within moments: what was begun is taken up by the next start."""
        ...


def nobody(*told: object) -> None:
    """Where nobody asked to be told."""


def speed_of(clock: Clock) -> float:
    """Seconds that the clock shows for each that passes."""
    return clock.speed if isinstance(clock, FastClock) else 1.0


def ahead(clock: Clock, now_ns: int, seconds: float) -> int:
    """The clock's time so many real seconds from now."""
    return now_ns + int(seconds * speed_of(clock) * SECOND_NS)
