"""Time: bar intervals, their arithmetic, and the clock. All times are int64 UTC nanoseconds."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from crypto_bot.core.errors import ConfigError

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS
_WEEK_NS = 7 * DAY_NS
_FIRST_MONDAY_NS = 4 * DAY_NS
_SLOWED = 0.9
_LONGEST_WAIT_S = 0.5
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


def next_close_ns(timeframe: str, now_ns: int) -> int:
    """The first close of a bar after `now_ns`, UTC ns; bars of weeks open on Mondays.

    >>> next_close_ns("5m", 0) // MINUTE_NS, next_close_ns("5m", 5 * MINUTE_NS) // MINUTE_NS
    (5, 10)
    """
    interval_ns = timeframe_ns(timeframe)
    start_ns = _FIRST_MONDAY_NS if interval_ns % _WEEK_NS == 0 else 0
    return now_ns + interval_ns - (now_ns - start_ns) % interval_ns


def closes_at(timeframe: str, time_ns: int) -> bool:
    """Whether a bar of this timeframe closes at exactly this moment."""
    return next_close_ns(timeframe, time_ns - 1) == time_ns


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


class FastClock:
    """A clock that starts where it is told and runs faster than time, for simulated days.

    Parameters
    ----------
    start_ns : int    UTC ns shown at first
    speed : float     seconds shown for each second that passes, > 0
    monotonic_ns : callable    what really passes
    """

    def __init__(
        self,
        start_ns: int,
        speed: float = 1.0,
        *,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if not speed > 0:
            raise ConfigError(f"speed must be > 0, was {speed}")
        self.speed = speed
        self._start_ns = start_ns
        self._monotonic_ns = monotonic_ns
        self._began_ns = monotonic_ns()

    def now_ns(self) -> int:
        return self._start_ns + int((self._monotonic_ns() - self._began_ns) * self.speed)


class SteadyClock:
    """The machine's clock, except that it never goes back.

    Forward steps of the wall clock are followed at once. After a backward step it goes on from where
    it was at nine tenths of the true rate until the wall clock has caught up: a second close at the
    same time can neither happen nor be waited for again.

    Parameters
    ----------
    wall_ns, monotonic_ns : callable    the machine's two clocks
    """

    def __init__(
        self,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._lock = threading.Lock()
        self._passed_ns = monotonic_ns()
        self._now_ns = wall_ns()

    def now_ns(self) -> int:
        with self._lock:
            passed_ns = self._monotonic_ns()
            slowed_ns = self._now_ns + int((passed_ns - self._passed_ns) * _SLOWED)
            self._now_ns, self._passed_ns = max(self._wall_ns(), slowed_ns), passed_ns
            return self._now_ns


def wait_until(clock: Clock, time_ns: int, stop: threading.Event) -> bool:
    """Wait until the clock shows a moment; False as soon as `stop` is set.

    The clock is looked at again every half second, so that one put forward is followed. A
    `ReplayClock`, which nobody else moves, is put to the moment at once.
    """
    if isinstance(clock, ReplayClock):
        clock.set(time_ns)
    speed = clock.speed if isinstance(clock, FastClock) else 1.0
    while not stop.is_set():
        left_s = (time_ns - clock.now_ns()) / SECOND_NS / speed
        if left_s <= 0:
            return True
        stop.wait(min(left_s, _LONGEST_WAIT_S))
    return False
