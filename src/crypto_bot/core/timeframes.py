"""Time: bar intervals, their arithmetic, and the clock. All times are int64 UTC nanoseconds."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Protocol

from crypto_bot.core.errors import ConfigError

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS
DAYS_PER_YEAR = 365
"""Crypto trades around the clock: years have 365 trading days."""

_UNITS = {"s": SECOND_NS, "m": MINUTE_NS, "h": HOUR_NS, "d": DAY_NS, "w": 7 * DAY_NS}
_PATTERN = re.compile(r"([1-9][0-9]*)([smhdw])")


def timeframe_ns(timeframe: str) -> int:
    """Length of one bar in nanoseconds.

    >>> timeframe_ns("5m") // SECOND_NS
    300
    """
    match = _PATTERN.fullmatch(timeframe)
    if match is None:
        raise ConfigError(
            f"timeframe must be a number and one of s m h d w (such as 5m, 1h, 1d), was {timeframe!r}"
        )
    return int(match[1]) * _UNITS[match[2]]


def timeframe_name(interval_ns: int) -> str:
    """The shortest name of an interval: 3_600_000_000_000 -> '1h'.

    >>> timeframe_name(4 * HOUR_NS)
    '4h'
    """
    for unit in ("d", "h", "m", "s"):
        if interval_ns > 0 and interval_ns % _UNITS[unit] == 0:
            return f"{interval_ns // _UNITS[unit]}{unit}"
    raise ConfigError(f"interval must be whole seconds, was {interval_ns} ns")


def iso_time(time_ns: int) -> str:
    """UTC text of a time, for people and files.

    >>> iso_time(0)
    '1970-01-01T00:00:00Z'
    """
    return datetime.fromtimestamp(time_ns // SECOND_NS, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def time_of(text: str) -> int:
    """The inverse of `iso_time`.

    >>> time_of("1970-01-01T00:00:01Z")
    1000000000
    """
    return int(datetime.fromisoformat(text).timestamp()) * SECOND_NS


class Clock(Protocol):
    """Where 'now' comes from; replay and live differ only here."""

    def now_ns(self) -> int:
        """Current UTC time in nanoseconds."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        return time.time_ns()


class ReplayClock:
    """A clock moved by whoever replays history."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        return self._now_ns

    def set(self, now_ns: int) -> None:
        """Move the clock; it never goes back."""
        self._now_ns = max(self._now_ns, now_ns)
