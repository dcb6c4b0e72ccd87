"""Each rule on a few bars, worked out by hand."""

import numpy as np
import pytest

from crypto_bot.strategies import get_strategy

NAN = float("nan")


def run(name, columns, **parameters):
    strategy = get_strategy(name, **parameters)
    names = (*strategy.features(), *strategy.prices, *strategy.predictions)
    assert set(columns) == set(names)
    signals = strategy.signals({key: np.array(values, float) for key, values in columns.items()})
    return signals.direction.tolist(), [round(value, 6) for value in signals.score.tolist()]


def constant(length, **values):
    return {
        name: [value] * length if np.isscalar(value) else value for name, value in values.items()
    }


@pytest.mark.parametrize(
    ("name", "fast", "slow"), [("sma_cross", "sma_10", "sma_30"), ("ema_cross", "ema_12", "ema_26")]
)
def test_a_cross_is_on_the_side_of_the_fast_average(name, fast, slow):
    columns = {fast: [NAN, 2, 2, 2, NAN], slow: [1, 1, 2, 3, NAN]}
    assert run(name, columns) == ([0, 1, 0, -1, 0], [0, 1, 0, 1, 0])


def test_rsi_buys_low_and_sells_high():
    direction, score = run("rsi", {"rsi_14": [NAN, 30, 15, 50, 70, 85, 0, 100]})
    assert direction == [0, 0, 1, 0, 0, -1, 1, -1]
    assert score == [0, 0, 0.5, 0, 0, 0.5, 1, 1]


def test_a_model_acts_above_its_threshold_on_the_larger_side():
    columns = {"p_up": [0.6, 0.7, 0.1, NAN, 0.5, 0.5], "p_down": [0.4, 0.3, 0.9, NAN, 0.4, 0.5]}
    assert run("model", columns) == ([0, 1, -1, 0, 0, 0], [0, 0.7, 0.9, 0, 0, 0])
    assert run("model", columns, threshold=0.3)[0] == [1, 1, -1, 0, 1, 0]
    assert run("model", columns, allow_short=False)[0] == [0, 1, 0, 0, 0, 0]


def trend_columns(length=1, **changes):
    base = {"close": 100, "ema_3": 2, "ema_10": 1, "rsi_14": 60, "adx_14": 25}
    return constant(length, **base | {"atr_frac_14": 0.0, "volume_ratio_20": 1.0} | changes)


def test_trend_bot_scores_a_confirmed_long():
    # Half way from 50 to 70, half of an ADX of 50: the original scored its longs 0.
    assert run("trend_bot", trend_columns()) == ([1], [0.5])
    short = trend_columns(ema_3=0.5, rsi_14=40)
    assert run("trend_bot", short) == ([-1], [0.5])


@pytest.mark.parametrize(
    "changes",
    [{"rsi_14": 70}, {"rsi_14": 50}, {"adx_14": 14.9}, {"volume_ratio_20": 0.99}, {"ema_3": 1}],
)
def test_trend_bot_needs_every_confirmation(changes):
    assert run("trend_bot", trend_columns(**changes)) == ([0], [0])


def test_trend_bot_lets_volatility_widen_its_rsi_limits():
    assert run("trend_bot", trend_columns(rsi_14=72))[0] == [0]
    assert run("trend_bot", trend_columns(rsi_14=72, atr_frac_14=0.02))[0] == [1]


def test_trend_bot_takes_a_fresh_cross_without_adx():
    columns = trend_columns(4, ema_3=[0.5, 2, 2, 0.5], adx_14=5, rsi_14=[60, 60, 60, 40])
    assert run("trend_bot", columns)[0] == [0, 1, 0, -1]


def test_trend_bot_can_ask_for_a_channel_break():
    columns = trend_columns(3, close=[100, 101, 99], donchian_high_20=100, donchian_low_20=99.5)
    assert run("trend_bot", columns, channel="donchian")[0] == [0, 1, 0]


def test_momentum_bot_needs_both_agreements_for_a_long():
    columns = constant(
        4,
        close=10,
        macd_line_12_26=[1, 1, -1, NAN],
        rsi_14=[75, 50, 75, 75],
        donchian_low_20=9,
        volume_z_20=0,
    )
    assert run("momentum_bot", columns) == ([1, 0, 0, 0], [0.75, 0, 0, 0])


def test_momentum_bot_shorts_a_breakdown_on_volume():
    columns = constant(
        4,
        close=[8, 9, 8, 8],
        macd_line_12_26=-1,
        rsi_14=[36, 36, 45, 36],
        donchian_low_20=9,
        volume_z_20=[0.6, 0.6, 0.6, 0.5],
    )
    assert run("momentum_bot", columns) == ([-1, 0, 0, 0], [0.6, 0, 0, 0])


