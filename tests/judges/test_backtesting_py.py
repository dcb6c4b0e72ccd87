"""backtesting.py's broker fills our rules as `simulate` does."""

from __future__ import annotations

import pytest

from judges import settings as s
from judges.backtesting_judge import OwnChannel, OwnSmaCross, judge
from judges.verdict import Verdict, assert_agree, ours

SETTINGS = (
    *(s.SMA_LONG, s.SMA_REVERSAL, s.EMA_FIXED, s.RSI_FLAT, s.RSI_STOP, s.ALL_IN, s.STEPPED),
    *(s.CHANNEL_TARGET, s.CHANNEL_BOTH, s.SMA_BOTH, s.TRAILING, s.BREAKOUT_TIME),
)
OWN = ((s.SMA_REVERSAL, OwnSmaCross), (s.SMA_BOTH, OwnSmaCross), (s.CHANNEL_TARGET, OwnChannel))


@pytest.mark.parametrize("market", s.MARKETS)
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_backtesting_py_fills_given_directions_as_we_do(setting, market):
    bars = setting.market(market)
    direction = setting.direction(bars)
    assert_agree(ours(bars, direction, setting), judge(bars, direction, setting))


@pytest.mark.parametrize("market", s.MARKETS)
@pytest.mark.parametrize(("setting", "strategy"), OWN, ids=lambda x: getattr(x, "name", None))
def test_backtesting_py_with_its_own_indicators_trades_as_we_do(setting, strategy, market):
    bars = setting.market(market)
    direction = setting.direction(bars)
    assert_agree(ours(bars, direction, setting), judge(bars, None, setting, strategy))


@pytest.mark.parametrize("market", s.MARKETS)
def test_backtesting_py_slips_the_entry_as_we_do_and_the_exit_not_at_all(market):
    setting = s.SMA_REVERSAL_SLIPPED
    slippage, fee = setting.costs.slippage_frac, setting.costs.taker_fee_frac
    bars = setting.market(market)
    direction = setting.direction(bars)
    theirs = judge(bars, direction, setting, spread=slippage)
    trips, lost = [], 0.0
    for trip in theirs.trips:
        if trip.exit_bar >= 0:
            price = trip.exit_price * (1 - trip.direction * slippage)
            moved = trip.quantity * (price - trip.exit_price)
            trip = trip._replace(exit_price=price, fees=trip.fees + moved * fee)
            lost += moved * fee - trip.direction * moved
        trips.append(trip)
    assert_agree(ours(bars, direction, setting), Verdict(trips, theirs.final_equity - lost))
