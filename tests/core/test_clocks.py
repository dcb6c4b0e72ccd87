"""Clocks that run fast or never go back, waiting, and the next close."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_bot.core.errors import ConfigError
from crypto_bot.core.timeframes import (
    DAY_NS,
    HOUR_NS,
    MINUTE_NS,
    SECOND_NS,
    FastClock,
    ReplayClock,
    SteadyClock,
    closes_at,
    next_close_ns,
    time_of,
    timeframe_ns,
    wait_until,
)


class Hands:
    """A clock moved by hand."""

    def __init__(self, now_ns=0):
        self.now = now_ns

    def __call__(self):
        return self.now


@given(
    timeframe=st.sampled_from(["1s", "5m", "1h", "4h", "1d"]),
    now_ns=st.integers(0, 4 * 10**18),
)
def test_the_next_close_is_after_now_on_the_grid_and_no_more_than_a_bar_away(timeframe, now_ns):
    close_ns, interval_ns = next_close_ns(timeframe, now_ns), timeframe_ns(timeframe)
    assert 0 < close_ns - now_ns <= interval_ns
    assert close_ns % interval_ns == 0
    assert closes_at(timeframe, close_ns)
    assert not closes_at(timeframe, close_ns + 1)


def test_weeks_close_on_mondays():
    sunday = time_of("2026-11-22T12:00:00Z")
    assert next_close_ns("1w", sunday) == time_of("2026-11-23T00:00:00Z")
    assert next_close_ns("1w", time_of("2026-11-23T00:00:00Z")) == time_of("2026-11-30T00:00:00Z")


def test_a_fast_clock_runs_as_many_times_faster():
    passed = Hands(7)
    clock = FastClock(HOUR_NS, 60.0, monotonic_ns=passed)
    assert clock.now_ns() == HOUR_NS
    passed.now += SECOND_NS
    assert clock.now_ns() == HOUR_NS + MINUTE_NS
    with pytest.raises(ConfigError, match="speed must be > 0, was 0"):
        FastClock(0, 0)


def test_a_steady_clock_follows_forward_and_never_goes_back():
    wall, passed = Hands(10 * DAY_NS), Hands()
    clock = SteadyClock(wall_ns=wall, monotonic_ns=passed)

    def tick(seconds, wall_seconds=None):
        passed.now += int(seconds * SECOND_NS)
        wall.now += int((seconds if wall_seconds is None else wall_seconds) * SECOND_NS)
        return clock.now_ns() - 10 * DAY_NS

    assert tick(100) == 100 * SECOND_NS
    assert tick(1, 50) == 150 * SECOND_NS  # put forward: followed at once
    assert tick(10, -20) == 159 * SECOND_NS  # put back by 30 s: on at nine tenths
    assert tick(100) == 249 * SECOND_NS
    assert tick(200) == 430 * SECOND_NS  # caught up by the wall clock
    assert tick(10) == 440 * SECOND_NS


def test_a_clock_put_back_neither_stalls_nor_repeats_a_close():
    wall, passed = Hands(), Hands()
    clock = SteadyClock(wall_ns=wall, monotonic_ns=passed)
    decided = []
    for second in range(1200):
        passed.now = second * SECOND_NS
        wall.now = second * SECOND_NS - (100 * SECOND_NS if second > 301 else 0)
        now_ns = clock.now_ns()
        close_ns = next_close_ns("1m", now_ns) - MINUTE_NS
        if not decided or close_ns > decided[-1]:
            decided.append(close_ns)
    assert decided == [minute * MINUTE_NS for minute in range(len(decided))]
    assert len(decided) >= 18


def test_waiting_ends_at_the_moment_or_at_once_when_stopped():
    stop = threading.Event()
    assert wait_until(FastClock(0, 1e6), HOUR_NS, stop)
    clock = ReplayClock(5)
    assert wait_until(clock, HOUR_NS, stop)
    assert clock.now_ns() == HOUR_NS
    answers = []
    waiting = threading.Thread(
        target=lambda: answers.append(wait_until(FastClock(0, 0.001), DAY_NS, stop))
    )
    waiting.start()
    stop.set()
    waiting.join(10)
    assert answers == [False]
    assert not wait_until(clock, 0, stop)
