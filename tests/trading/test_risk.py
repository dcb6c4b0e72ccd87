"""Each limit bites, says which one it was and the value it met, and never holds back an exit."""

from __future__ import annotations

import pytest

from crypto_bot.core.errors import ConfigError
from crypto_bot.core.timeframes import DAY_NS, HOUR_NS, ReplayClock
from crypto_bot.trading import (
    Allowed,
    Blocked,
    EntryIntent,
    RiskGuard,
    RiskLimits,
    RiskState,
    mark_risk_state,
    open_risk_state,
)

NOW = 20_000 * DAY_NS + 5 * HOUR_NS
CALM = RiskState(1000.0, 1000.0, 1000.0, 20_000)


@pytest.fixture
def limits(tmp_path):
    return RiskLimits(kill_switch_file=str(tmp_path / "KILL_SWITCH"))


def entry(**changes):
    values = {
        "symbol": "BTC/USDT",
        "direction": 1,
        "notional_quote": 100.0,
        "last_close_ns": NOW,
        "interval_ns": HOUR_NS,
        "model_trained_until_ns": NOW - DAY_NS,
    }
    return EntryIntent(**{**values, **changes})


def verdict(limits, intent=None, state=CALM, now_ns=NOW):
    return RiskGuard(limits).check(intent or entry(), state, ReplayClock(now_ns))


def test_every_limit_is_on_by_default():
    assert all(value is not None for value in RiskLimits().model_dump().values())


def test_a_calm_account_may_enter(limits):
    assert verdict(limits) == Allowed()


@pytest.mark.parametrize(
    ("limit", "changes", "message"),
    [
        (
            "max_daily_loss_frac",
            {"state": CALM._replace(equity_quote=940.0)},
            "BTC/USDT entry must keep the day's loss below max_daily_loss_frac 0.05, was 0.06; "
            "entries resume at UTC midnight",
        ),
        (
            "max_drawdown_frac",
            {"state": CALM._replace(peak_equity_quote=1300.0)},
            "BTC/USDT entry must keep drawdown below max_drawdown_frac 0.2, was 0.2308; "
            "review the strategy, then start a new session",
        ),
        (
            "max_drawdown_frac",
            {"state": CALM._replace(equity_quote=-5.0)},
            "BTC/USDT entry must have equity > 0 behind it, was -5",
        ),
        (
            "max_exposure_frac",
            {"state": CALM._replace(exposure_quote=1200.0)},
            "BTC/USDT entry must keep exposure within max_exposure_frac 1.25 of equity, was 1.3",
        ),
        (
            "max_open_positions",
            {"state": CALM._replace(open_positions=20)},
            "BTC/USDT entry must find fewer than max_open_positions 20 positions open, was 20",
        ),
        (
            "stale_data_bars",
            {"now_ns": NOW + 4 * HOUR_NS},
            "BTC/USDT last bar must be at most stale_data_bars 3 bars old, was 4; "
            "check the candle source",
        ),
        (
            "max_model_age_days",
            {"intent": entry(model_trained_until_ns=NOW - 31 * DAY_NS)},
            "BTC/USDT model must be at most max_model_age_days 30 days old, was 31; retrain it",
        ),
    ],
)
def test_a_limit_bites_and_says_its_value_and_the_one_met(limits, limit, changes, message):
    assert verdict(limits, **changes) == Blocked(limit, message)


@pytest.mark.parametrize(
    "changes",
    [
        {"state": CALM._replace(equity_quote=951.0)},
        {"state": CALM._replace(peak_equity_quote=1249.0)},
        {"state": CALM._replace(exposure_quote=1150.0)},
        {"state": CALM._replace(open_positions=19)},
        {"now_ns": NOW + 3 * HOUR_NS},
        {"intent": entry(model_trained_until_ns=NOW - 30 * DAY_NS)},
        {"intent": entry(model_trained_until_ns=None)},
    ],
)
def test_a_value_within_its_limit_passes(limits, changes):
    assert verdict(limits, **changes) == Allowed()


# Fractions that floats hold exactly, so that the border itself is met.
BORDERS = [
    ("max_daily_loss_frac", 0.25, {"state": CALM._replace(equity_quote=750.0)}, True),
    ("max_drawdown_frac", 0.5, {"state": CALM._replace(peak_equity_quote=2000.0)}, True),
    ("max_exposure_frac", 1.25, {"state": CALM._replace(exposure_quote=1150.0)}, False),
    ("max_open_positions", 4, {"state": CALM._replace(open_positions=4)}, True),
    ("stale_data_bars", 3, {"now_ns": NOW + 3 * HOUR_NS}, False),
    ("max_model_age_days", 30, {"intent": entry(model_trained_until_ns=NOW - 30 * DAY_NS)}, False),
]


@pytest.mark.parametrize(("limit", "value", "changes", "is_blocked"), BORDERS)
def test_exactly_on_its_border_a_limit_does_what_its_words_say(
    limits, limit, value, changes, is_blocked
):
    wide = limits.replace(max_daily_loss_frac=1, max_drawdown_frac=1)
    found = verdict(wide.replace(**{limit: value}), **changes)
    assert isinstance(found, Blocked) is is_blocked
    assert not is_blocked or found.limit == limit


def test_an_account_without_equity_enters_nothing(limits):
    wide = limits.replace(max_daily_loss_frac=1, max_drawdown_frac=1)
    blocked = verdict(wide, state=CALM._replace(equity_quote=0.0))
    assert "must have equity > 0 behind it, was 0" in blocked.reason


def test_the_kill_switch_file_blocks_while_it_exists(limits, tmp_path):
    guard = RiskGuard(limits)
    (tmp_path / "KILL_SWITCH").touch()
    blocked = guard.check(entry(), CALM, ReplayClock(NOW))
    assert blocked.limit == "kill_switch"
    assert "kill switch is off, was on: file" in blocked.reason
    (tmp_path / "KILL_SWITCH").unlink()
    assert guard.check(entry(), CALM, ReplayClock(NOW)) == Allowed()


def test_a_pulled_kill_switch_stays_on(limits):
    guard = RiskGuard(limits)
    guard.kill("operator said so")
    assert "operator said so" in guard.check(entry(), CALM, ReplayClock(NOW)).reason


def test_a_day_starts_from_the_last_value_before_midnight():
    state = open_risk_state(1000.0, NOW)
    marks = [(NOW + HOUR_NS, 900.0), (20_001 * DAY_NS, 890.0), (20_001 * DAY_NS + HOUR_NS, 880.0)]
    for now_ns, equity in marks:
        state = mark_risk_state(
            state, equity_quote=equity, exposure_quote=0.0, open_positions=0, now_ns=now_ns
        )
    assert state.day_start_equity_quote == 890.0  # the bar that closes at midnight ends the day
    assert state.peak_equity_quote == 1000.0


def test_drawdown_is_measured_from_the_highest_equity_seen(limits):
    state = open_risk_state(1000.0, NOW)
    for hour, equity in enumerate((1500.0, 1190.0)):
        state = mark_risk_state(
            state,
            equity_quote=equity,
            exposure_quote=0.0,
            open_positions=0,
            now_ns=NOW + hour * HOUR_NS,
        )
    assert "max_drawdown_frac 0.2, was 0.2067" in verdict(limits, state=state).reason


@pytest.mark.parametrize("name", ["max_daily_loss_frac", "max_drawdown_frac", "stale_data_bars"])
def test_a_limit_cannot_be_zero_or_less(name):
    with pytest.raises(ConfigError, match=f"{name} must be greater than 0, was 0"):
        RiskLimits(**{name: 0})
