"""Again and again: the pause between turns, what a failure does to it, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from crypto_bot.backtest.schedule import FIRST_PAUSE_HOURS, Stopped, repeat
from crypto_bot.core.errors import ConfigError, DataError


class Pauses(threading.Event):
    """An event that writes down how long it was waited for, waits for nothing, and ends in time."""

    def __init__(self, most):
        super().__init__()
        self.hours, self.most = [], most

    def wait(self, timeout=None):
        self.hours.append(timeout / 3600)
        if len(self.hours) == self.most:
            self.set()
        return self.is_set()


def repeated(turn, *, turns, hours=6.0):
    stop, lines = Pauses(turns), []
    code, result = repeat(turn, hours=hours, announce=lines.append, stop=stop)
    assert code == 0
    return stop.hours, lines, result


def test_turns_follow_each_other_at_the_interval():
    called = []
    hours, lines, result = repeated(lambda should_stop: (called.append(1) or 0, None), turns=3)
    assert hours == [6.0] * 3
    assert len(called) == 3
    assert result == {"turns": 3}
    assert lines[0] == "next turn in 6 hours; stop with Ctrl-C or SIGTERM"
    assert lines[-1] == "stopped after 3 turns"


def test_failures_are_announced_and_tried_again_after_doubling_pauses_up_to_the_interval():
    def fails(should_stop):
        raise DataError("candles must be there, were not")

    hours, lines, result = repeated(fails, turns=9, hours=2.0)
    doubled = [FIRST_PAUSE_HOURS * 2**k for k in range(9)]
    assert hours == pytest.approx([min(2.0, pause) for pause in doubled])
    assert hours[0] == pytest.approx(5 / 60)
    assert hours[-1] == 2.0
    assert result == {"turns": 0}
    assert lines.count("turn failed: candles must be there, were not") == 9


def test_a_success_resets_the_pause():
    outcomes = iter([DataError("x"), DataError("x"), None, DataError("x")])

    def turn(should_stop):
        error = next(outcomes)
        if error is not None:
            raise error
        return 0, None

    hours, _, result = repeated(turn, turns=4)
    assert hours == pytest.approx([5 / 60, 10 / 60, 6.0, 5 / 60])
    assert result == {"turns": 1}


def test_a_wrong_configuration_ends_it_at_once():
    stop = Pauses(5)

    def turn(should_stop):
        raise ConfigError("costs.taker_fe is not an option")

    with pytest.raises(ConfigError, match=r"costs\.taker_fe"):
        repeat(turn, hours=1, announce=print, stop=stop)
    assert stop.hours == []


def test_an_error_of_the_program_is_not_swallowed():
    def turn(should_stop):
        raise ZeroDivisionError("a fault of ours")

    with pytest.raises(ZeroDivisionError):
        repeat(turn, hours=1, announce=print, stop=Pauses(5))


def test_a_stop_during_a_turn_ends_it_without_a_failure():
    stop, lines = Pauses(5), []

    def turn(should_stop):
        assert not should_stop()
        stop.set()
        assert should_stop()
        raise Stopped("run 7 stopped in paper trading")

    code, result = repeat(turn, hours=1, announce=lines.append, stop=stop)
    assert (code, result) == (0, {"turns": 0})
    assert lines == ["run 7 stopped in paper trading", "stopped after 0 turns"]


def test_nothing_is_begun_after_the_stop():
    stop = threading.Event()
    stop.set()
    assert repeat(lambda _: 1 / 0, hours=1, announce=lambda line: None, stop=stop)[1] == {
        "turns": 0
    }


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_the_turn(number):
    before = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)}
    lines, seen = [], []

    def turn(should_stop):
        seen.append(should_stop())
        os.kill(os.getpid(), number)
        seen.append(should_stop())
        return 0, None

    try:
        assert repeat(turn, hours=1000, announce=lines.append) == (0, {"turns": 1})
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
    assert seen == [False, True]
    assert lines == ["stopped after 1 turns"]


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_a_second_signal_in_the_middle_of_the_first_stops_nothing_from_stopping():
    code = (
        "import signal; from crypto_bot.backtest.schedule import stopped_by_signals\n"
        "event = stopped_by_signals()\n"
        "with event._cond:\n"
        "    signal.raise_signal(signal.SIGTERM); signal.raise_signal(signal.SIGINT)\n"
        "assert event.wait(10)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=30, check=False)
    assert done.returncode == 0
