"""The outbox: once in, at least once out, and nothing forgotten."""

from __future__ import annotations

import pytest

from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import ReplayClock
from crypto_bot.journal import Journal, MessageStatus


@pytest.fixture
def journal(location):
    with Journal(location, clock=ReplayClock(10**18)) as opened:
        yield opened


def test_a_message_is_added_once_and_keeps_its_first_words(journal):
    run_id = journal.start_run("loop")
    assert journal.add_message("webhook", "a", {"x": 1}, run_id)
    assert not journal.add_message("webhook", "a", {"x": 2}, run_id)
    assert journal.add_message("email", "a", {"x": 3})
    first, second = journal.messages()
    assert (first.body, first.run_id, first.status) == ({"x": 1}, run_id, MessageStatus.WAITING)
    assert (second.kind, second.run_id, second.recorded_at_ns) == ("email", None, 10**18)


def test_messages_are_due_by_their_time_and_the_oldest_first(journal):
    for name in "abc":
        journal.add_message("webhook", name, {})
    a, b, _c = journal.messages()
    journal.message_failed(a.number, "503", 10**18 + 10)
    assert [message.event_id for message in journal.due_messages(10**18)] == ["b", "c"]
    assert [message.event_id for message in journal.due_messages(10**18 + 10)] == ["b", "c", "a"]
    assert [message.event_id for message in journal.due_messages(10**18 + 10, limit=1)] == ["b"]
    journal.message_sent(b.number)
    assert [message.event_id for message in journal.due_messages(10**18 + 10)] == ["c", "a"]
    assert journal.due_messages(10**18 - 1) == []


def test_every_try_is_counted_and_the_last_error_kept(journal):
    journal.add_message("webhook", "a", {})
    (number,) = [message.number for message in journal.messages()]
    journal.message_failed(number, "503", 10**18 + 1)
    journal.message_failed(number, "gave up: 400", None)
    (dead,) = journal.messages("dead")
    assert (dead.attempts, dead.last_error) == (2, "gave up: 400")
    assert journal.due_messages(2**62) == []
    with pytest.raises(DataError, match=f"message {number} must be waiting, was dead"):
        journal.message_failed(number, "again", None)


def test_what_was_sent_stays_sent(journal):
    journal.add_message("webhook", "a", {})
    (number,) = [message.number for message in journal.messages()]
    for _ in range(2):
        journal.message_sent(number)
    (sent,) = journal.messages(MessageStatus.SENT)
    assert sent.attempts == 1
    with pytest.raises(DataError, match="must be waiting, was sent"):
        journal.message_failed(number, "late", None)


def test_unknown_messages_and_runs_are_refused(journal):
    with pytest.raises(DataError, match="number must be a message of this journal, was 7"):
        journal.message_sent(7)
    with pytest.raises(DataError, match="must name a run"):
        journal.add_message("webhook", "a", {}, "no such run")
    with pytest.raises(DataError, match="must hold JSON values"):
        journal.add_message("webhook", "a", {"x": float("nan")})
    assert journal.messages() == []
