"""When the next turn begins: every rule of the plan, from what a journal says."""

from __future__ import annotations

import pytest

from crypto_bot.backtest.loop.plan import STOPPED, Past, next_turn, read_past
from crypto_bot.backtest.turn import KIND
from crypto_bot.config import load_settings
from crypto_bot.core.timeframes import HOUR_NS, MINUTE_NS, ReplayClock
from crypto_bot.journal import Journal, Trial, TrialKind

NOW = 1_000 * HOUR_NS
EVEN = {"loop": {"jitter_frac": 0.0}}


def settings(**more):
    return load_settings({**EVEN, **more}, environ={})


@pytest.fixture
def clock():
    return ReplayClock(NOW)


@pytest.fixture
def journal(clock):
    with Journal("sqlite://", clock=clock) as opened:
        opened.clock = clock
        yield opened


def moved(journal):
    """A nanosecond later: runs of one moment have no order."""
    journal.clock.set(journal.clock.now_ns() + 1)


def finished(journal, status="done", *, trained=False, summary=None):
    moved(journal)
    run_id = journal.start_run(KIND)
    if trained:
        journal.record_trials(run_id, [Trial("ALL", "5m", "lightgbm", {}, {}, TrialKind.MODEL)])
    journal.finish_run(run_id, status, summary)
    return run_id


def test_the_first_turn_begins_at_once_and_trains(journal):
    due = next_turn(settings(), read_past(journal), NOW)
    assert (due.at_ns, due.train, due.why) == (NOW, True, "the first turn")


def test_candles_are_due_after_the_refresh_interval_without_training(journal, clock):
    finished(journal, trained=True)
    clock.set(NOW + HOUR_NS)
    due = next_turn(settings(), read_past(journal), clock.now_ns())
    assert (due.at_ns // HOUR_NS, due.train) == (NOW // HOUR_NS + 6, False)


def test_training_that_is_due_before_the_next_refresh_comes_first(journal):
    finished(journal, trained=True)
    chosen = settings(ml_integration={"retrain_interval_hours": 2})
    due = next_turn(chosen, read_past(journal), NOW)
    assert (due.at_ns // HOUR_NS, due.train) == (NOW // HOUR_NS + 2, True)
    assert due.why == "training is due"


def test_a_refresh_turn_trains_when_training_is_due_by_then(journal):
    finished(journal, trained=True)
    chosen = settings(ml_integration={"retrain_interval_hours": 6})
    assert next_turn(chosen, read_past(journal), NOW).train


def test_with_auto_retrain_off_nothing_is_trained_again(journal):
    finished(journal, trained=True)
    chosen = settings(ml_integration={"auto_retrain": False, "retrain_interval_hours": 1})
    due = next_turn(chosen, read_past(journal), NOW + 9 * HOUR_NS)
    assert (due.at_ns // HOUR_NS, due.train) == (NOW // HOUR_NS + 6, False)


def test_failed_turns_wait_for_pauses_that_double_up_to_the_interval(journal, clock):
    finished(journal, trained=True)
    pauses = []
    for _ in range(8):
        finished(journal, "failed")
        past = read_past(journal)
        pauses.append(
            next_turn(settings(), past, journal.clock.now_ns()).at_ns - past.last_failure_ns
        )
    assert pauses == [min(5 * 2**k, 360) * MINUTE_NS for k in range(8)]
    finished(journal)
    assert read_past(journal).failures == 0


def test_an_interrupted_turn_goes_on_at_once(journal):
    finished(journal, trained=True)
    finished(journal, "interrupted")
    due = next_turn(settings(), read_past(journal), NOW)
    assert (due.at_ns, due.why) == (NOW, "an interrupted turn is taken up")


def started_again(journal, run_id, times):
    for _ in range(times):
        with pytest.raises(KeyboardInterrupt), journal.step(run_id, "sweep"):
            raise KeyboardInterrupt


def test_a_turn_that_dies_in_the_same_step_again_and_again_waits_longer(journal):
    run_id = journal.start_run(KIND)
    started_again(journal, run_id, 3)
    journal.finish_run(run_id, "interrupted")
    assert next_turn(settings(), read_past(journal), NOW).at_ns == NOW + 10 * MINUTE_NS


def test_stops_that_were_asked_for_are_no_failures(journal):
    run_id = journal.start_run(KIND)
    started_again(journal, run_id, 3)
    journal.finish_run(run_id, "interrupted", {STOPPED: True})
    assert next_turn(settings(), read_past(journal), NOW).at_ns == NOW


def test_an_alarm_that_asks_for_training_is_obeyed_at_once_unless_learning_is_off(journal):
    run_id = finished(journal, trained=True)
    journal.raise_alarm(run_id, "ALL", "feature_drift", "retrain", {})
    past = read_past(journal)
    due = next_turn(settings(), past, NOW + 1)
    assert (due.at_ns, due.train) == (NOW + 1, True)
    assert "feature_drift" in due.why
    off = next_turn(settings(learning_enabled=False), past, NOW + 1)
    assert (off.at_ns // HOUR_NS, off.train) == (NOW // HOUR_NS + 6, False)


def test_the_pause_is_longer_by_a_share_that_a_restart_draws_again():
    past = Past(last_turn_ns=NOW, last_training_ns=NOW, newest_run="20260101T000000Z-abcdef")
    chosen = load_settings({"loop": {"jitter_frac": 0.5}}, environ={})
    first, second = (next_turn(chosen, past, NOW).at_ns for _ in range(2))
    assert first == second
    assert NOW + 6 * HOUR_NS < first <= NOW + 9 * HOUR_NS
    others = {
        next_turn(chosen, Past(NOW, NOW, newest_run=str(seed)), NOW).at_ns for seed in range(20)
    }
    assert len(others) == 20


def test_a_training_that_was_in_vain_waits_for_new_candles(journal, clock):
    """No model could be trained: the same candles would allow none either."""
    finished(journal, trained=True)
    clock.set(NOW + 30 * HOUR_NS)
    journal.raise_alarm(journal.runs(KIND)[0].id, "ALL", "feature_drift", "retrain", {})
    moved(journal)
    run_id = journal.start_run(KIND, {"train": True})
    journal.finish_run(run_id, "done")
    due = next_turn(settings(), read_past(journal), clock.now_ns())
    assert (due.at_ns - clock.now_ns(), due.train) == (6 * HOUR_NS, True)
    moved(journal)
    other = journal.start_run(KIND, {"train": False})
    journal.finish_run(other, "done")
    assert next_turn(settings(), read_past(journal), clock.now_ns()).at_ns == clock.now_ns()


def test_a_journal_from_the_future_is_not_waited_for(journal, clock):
    clock.set(NOW + 10_000 * HOUR_NS)
    finished(journal, trained=True)
    for past in (read_past(journal), (finished(journal, "failed"), read_past(journal))[1]):
        assert next_turn(settings(), past, NOW).at_ns <= NOW + 6 * HOUR_NS
