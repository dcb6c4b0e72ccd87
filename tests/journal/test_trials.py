"""The trial ledger counts everything once and forgets nothing."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy.exc import IntegrityError

from crypto_bot.core.errors import ConfigError, CryptoBotError, DataError
from crypto_bot.core.timeframes import ReplayClock
from crypto_bot.journal import Feedback, Journal, ModelEvent, Trial, TrialKind


@pytest.fixture
def journal(location):
    with Journal(location, clock=ReplayClock(10**18)) as opened:
        yield opened


def trial(number: int = 0, **changes: object) -> Trial:
    values = {
        "symbol": "BTC/USDT",
        "timeframe": "5m",
        "strategy": "rsi",
        "parameters": {"window": number},
        "metrics": {"sharpe": number / 10, "win_rate": None},
    }
    return Trial(**{**values, **changes})


def test_trials_come_back_as_they_went_in(journal):
    run_id = journal.start_run("demo")
    given = [trial(1), trial(2, kind=TrialKind.MODEL, is_simulated=True, metrics={})]
    assert journal.record_trials(run_id, given) == 2
    known = journal.trials(run_id=run_id)
    assert [(item.parameters, item.metrics, item.kind, item.is_simulated) for item in known] == [
        ({"window": 1}, {"sharpe": 0.1, "win_rate": None}, TrialKind.BACKTEST, False),
        ({"window": 2}, {}, TrialKind.MODEL, True),
    ]
    assert {item.run_id for item in known} == {run_id}


def test_every_run_adds_to_the_count(journal):
    for _ in range(3):
        journal.record_trials(journal.start_run("demo"), [trial(1), trial(2)])
    assert journal.trials_count() == 6


def test_a_resumed_run_does_not_count_a_trial_twice(journal):
    run_id = journal.start_run("demo")
    assert journal.record_trials(run_id, [trial(1), trial(2)]) == 2
    assert journal.record_trials(run_id, [trial(2), trial(3)]) == 1
    assert journal.trials_count(run_id=run_id) == 3


def test_what_was_tried_makes_a_trial_not_how_it_went(journal):
    run_id = journal.start_run("demo")
    journal.record_trials(run_id, [trial(1)])
    assert journal.record_trials(run_id, [trial(1, metrics={"sharpe": 9.0})]) == 0
    assert journal.record_trials(run_id, [trial(1, is_simulated=True)]) == 1
    assert journal.trial_sharpes() == [0.1, 0.1]


def test_the_count_is_asked_by_any_of_the_subjects(journal):
    run_id = journal.start_run("demo")
    journal.record_trials(
        run_id,
        [
            trial(1),
            trial(2, symbol="ETH/USDT"),
            trial(3, timeframe="1h"),
            trial(4, strategy="ema_cross"),
            trial(5, kind=TrialKind.MODEL),
            trial(6, is_simulated=True),
        ],
    )
    assert journal.trials_count(symbol="BTC/USDT") == 5
    assert journal.trials_count(symbol="BTC/USDT", timeframe="5m", strategy="rsi") == 3
    assert journal.trials_count(kind=TrialKind.MODEL) == 1
    assert journal.trials_count(is_simulated=False) == 5
    assert journal.trial_sharpes(is_simulated=True) == [0.6]


def test_sharpes_leave_out_trials_that_have_none(journal):
    run_id = journal.start_run("demo")
    journal.record_trials(run_id, [trial(1), trial(2, metrics={"sharpe": None}), trial(3)])
    assert journal.trial_sharpes() == [0.1, 0.3]


def test_an_unknown_filter_is_refused(journal):
    with pytest.raises(ConfigError, match="symbl is not a trial filter; did you mean 'symbol'"):
        journal.trials_count(symbl="BTC/USDT")


@pytest.mark.parametrize("change", ["DELETE FROM trials", "UPDATE trials SET sharpe = 9"])
def test_the_database_itself_refuses_to_lose_a_trial(journal, change):
    journal.record_trials(journal.start_run("demo"), [trial(1)])
    with (
        pytest.raises((CryptoBotError, IntegrityError), match="trials are only ever added"),
        journal._writing() as connection,
    ):
        connection.exec_driver_sql(change)
    assert journal.trial_sharpes() == [0.1]


def test_numpy_numbers_are_data_and_nan_is_not(journal):
    run_id = journal.start_run("demo")
    metrics = {"sharpe": np.float64(0.5), "trades": np.int64(3), "curve": np.arange(3)}
    journal.record_trials(run_id, [trial(1, metrics=metrics)])
    assert journal.trials()[0].metrics == {"sharpe": 0.5, "trades": 3, "curve": [0, 1, 2]}
    with pytest.raises(DataError, match="use None for undefined numbers"):
        journal.record_trials(run_id, [trial(2), trial(3, metrics={"sharpe": float("nan")})])
    assert journal.trials_count() == 1


def test_trials_of_an_unknown_run_are_refused(journal):
    with pytest.raises(DataError, match="must name a run"):
        journal.record_trials("x", [trial(1)])
    assert journal.record_trials("x", []) == 0


def test_model_events_and_feedback_are_kept_in_order(journal):
    run_id = journal.start_run("demo")
    journal.model_event(run_id, "BTC/USDT", "0001", "judged", {"promoted": False})
    journal.model_event(run_id, "BTC/USDT", "0001", "published")
    assert journal.model_events(symbol="BTC/USDT") == [
        ModelEvent("BTC/USDT", "0001", "judged", {"promoted": False}, run_id, 10**18),
        ModelEvent("BTC/USDT", "0001", "published", {}, run_id, 10**18),
    ]
    assert journal.model_events(event="promoted") == []
    given = [Feedback("BTC/USDT", "backtest", True, {"trades": 3}), Feedback("X/Y", "drift", None)]
    journal.record_feedback(run_id, given)
    journal.record_feedback(run_id, [])
    assert [(item.kind, item.agrees, item.detail) for item in journal.feedback(run_id=run_id)] == [
        ("backtest", True, {"trades": 3}),
        ("drift", None, {}),
    ]