def mean_columns(rsi_z, adx=10.0, band=1.0, length=None):
    length = length or len(rsi_z)
    return constant(
        length, close=100, rsi_z_14=rsi_z, zscore_20=rsi_z, vwap_20=[100 - z for z in rsi_z],
        bb_upper_20=100 + band, bb_lower_20=100 - band, keltner_upper_20=[101 - z / 2 for z in rsi_z],
        keltner_lower_20=[99 - z / 2 for z in rsi_z], atr_14=1, adx_14=adx,
    )  # fmt: skip


def test_mean_bot_fades_a_stretch_until_it_is_undone():
    direction, score = run(
        "mean_bot", mean_columns([0, -1.5, -1, -0.3, 0.1, -1, 1.8, 0.3, NAN, 0.3])
    )
    assert direction == [0, 1, 1, 1, 0, 0, -1, -1, 0, 0]
    assert score == [0, 0.5, 0.333333, 0.1, 0, 0, 0.6, 0.1, 0, 0]


def test_mean_bot_wants_a_side_for_a_limited_time():
    columns = mean_columns([-2, -1, -1, -1, -1])
    assert run("mean_bot", columns, hold_bars=3)[0] == [1, 1, 1, 0, 0]


@pytest.mark.parametrize("changes", [{"adx": 21}, {"band": 1.3}, {"adx": NAN}])
def test_mean_bot_enters_only_quiet_markets(changes):
    assert run("mean_bot", mean_columns([-2, -2], **changes))[0] == [0, 0]


def test_a_deviation_is_cut_at_three():
    assert run("mean_bot", mean_columns([-9])) == ([1], [1])


def dip_columns(fall, rsi, **changes):
    base = {
        "close": 100,
        "bb_percent_20": 0.0,
        "volume_ratio_20": 2.0,
        "adx_14": 20,
        "ema_200": 110,
    }
    return constant(len(fall), return_3=fall, rsi_14=rsi, **base | changes)


def test_dip_hunter_holds_until_recovered():
    columns = dip_columns([-0.01, -0.03, -0.02, 0, 0.01, 0.01], [25, 25, 35, 49, 50, 45])
    assert run("dip_hunter", columns) == ([0, 1, 1, 1, 0, 0], [0, 0.5, 0.5, 0.5, 0, 0])
    assert run("dip_hunter", columns, hold_bars=2)[0] == [0, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    "changes", [{"bb_percent_20": 0.1}, {"volume_ratio_20": 1.5}, {"adx_14": 25}, {"ema_200": NAN}]
)
def test_dip_hunter_needs_every_condition(changes):
    assert run("dip_hunter", dip_columns([-0.05], [25]))[0] == [1]
    assert run("dip_hunter", dip_columns([-0.05], [25], **changes))[0] == [0]


def test_dip_hunter_trusts_a_long_trend_up():
    assert run("dip_hunter", dip_columns([-0.05], [25], adx_14=40, ema_200=90))[0] == [1]


def breakout_columns(close, width, **changes):
    base = {"keltner_upper_12": 102, "keltner_lower_12": 98, "atr_12": 1, "donchian_high_30": 101}
    base |= {"donchian_low_30": 99, "volume_ratio_20": 1.3}
    bands = {"bb_upper_12": [100 + w for w in width], "bb_lower_12": [100 - w for w in width]}
    return constant(len(close), close=close, **bands, **base | changes)


def test_breakout_bot_follows_a_squeeze():
    columns = breakout_columns([100, 101.5, 98.8, 103, 101.04], [1.5, 2, 2, 2, 1])
    assert run("breakout_bot", columns) == ([0, 1, -1, 1, 0], [0, 0.5, 0.2, 1, 0])


def test_breakout_bot_forgets_an_old_squeeze():
    columns = breakout_columns([102, 102, 102, 102], [1, 2, 2, 2])
    assert run("breakout_bot", columns, squeeze_memory_bars=3)[0] == [1, 1, 1, 0]


@pytest.mark.parametrize(
    "changes", [{"volume_ratio_20": 1.2}, {"atr_12": NAN}, {"donchian_low_30": NAN}]
)
def test_breakout_bot_needs_volume_and_all_its_numbers(changes):
    assert run("breakout_bot", breakout_columns([102], [1], **changes))[0] == [0]


def test_breakout_bot_measures_the_squeeze_by_its_own_multiple():
    assert run("breakout_bot", breakout_columns([102], [1.5]), keltner_atr=1.4)[0] == [0]
