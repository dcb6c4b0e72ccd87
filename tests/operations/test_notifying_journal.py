"""The notifier over the real journal: kill -9, attempts, dead letters."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from crypto_bot.core.timeframes import SECOND_NS, ReplayClock
from crypto_bot.journal import Journal
from crypto_bot.operations import DeliveryFailed, Notifier, RetryOptions

EVENTS = ("run_failed",)


class Told:
    """A channel that answers as it is told."""

    name = "webhook"

    def __init__(self, answer=None):
        self.answer = answer
        self.notices = []

    def deliver(self, notice):
        self.notices.append(notice)
        if self.answer is not None:
            raise self.answer


KILLED = """
import os, signal, sys
from crypto_bot.journal import Journal
from crypto_bot.operations import Notifier
class Channel:
    name = "webhook"
    def deliver(self, notice):
        os.kill(os.getpid(), signal.SIGKILL)
journal = Journal(sys.argv[1])
notifier = Notifier(journal, [Channel()], ["run_failed"])
notifier.notify("run_failed", {"n": 1}, "run-1")
notifier.deliver_due()
"""


def test_kill_9_in_the_middle_of_a_delivery_loses_no_message(tmp_path):
    path = tmp_path / "journal.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], env={**os.environ}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    channel = Told()
    with Journal(path) as journal:
        notifier = Notifier(journal, [channel], EVENTS)
        assert notifier.notify("run_failed", {"n": 1}, "run-1") == 0, "it is there already"
        assert notifier.deliver_due() == 1
        assert notifier.deliver_due() == 0
    assert [notice.event_id for notice in channel.notices] == ["run-1"]


@pytest.mark.parametrize("attempts", [1, 4])
def test_the_real_journal_counts_attempts_and_keeps_the_dead(tmp_path, attempts):
    clock = ReplayClock(1_000 * SECOND_NS)
    with Journal(tmp_path / "journal.sqlite", clock=clock) as journal:
        options = RetryOptions(attempts=attempts)
        notifier = Notifier(
            journal,
            [Told(DeliveryFailed("webhook must answer 2xx, was 503"))],
            EVENTS,
            clock,
            retry=options,
        )
        notifier.notify("run_failed", {"symbol": "BTC/USDT"}, "run-1")
        for _ in range(attempts + 1):
            notifier.deliver_due()
            clock.set(clock.now_ns() + 10_000 * SECOND_NS)
        (dead,) = journal.messages("dead")
    assert (dead.attempts, dead.last_error) == (attempts, "webhook must answer 2xx, was 503")
