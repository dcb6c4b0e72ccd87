"""The comparison is sharp: an engine that differs in the least is found out by every judge."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from judges import backtesting_judge, backtrader_judge, vectorbt_judge
from judges import settings as s
from judges.verdict import Verdict, assert_agree, ours

JUDGES = {
    "backtrader": (backtrader_judge.judge, s.STOP_SLIPPED),
    "backtesting.py": (backtesting_judge.judge, s.SMA_BOTH),
    "vectorbt": (vectorbt_judge.judge_in_steps, s.STOP_SLIPPED),
}


def with_costs(setting, **changes):
    """The setting with something added to these costs."""
    costs = {name: getattr(setting.costs, name) + more for name, more in changes.items()}
    return {**vars(setting), "costs": setting.costs.replace(**costs)}


def with_exits(setting, **changes):
    """The setting with these exits."""
    return {**vars(setting), "exits": setting.exits.replace(**changes)}


def later(direction):
    """Every direction one bar late."""
    return np.concatenate(([0], direction[:-1])).astype(np.int8)


CHANGES = {
    "a fee of a millionth more": lambda setting: with_costs(setting, taker_fee_frac=1e-9),
    "a slippage of a ten-millionth": lambda setting: with_costs(setting, slippage_frac=1e-7),
    "a stop a hair nearer": lambda setting: with_exits(
        setting, stop_loss_frac=setting.exits.stop_loss_frac - 1e-8
    ),
    "no stop": lambda setting: with_exits(setting, stop_loss_frac=None),
    "a stop that trails": lambda setting: with_exits(
        setting, trailing_stop_frac=setting.exits.stop_loss_frac
    ),
    "no second entry": lambda setting: with_exits(setting, reentry="new_signal"),
}


@functools.cache
def verdict_of(name):
    """Bars, directions, setting and the judge's verdict on them."""
    judge, setting = JUDGES[name]
    bars = setting.market(s.SIMULATED)
    direction = setting.direction(bars)
    return bars, direction, setting, judge(bars, direction, setting)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", JUDGES)
def test_an_engine_with_other_rules_is_found_out(name, change):
    bars, direction, setting, theirs = verdict_of(name)
    assert_agree(ours(bars, direction, setting), theirs)
    changed = s.Setting(**CHANGES[change](setting))
    with pytest.raises(AssertionError):
        assert_agree(ours(bars, direction, changed), theirs)


@pytest.mark.parametrize("name", JUDGES)
def test_an_engine_that_acts_a_bar_late_is_found_out(name):
    bars, direction, setting, theirs = verdict_of(name)
    with pytest.raises(AssertionError, match="trade 0"):
        assert_agree(ours(bars, later(direction), setting), theirs)


@pytest.mark.parametrize("place", [0, -1])
def test_a_trade_too_few_and_money_that_is_missing_are_found_out(place):
    trips, equity, curve = verdict_of("backtrader")[3]
    fewer = [trip for trip in trips if trip is not trips[place]]
    with pytest.raises(AssertionError):
        assert_agree(Verdict(trips, equity, curve), Verdict(fewer, equity, curve))
    with pytest.raises(AssertionError, match="1e-09"):
        assert_agree(Verdict(trips, equity, curve), Verdict(trips, equity * (1 + 2e-9), curve))
    dented = curve.copy()
    dented[len(curve) // 2] *= 1 + 2e-9
    with pytest.raises(AssertionError, match="1e-09"):
        assert_agree(Verdict(trips, equity, curve), Verdict(trips, equity, dented))
