"""The originals' further bots on candles, each condition by hand."""

import numpy as np
import pytest

from strategies.test_rules import NAN, constant, run


def test_dca_bot_buys_at_a_discount_until_the_price_is_back():
    columns = constant(8, close=[91, 90, 89.9, 95, 99.9, 100, 95, 80], sma_20=100)
    assert run("dca_bot", columns) == ([0, 0, 1, 1, 1, 0, 0, 1], [0, 0, 0.8, 0.8, 0.8, 0, 0, 0.8])
    assert run("dca_bot", columns, recovered_frac=0.05)[0] == [0, 0, 1, 0, 0, 0, 0, 1]
    assert run("dca_bot", columns, hold_bars=2)[0] == [0, 0, 1, 1, 0, 0, 0, 1]
    assert run("dca_bot", columns, discount_frac=0.3)[0] == [0] * 8


def test_dca_bot_forgets_when_the_average_is_missing():
    columns = constant(3, close=85, sma_20=[100, NAN, 94])
    assert run("dca_bot", columns, hold_bars=50)[0] == [1, 0, 0]


def test_mean_revert_leaves_near_the_mean():
    z = [-1.9, -2, -1, -0.5, -1, 2.5, 1, 0.5, 1, NAN, -3, 3]
    direction, score = run("mean_revert", {"zscore_30": z})
    assert direction == [0, 1, 1, 0, 0, -1, -1, 0, 0, 0, 1, -1]
    assert score == [0, 0.5, 0.25, 0, 0, 0.625, 0.25, 0, 0, 0, 0.75, 0.75]
    assert run("mean_revert", {"zscore_30": z}, exit_z=-0.5)[0][3:5] == [1, 1]
    assert run("mean_revert", {"zscore_30": z}, hold_bars=1)[0][1:3] == [1, 0]
    assert run("mean_revert", {"zscore_30": z}, entry_z=3.0)[0] == [0] * 10 + [1, -1]


def harvest_columns(close, **changes):
    base = {"close": close, "atr_14": 2, "atr_50": 1, "ema_20": 100}
    return constant(len(close), **base | changes)


def test_volatility_harvester_fades_a_stretch_until_the_average():
    columns = harvest_columns([96.1, 96, 98, 100, 99, 104, 101, 99])
    direction, score = run("volatility_harvester", columns)
    assert direction == [0, 1, 1, 0, 0, -1, -1, 0]
    assert score == [0, 0.833333, 0.833333, 0, 0, 0.833333, 0.833333, 0]
    assert run("volatility_harvester", columns, hold_bars=1)[0] == [0, 1, 0, 0, 0, -1, 0, 0]


@pytest.mark.parametrize(
    "changes",
    [{"atr_50": 1.7}, {"atr_14": 4.1}, {"atr_14": NAN}, {"atr_50": NAN}, {"ema_20": 99.9}],
)
def test_volatility_harvester_needs_a_wild_market_and_a_stretch(changes):
    assert run("volatility_harvester", harvest_columns([96]))[0] == [1]
    assert run("volatility_harvester", harvest_columns([96], **changes))[0] == [0]


def wave_columns(jump, **changes):
    base = {"close": 100, "atr_frac_14": 0.01, "volume_ratio_20": 2.0, "ema_8": 99}
    return constant(len(jump), return_3=jump, **base | changes)


def test_meme_wave_bot_rides_a_wave_until_it_breaks():
    columns = wave_columns([0.019, 0.02, 0, 0, 0.05], close=[100, 100, 100, 98, 100])
    assert run("meme_wave_bot", columns) == ([0, 1, 1, 0, 1], [0, 0.5, 0, 0, 1])
    falling = wave_columns([-0.02, 0, 0], close=[98, 98, 100])
    assert run("meme_wave_bot", falling)[0] == [-1, -1, 0]
    assert run("meme_wave_bot", columns, hold_bars=1)[0] == [0, 1, 0, 0, 1]


