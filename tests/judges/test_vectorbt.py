"""vectorbt's `from_signals` fills our rules as `simulate` does."""

from __future__ import annotations

import pytest

from judges import settings as s
from judges.vectorbt_judge import judge_in_rows, judge_in_steps, own_averages, own_channel
from judges.verdict import assert_agree, ours

IN_ROWS = (s.SMA_LONG, s.SMA_REVERSAL_SLIPPED, s.EMA_FIXED, s.SMA_REVERSAL_FIXED, s.ALL_IN)
IN_STEPS = (
    *(s.SMA_REVERSAL, s.RSI_FLAT, s.RSI_STOP, s.STOP_SLIPPED, s.CHANNEL_TARGET, s.TARGET_MAKER),
    *(s.CHANNEL_BOTH, s.SMA_BOTH, s.TRAILING, s.TRAILING_SLIPPED),
)


@pytest.mark.parametrize("market", s.MARKETS)
@pytest.mark.parametrize("setting", IN_ROWS, ids=lambda setting: setting.name)
def test_vectorbt_fills_given_directions_as_we_do(setting, market):
    bars = setting.market(market)
    direction = setting.direction(bars)
    assert_agree(ours(bars, direction, setting), judge_in_rows(bars, direction, setting))


@pytest.mark.parametrize("market", s.MARKETS)
@pytest.mark.parametrize("setting", IN_STEPS, ids=lambda setting: setting.name)
def test_vectorbt_fills_stops_and_targets_as_we_do(setting, market):
    bars = setting.market(market)
    direction = setting.direction(bars)
    assert_agree(ours(bars, direction, setting), judge_in_steps(bars, direction, setting))


@pytest.mark.parametrize("market", s.MARKETS)
@pytest.mark.parametrize("setting", [s.SMA_REVERSAL_SLIPPED, s.EMA_FIXED], ids=lambda x: x.name)
def test_vectorbt_with_its_own_averages_trades_as_we_do(setting, market):
    bars = setting.market(market)
    theirs = judge_in_rows(bars, own_averages(bars, setting), setting)
    assert_agree(ours(bars, setting.direction(bars), setting), theirs)


@pytest.mark.parametrize("market", s.MARKETS)
def test_vectorbt_with_its_own_channel_trades_as_we_do(market):
    setting = s.CHANNEL_BOTH
    bars = setting.market(market)
    theirs = judge_in_steps(bars, own_channel(bars, setting), setting)
    assert_agree(ours(bars, setting.direction(bars), setting), theirs)
