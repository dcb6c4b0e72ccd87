"""What is left behind: looks at work, turns of machines that are gone, stops that take too long."""

from __future__ import annotations

import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from sqlalchemy import update

from crypto_bot.backtest.loop.judging import Judging
from crypto_bot.backtest.loop.turn_process import running_step, wait_for_orphans
from crypto_bot.backtest.turn import KIND
from crypto_bot.config import load_settings
from crypto_bot.core.errors import StorageError
from crypto_bot.core.timeframes import HOUR_NS, SECOND_NS, ReplayClock
from crypto_bot.journal import Journal, tables

HELD_UP = """
import signal, threading
from crypto_bot.backtest.schedule import ending_within, stopped_by_signals
stop = stopped_by_signals()
with ending_within(0.2, stop):
    signal.raise_signal(signal.SIGTERM)
    threading.Event().wait(60)
"""


def test_a_stop_that_something_holds_up_ends_the_program_all_the_same():
    ended = subprocess.run(
        [sys.executable, "-c", HELD_UP], timeout=30, check=False, capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert ended.stderr == "the stop took longer than 0.2 s: the program is ended\n"


class _Looking(Judging):
    """Looks only when told to."""

    def __init__(self, bench, live):
        super().__init__(bench, live, announce=str)
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.looks = 0

    def _looked(self, trading, paper):
        self.looks += 1
        self.begun.set()
        self.may_end.wait(30)
        raise StorageError("registry must be reachable, was not")


@pytest.fixture
def looking():
    settings = load_settings({}, environ={})
    journal = SimpleNamespace(feedback=lambda **_: [])
    bench = SimpleNamespace(settings=settings, clock=ReplayClock(0), journal=journal)
    session = SimpleNamespace(result=lambda: None)
    trading = SimpleNamespace(run_id="live", since_ns=0, session=session)
    return _Looking(bench, SimpleNamespace(trading=trading, decided_ns=2 * HOUR_NS))


def test_the_end_of_the_program_does_not_wait_for_a_look(looking):
    looking.tick(2 * HOUR_NS)
    assert looking.begun.wait(30)
    (thread,) = [each for each in threading.enumerate() if each.name.startswith("feedback")]
    assert thread.daemon
    looking.may_end.set()
    thread.join(30)


def test_a_look_that_failed_is_made_again_after_a_quarter_of_the_interval(looking):
    looking.may_end.set()
    looking.tick(2 * HOUR_NS)
    for thread in threading.enumerate():
        if thread.name.startswith("feedback"):
            thread.join(30)
    with pytest.raises(StorageError, match="must be reachable"):
        looking.tick(2 * HOUR_NS + SECOND_NS)
    looking.begun.clear()
    looking.tick(2 * HOUR_NS + 3 * SECOND_NS)
    assert looking.looks == 1
    looking._live.decided_ns += HOUR_NS // 4
    looking.tick(looking._live.decided_ns)
    assert looking.begun.wait(30)
    assert looking.looks == 2


def elsewhere(journal, run_id):
    """As a container that was replaced leaves a run: at work under a name that nobody has any more."""
    change = {"host": "7f1c2a9b0d3e", "process": "boot:4026531836:100"}
    with journal._engine.begin() as connection:
        runs = tables.runs
        connection.execute(update(runs).where(runs.c.id == run_id), change)


def turn_of(journal, store):
    settings = load_settings({}, overrides={"data.store_folder": store}, environ={})
    run_id = journal.start_run(KIND, {"settings": settings})
    elsewhere(journal, run_id)
    return run_id


def test_a_turn_of_a_container_that_was_replaced_is_taken_up():
    with Journal("sqlite://") as journal:
        ours = turn_of(journal, "data/market")
        with pytest.raises(StopIteration), journal.step(ours, "sweep"):
            raise StopIteration
        wait_for_orphans(journal, "data/market", seconds=0.0)
        assert [run.id for run in journal.unfinished_runs(KIND)] == [ours]


def test_turns_of_another_store_are_left_alone():
    with Journal("sqlite://") as journal:
        theirs = turn_of(journal, "other/market")
        wait_for_orphans(journal, "data/market", seconds=0.0)
        assert journal.run(theirs).status == "running"


def test_a_turn_that_hangs_between_its_steps_is_overdue_too():
    clock = ReplayClock(HOUR_NS)
    with Journal("sqlite://", clock=clock) as journal:
        run_id = journal.start_run(KIND)
        assert running_step(journal, clock.now_ns(), since_ns=HOUR_NS) == ("", 0.0)
        with journal.step(run_id, "sweep"):
            clock.set(2 * HOUR_NS)
            assert running_step(journal, clock.now_ns(), since_ns=HOUR_NS) == ("sweep", 3600.0)
        clock.set(5 * HOUR_NS)
        assert running_step(journal, clock.now_ns(), since_ns=HOUR_NS) == ("", 3 * 3600.0)
        assert running_step(journal, clock.now_ns(), since_ns=5 * HOUR_NS) == ("", 0.0)