@pytest.mark.parametrize(
    "changes",
    [
        {"volume_ratio_20": 1.5},
        {"atr_frac_14": 0.011},
        {"atr_frac_14": 0},
        {"volume_ratio_20": NAN},
        {"atr_frac_14": NAN},
        {"ema_8": NAN},
    ],
)
def test_meme_wave_bot_needs_size_and_volume(changes):
    assert run("meme_wave_bot", wave_columns([0.02]))[0] == [1]
    assert run("meme_wave_bot", wave_columns([0.02], **changes))[0] == [0]


def momentum_columns(**changes):
    base = {"return_5": 0.05, "return_20": 0.05, "return_std_20": 0.01, "volume_ratio_20": 1.1}
    return constant(1, **base | changes)


def test_momentum_exploiter_goes_with_growing_momentum():
    # 5 % in 5 bars is 5 / sqrt(5) deviations, in 20 bars 5 / sqrt(20).
    assert run("momentum_exploiter", momentum_columns()) == ([1], [round(np.sqrt(5) / 3, 6)])
    down = momentum_columns(return_5=-0.05, return_20=-0.05)
    assert run("momentum_exploiter", down)[0] == [-1]
    assert run("momentum_exploiter", momentum_columns(return_5=0.5))[1] == [1]


@pytest.mark.parametrize(
    "changes",
    [
        {"return_5": 0.024},  # 1.07 deviations, less than the 1.12 of the longer return
        {"return_20": 0.035},
        {"return_std_20": 0.014},
        {"return_std_20": 0},
        {"volume_ratio_20": 1.0},
        {"return_5": NAN},
        {"return_20": NAN},
        {"return_std_20": NAN},
        {"volume_ratio_20": NAN},
    ],
)
def test_momentum_exploiter_needs_every_condition(changes):
    assert run("momentum_exploiter", momentum_columns(**changes)) == ([0], [0])


def scalp_columns(length=1, **changes):
    base = {"ema_3": 2, "ema_8": 1, "rsi_6": 60, "macd_hist_6_12_4": 0.1}
    return constant(length, **base | changes)


def test_ultra_scalp_bot_goes_while_all_agree():
    assert run("ultra_scalp_bot", scalp_columns(3, rsi_6=[60, 20, 79])) == (
        [1, 1, 1],
        [0.4, 1, 0.02],
    )
    short = scalp_columns(ema_3=0.5, macd_hist_6_12_4=-0.1, rsi_6=40)
    assert run("ultra_scalp_bot", short) == ([-1], [0.4])


@pytest.mark.parametrize(
    "changes",
    [
        {"ema_3": 1},
        {"macd_hist_6_12_4": 0},
        {"macd_hist_6_12_4": -1},
        {"rsi_6": 80},
        {"ema_3": NAN},
        {"ema_8": NAN},
        {"rsi_6": NAN},
        {"macd_hist_6_12_4": NAN},
    ],
)
def test_ultra_scalp_bot_needs_every_condition(changes):
    assert run("ultra_scalp_bot", scalp_columns(**changes)) == ([0], [0])
    short = {"ema_3": 0.5, "macd_hist_6_12_4": -0.1, "rsi_6": 20}
    assert run("ultra_scalp_bot", scalp_columns(**short)) == ([0], [0])


def test_each_bar_wants_a_side_at_every_candle():
    columns = {"open": [100, 100, 100, 100], "close": [101, 99, 100, 103]}
    assert run("each_bar", columns) == ([1, -1, 0, 1], [1, 1, 0, 1])
    assert run("each_bar", columns, side="against")[0] == [-1, 1, 0, -1]
    assert run("each_bar", columns, side="long")[0] == [1, 1, 0, 1]
    assert run("each_bar", columns, side="short")[0] == [-1, -1, 0, -1]
    assert run("each_bar", columns, minimum_body_frac=0.01)[0] == [0, 0, 0, 1]
