"""One holder at a time; a dead one blocks nobody, a living one is never robbed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from crypto_bot.core.errors import ConfigError, StorageError
from crypto_bot.core.timeframes import SECOND_NS
from crypto_bot.journal import Journal, LeaseHeld, LeaseLost

NOON_NS = 1_769_860_800 * SECOND_NS  # 2026-01-31T12:00:00Z
TAKER = """
import sys
from crypto_bot.journal import Journal, LeaseHeld
journal = Journal(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    print("won", journal.take_lease("loop", lease_s=60).fence, flush=True)
except LeaseHeld as error:
    print("lost", error, flush=True)
sys.stdin.readline()
"""
RACE = """
import multiprocessing, os, sys
from crypto_bot.journal import Journal, LeaseHeld
fork = multiprocessing.get_context("fork")
start, end = fork.Barrier(8), fork.Barrier(8)
def take():
    journal = Journal(sys.argv[1])
    start.wait(60)
    try:
        journal.take_lease("loop", lease_s=60)
        said = b"won\\n"
    except LeaseHeld:
        said = b"lost\\n"
    os.write(1, said)
    end.wait(60)  # a winner that ended would be followed
takers = [fork.Process(target=take) for _ in range(8)]
for taker in takers:
    taker.start()
for taker in takers:
    taker.join()
"""


class SetClock:
    """A clock that may be set back, as people and time servers do."""

    def __init__(self) -> None:
        self.ns = NOON_NS

    def now_ns(self) -> int:
        return self.ns


@pytest.fixture
def clock():
    return SetClock()


@pytest.fixture
def journal(location, clock):
    with Journal(location, clock=clock) as opened:
        yield opened


@pytest.fixture
def other(location, clock):
    with Journal(location, clock=clock) as opened:
        yield opened


def taker(location: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", TAKER, location],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def say_go(process: subprocess.Popen[str]) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline()


def move_elsewhere(journal: Journal) -> None:
    """Pretend that the holder is a process of another machine."""
    with journal._writing() as connection:
        connection.exec_driver_sql("UPDATE leases SET host = 'elsewhere', process = 'boot:1:2'")


def test_a_lease_is_taken_asked_for_and_given_back(journal, other):
    assert journal.lease("loop") is None
    lease = journal.take_lease("loop", lease_s=60)
    assert (lease.fence, lease.pid, lease.taken_at_ns) == (1, os.getpid(), NOON_NS)
    assert other.lease("loop") == lease
    journal.release_lease(lease)
    assert other.lease("loop") is None


def test_the_number_grows_with_every_taking(journal):
    numbers = []
    for _ in range(3):
        lease = journal.take_lease("loop", lease_s=60)
        numbers.append(lease.fence)
        journal.release_lease(lease)
    assert numbers == [1, 2, 3]
    assert journal.take_lease("another", lease_s=60).fence == 1


def test_a_living_holder_is_refused_by_name_however_long_it_is_silent(journal, other, clock):
    journal.take_lease("loop", lease_s=60)
    clock.ns += 10**6 * SECOND_NS
    told = rf"held by process {os.getpid()} on .* since 2026-01-31 12:00:00Z; .* kill {os.getpid()}"
    with pytest.raises(LeaseHeld, match=told):
        other.take_lease("loop", lease_s=60)
    assert issubclass(LeaseHeld, StorageError)


def test_a_holder_that_was_killed_is_followed_at_once(journal, location):
    holder = taker(location)
    assert say_go(holder) == "won 1\n"
    with pytest.raises(LeaseHeld, match=f"held by process {holder.pid} on"):
        journal.take_lease("loop", lease_s=60)
    os.kill(holder.pid, signal.SIGKILL)
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet buried
    assert journal.take_lease("loop", lease_s=60).fence == 2
    holder.communicate()


def test_eight_processes_want_it_and_one_gets_it(location):
    Journal(location).close()
    race = subprocess.run(
        [sys.executable, "-c", RACE, location], capture_output=True, text=True, check=True
    )
    assert sorted(race.stdout.split()) == ["lost"] * 7 + ["won"]
    with Journal(location) as journal:
        assert journal.take_lease("loop", lease_s=60).fence == 2


def test_a_holder_elsewhere_is_followed_after_its_silence(journal, other, clock):
    lease = journal.take_lease("loop", lease_s=60)
    move_elsewhere(journal)
    clock.ns += 40 * SECOND_NS
    journal.renew_lease(lease)
    clock.ns += 59 * SECOND_NS
    with pytest.raises(LeaseHeld, match=r"on elsewhere .* if that machine is gone, .* in 1 s"):
        other.take_lease("loop", lease_s=60)
    clock.ns += SECOND_NS
    assert other.take_lease("loop", lease_s=60).fence == 2


def test_the_longer_patience_of_the_two_counts(journal, other, clock):
    journal.take_lease("loop", lease_s=600)
    move_elsewhere(journal)
    clock.ns += 599 * SECOND_NS
    with pytest.raises(LeaseHeld, match="try again in 1 s"):
        other.take_lease("loop", lease_s=5)


def test_a_clock_set_back_does_not_expire_a_lease(journal, other, clock):
    lease = journal.take_lease("loop", lease_s=60)
    move_elsewhere(journal)
    clock.ns -= 3600 * SECOND_NS
    for _ in range(5):
        lease = journal.renew_lease(lease)
        clock.ns += 59 * SECOND_NS
        with pytest.raises(LeaseHeld):
            other.take_lease("loop", lease_s=60)


def test_a_clock_set_back_does_not_keep_a_dead_holders_lease(journal, other, clock):
    journal.take_lease("loop", lease_s=60)
    move_elsewhere(journal)
    clock.ns -= 3600 * SECOND_NS
    with pytest.raises(LeaseHeld, match="try again in 60 s"):
        other.take_lease("loop", lease_s=60)
    clock.ns += 60 * SECOND_NS
    assert other.take_lease("loop", lease_s=60).fence == 2


def test_a_robbed_holder_hears_of_it_and_cannot_give_back_what_is_not_its_own(
    journal, other, clock
):
    lost = journal.take_lease("loop", lease_s=60)
    move_elsewhere(journal)
    clock.ns += 60 * SECOND_NS
    kept = other.take_lease("loop", lease_s=60)
    for act in (journal.renew_lease, journal.release_lease):
        with pytest.raises(
            LeaseLost, match=f"under number 1, was taken over by process {kept.pid}"
        ):
            act(lost)
    assert other.lease("loop") == kept
    other.release_lease(kept)
    with pytest.raises(LeaseLost, match="was given back; stop what rests on it"):
        other.renew_lease(kept)


def test_a_lease_without_a_length_is_refused(journal):
    for length in (0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="lease_s must be > 0"):
            journal.take_lease("loop", lease_s=length)
