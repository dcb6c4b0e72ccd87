"""backtrader's broker fills our rules as `simulate` does."""

from __future__ import annotations

import pytest

from judges import settings as s
from judges.backtrader_judge import OwnRsi, OwnSmaCross, judge
from judges.verdict import assert_agree, ours

SETTINGS = (
    *(s.SMA_LONG, s.SMA_REVERSAL, s.SMA_REVERSAL_SLIPPED, s.EMA_FIXED, s.RSI_FLAT, s.RSI_STOP),
    *(s.STOP_SLIPPED, s.CHANNEL_TARGET, s.CHANNEL_BOTH, s.SMA_BOTH, s.TRAILING),
    *(s.TRAILING_SLIPPED, s.BREAKOUT_TIME),
)
OWN = ((s.SMA_REVERSAL, OwnSmaCross), (s.SMA_BOTH, OwnSmaCross), (s.RSI_FLAT, OwnRsi))


@pytest.mark.parametrize("market", s.MARKETS)
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_backtrader_fills_given_directions_as_we_do(setting, market):
    bars = setting.market(market)
    direction = setting.direction(bars)
    assert_agree(ours(bars, direction, setting), judge(bars, direction, setting))


@pytest.mark.parametrize("market", s.MARKETS)
@pytest.mark.parametrize(
    ("setting", "strategy"),
    OWN,
    ids=lambda x: getattr(x, "name", x.__name__ if isinstance(x, type) else None),
)
def test_backtrader_with_its_own_indicators_trades_as_we_do(setting, strategy, market):
    bars = setting.market(market)
    direction = setting.direction(bars)
    assert_agree(ours(bars, direction, setting), judge(bars, None, setting, strategy))
