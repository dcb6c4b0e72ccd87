"""The supervisor: parts in their time, failures beside what works, clocks that go back, the end."""

from __future__ import annotations

import threading
import time

import pytest

from crypto_bot.adapters.supabase_problems import SupabaseRefused
from crypto_bot.backtest.loop.supervisor import FIRST_PAUSE_S, LONGEST_PAUSE_S, Supervisor
from crypto_bot.core.errors import ConfigError, DataError, StorageError
from crypto_bot.core.timeframes import SECOND_NS, FastClock, ReplayClock


class Ticking:
    """A part asked every `every_s` seconds; fails where it is told to."""

    def __init__(self, name, every_s, stop, *, ends_after=None, fails=(), error=DataError):
        self.name, self._every, self._stop = name, every_s, stop
        self._ends, self._fails, self._error = ends_after, fails, error
        self.asked, self.is_closed = [], False

    def tick(self, now_ns):
        self.asked.append(now_ns // SECOND_NS)
        if len(self.asked) == self._ends:
            self._stop.set()
        if len(self.asked) in self._fails:
            raise self._error(f"{self.name} must work, did not")
        return now_ns + self._every * SECOND_NS

    def close(self):
        self.is_closed = True


def supervised(*parts, stop, clock=None, **told):
    loop = Supervisor(parts, clock or ReplayClock(0), stop, **told)
    loop.run()
    assert all(part.is_closed for part in parts)


def test_each_part_is_asked_in_its_own_time():
    stop = threading.Event()
    slow, fast = Ticking("slow", 10, stop, ends_after=3), Ticking("fast", 3, stop)
    supervised(slow, fast, stop=stop)
    assert slow.asked == [0, 10, 20]
    assert fast.asked == [0, 3, 6, 9, 12, 15, 18]


def test_a_part_that_fails_is_asked_again_after_doubling_pauses_while_the_others_go_on():
    stop, failures, recovered = threading.Event(), [], []
    bad = Ticking("bad", 1, stop, fails=range(1, 5))
    good = Ticking("good", 1, stop, ends_after=40)
    supervised(
        bad,
        good,
        stop=stop,
        on_failure=lambda name, error, times: failures.append((name, times)),
        on_recovery=recovered.append,
    )
    pauses = [FIRST_PAUSE_S * 2**k for k in range(4)]
    assert bad.asked[:5] == [0, *[int(sum(pauses[: k + 1])) for k in range(4)]]
    assert failures == [("bad", 1), ("bad", 2), ("bad", 3), ("bad", 4)]
    assert recovered == ["bad"]
    assert good.asked == list(range(40))


def test_the_pause_after_failures_has_an_end():
    stop = threading.Event()
    bad = Ticking("bad", 1, stop, fails=range(100), ends_after=20)
    supervised(bad, stop=stop)
    assert bad.asked[-1] - bad.asked[-2] == LONGEST_PAUSE_S


def test_a_wrong_configuration_ends_the_loop_and_closes_the_parts():
    stop = threading.Event()
    bad, good = Ticking("bad", 1, stop, fails=[2], error=ConfigError), Ticking("good", 1, stop)
    with pytest.raises(ConfigError, match="bad must work"):
        supervised(bad, good, stop=stop)
    assert bad.is_closed
    assert good.is_closed


def test_a_key_that_expires_while_the_loop_runs_stops_only_what_needs_it():
    stop = threading.Event()
    bad = Ticking("bad", 1, stop, fails=range(100), error=SupabaseRefused)
    good = Ticking("good", 1, stop, ends_after=20)
    supervised(bad, good, stop=stop)
    assert len(good.asked) == 20


def test_a_fault_of_ours_is_not_taken_for_weather():
    stop = threading.Event()
    bad = Ticking("bad", 1, stop, fails=[1], error=ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        supervised(bad, stop=stop)
    assert bad.is_closed


def test_a_part_that_cannot_be_closed_does_not_keep_the_others_open():
    stop = threading.Event()
    first, last = Ticking("first", 1, stop, ends_after=1), Ticking("last", 1, stop)

    def fails():
        raise StorageError("disk must have room, had none")

    last.close = fails
    with pytest.raises(StorageError, match="must have room"):
        Supervisor([first, last], ReplayClock(0), stop).run()
    assert first.is_closed


def test_a_clock_that_was_set_back_stalls_nothing():
    """By eleven days, which pass in a hundred seconds here: nobody waits for them."""
    stop, looks = threading.Event(), []

    def monotonic_ns():
        looks.append(1)
        return time.monotonic_ns() - (100 * SECOND_NS if len(looks) > 10 else 0)

    part = Ticking("part", 100, stop, ends_after=12)
    giving_up = threading.Timer(30, stop.set)
    giving_up.start()
    supervised(part, stop=stop, clock=FastClock(10**15, 10_000.0, monotonic_ns=monotonic_ns))
    giving_up.cancel()
    assert len(part.asked) == 12
    assert min(part.asked) < 10**6 - 900_000
