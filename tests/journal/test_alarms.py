"""Alarms: one open at a time, tied to what was done about it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import ReplayClock
from crypto_bot.journal import AlarmStatus, Journal


@pytest.fixture
def clock():
    return ReplayClock(10**18)


@pytest.fixture
def journal(location, clock):
    with Journal(location, clock=clock) as opened:
        yield opened


@pytest.fixture
def run_id(journal):
    return journal.start_run("loop")


def test_an_open_alarm_is_given_again_unchanged(journal, run_id, clock):
    first = journal.raise_alarm(run_id, "A/B", "psi", "shrink", {"value": 0.3})
    clock.set(10**18 + 5)
    assert journal.raise_alarm(run_id, "A/B", "psi", "retrain", {"value": 0.9}) == first
    assert (first.status, first.outcome, first.ended_at_ns) == (AlarmStatus.OPEN, "", None)
    assert (first.action, first.detail, first.raised_at_ns) == ("shrink", {"value": 0.3}, 10**18)


def test_open_alarms_are_asked_by_symbol_and_action(journal, run_id):
    journal.raise_alarm(run_id, "A/B", "psi", "shrink", {})
    journal.raise_alarm(run_id, "A/B", "score", "retrain", {})
    journal.raise_alarm(run_id, "C/D", "psi", "retrain", {})

    def kinds(*where: str | None) -> list[tuple[str, str]]:
        return [(alarm.symbol, alarm.kind) for alarm in journal.open_alarms(*where)]

    assert kinds() == [("A/B", "psi"), ("A/B", "score"), ("C/D", "psi")]
    assert kinds("A/B") == [("A/B", "psi"), ("A/B", "score")]
    assert kinds(None, "retrain") == [("A/B", "score"), ("C/D", "psi")]
    assert kinds("C/D", "shrink") == []


def test_an_alarm_that_was_acted_on_is_closed_and_may_be_raised_anew(journal, run_id, clock):
    first = journal.raise_alarm(run_id, "A/B", "psi", "retrain", {})
    clock.set(10**18 + 5)
    for _ in range(2):
        journal.alarm_acted(first.number, "model 0002 trained")
    acted = journal.alarm(first.number)
    assert (acted.status, acted.ended_at_ns) == (AlarmStatus.ACTED, 10**18 + 5)
    assert journal.open_alarms() == []
    assert journal.raise_alarm(run_id, "A/B", "psi", "retrain", {}).number != first.number
    with pytest.raises(DataError, match=r"must be open, was acted \(model 0002 trained\)"):
        journal.alarm_acted(first.number, "something else")


def test_an_alarm_may_be_cleared_before_and_after_it_was_acted_on(journal, run_id):
    first = journal.raise_alarm(run_id, "A/B", "psi", "shrink", {})
    second = journal.raise_alarm(run_id, "C/D", "psi", "shrink", {})
    journal.alarm_acted(second.number, "half size")
    for alarm in (first, second):
        journal.clear_alarm(alarm.number, "drift is gone")
        journal.clear_alarm(alarm.number, "said again")
    assert [alarm.outcome for alarm in journal.alarms(status="cleared")] == ["drift is gone"] * 2
    with pytest.raises(DataError, match="must be open, was cleared"):
        journal.alarm_acted(first.number, "late")


def test_alarms_of_many_threads_are_one(journal, run_id):
    with ThreadPoolExecutor(8) as pool:
        raised = list(
            pool.map(lambda _: journal.raise_alarm(run_id, "A/B", "psi", "shrink", {}), range(24))
        )
    assert len({alarm.number for alarm in raised}) == len(journal.alarms(symbol="A/B")) == 1


def test_unknown_alarms_and_runs_are_refused(journal):
    for act in (
        journal.alarm,
        lambda n: journal.clear_alarm(n, ""),
        lambda n: journal.alarm_acted(n, ""),
    ):
        with pytest.raises(DataError, match="number must be an alarm of this journal, was 7"):
            act(7)
    with pytest.raises(DataError, match="must name a run"):
        journal.raise_alarm("no such run", "A/B", "psi", "shrink", {})
