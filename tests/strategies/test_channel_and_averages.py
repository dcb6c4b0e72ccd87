"""Regression channel, SMA against Gaussian average, and the cross under an ATR limit, by hand."""

import numpy as np
import pytest

from crypto_bot.engine import ExitOptions
from crypto_bot.strategies import get_strategy
from strategies.markets import bars_of, random_bars
from strategies.test_rules import NAN, constant, run


def channel_columns(close, **changes):
    base = {"close": close, "linreg_100": 100, "linreg_deviation_100": 1}
    return constant(len(close), **base | changes)


def test_linreg_channel_goes_back_into_the_channel():
    columns = channel_columns([97, 98, 97.9, 100, 102, 102.1, 105])
    direction, score = run("linreg_channel", columns)
    assert direction == [1, 0, 1, 0, 0, -1, -1]
    assert score == [0.75, 0, 0.525, 0, 0, 0.525, 1]


def test_linreg_channel_can_follow_instead():
    columns = channel_columns([97, 100, 103])
    assert run("linreg_channel", columns, action="follow")[0] == [-1, 0, 1]


@pytest.mark.parametrize(
    ("changes", "parameters", "expected"),
    [
        ({}, {}, [1]),
        ({}, {"deviations": 3.5}, [0]),
        ({"linreg_100": 98}, {}, [0]),
        ({"linreg_deviation_100": 2}, {}, [0]),
        ({"linreg_deviation_100": 0}, {}, [0]),
        ({"linreg_deviation_100": 1e-12}, {}, [0]),
        ({"linreg_deviation_100": NAN}, {}, [0]),
        ({"linreg_100": NAN}, {}, [0]),
    ],
)
def test_linreg_channel_needs_a_channel_that_is_left(changes, parameters, expected):
    assert run("linreg_channel", channel_columns([97], **changes), **parameters)[0] == expected


def test_linreg_channel_on_candles_is_that_of_a_polynomial_fit():
    bars, period = random_bars(400, seed=8), 40
    found = get_strategy("linreg_channel", period=period).signals_on(bars).direction
    expected = np.zeros(400, np.int8)
    for t in range(period - 1, 400):
        closes = bars.close[t - period + 1 : t + 1]
        rest = closes - np.polyval(np.polyfit(np.arange(period), closes, 1), np.arange(period))
        expected[t] = -np.sign(rest[-1]) if abs(rest[-1]) > 2 * rest.std() else 0
    assert found.tolist() == expected.tolist()
    assert {-1, 0, 1} == set(found.tolist())


def test_flat_prices_have_no_channel():
    flat = np.full(300, 97.3)
    signals = get_strategy("linreg_channel").signals_on(bars_of(flat, flat, flat, flat, flat))
    assert not signals.direction.any()


def gaussian_columns(simple, gaussian, close=100):
    return constant(len(simple), close=close, sma_30=simple, gma_30=gaussian)


def test_sma_gma_is_on_the_side_of_the_gaussian_average():
    columns = gaussian_columns([100, 100, 100, 100, NAN], [100.06, 99.94, 100.04, 99.96, 101])
    assert run("sma_gma", columns) == ([1, -1, 0, 0, 0], [1, 1, 0, 0, 0])
    assert run("sma_gma", columns, minimum_frac=0.0)[0] == [1, -1, 1, -1, 0]
    assert run("sma_gma", columns, minimum_frac=0.001)[0] == [0, 0, 0, 0, 0]


def test_sma_gma_follows_a_straight_move():
    rising = 100 + 0.2 * np.arange(100)
    for close, side in ((rising, 1), (rising[::-1].copy(), -1)):
        direction = get_strategy("sma_gma").signals_on(bars_of(*[close] * 5)).direction
        assert direction[29:].tolist() == [side] * 71
        assert not direction[:29].any()


def cross_columns(length=1, **changes):
    base = {"sma_10": 2, "sma_30": 1, "atr_14": 1, "atr_sma_14_50": 1}
    return constant(length, **base | {"close@1d": 110, "sma_50@1d": 100} | changes)


def test_dual_ma_atr_follows_a_calm_cross_with_the_daily_trend():
    columns = cross_columns(4, sma_10=[2, 0.5, 0.5, 1], **{"close@1d": [110, 110, 90, 110]})
    direction, score = run("dual_ma_atr", columns)
    assert direction == [1, 0, -1, 0]
    assert score == [pytest.approx(1 / 3, abs=1e-6), 0, pytest.approx(1 / 3, abs=1e-6), 0]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 1),
        ({"atr_14": 1.5}, 1),
        ({"atr_14": 1.51}, 0),
        ({"atr_sma_14_50": 0.6}, 0),
        ({"sma_10": 1}, 0),
        ({"close@1d": 100}, 0),
        ({"close@1d": 99}, 0),
        ({"sma_50@1d": 111}, 0),
        ({"sma_50@1d": NAN}, 0),
        ({"close@1d": NAN}, 0),
        ({"atr_14": NAN}, 0),
        ({"atr_sma_14_50": NAN}, 0),
    ],
)
def test_dual_ma_atr_needs_every_condition(changes, expected):
    assert run("dual_ma_atr", cross_columns(**changes))[0] == [expected]


def test_dual_ma_atr_can_do_without_the_longer_bars():
    columns = cross_columns(2, sma_10=[2, 0.5])
    del columns["close@1d"], columns["sma_50@1d"]
    assert run("dual_ma_atr", columns, trend_timeframe="none")[0] == [1, -1]
    assert get_strategy("dual_ma_atr", trend_timeframe="4h", trend_bars=20).features()[-2:] == (
        "close@4h",
        "sma_20@4h",
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dual_ma_atr", {"stop_loss_atr": 1.0, "take_profit_atr": 2.0, "atr_bars": 14}),
        ("linreg_channel", {"stop_loss_frac": 0.0067, "take_profit_frac": 0.0133}),
        ("ultra_scalp_bot", {"stop_loss_frac": 0.005, "take_profit_frac": 0.02}),
        ("each_bar", {"stop_loss_frac": 0.01, "take_profit_frac": 0.02}),
    ],
)
def test_the_guides_exits_are_options_of_the_engine(name, expected):
    found = get_strategy(name).parameters.recommended_exits()
    exits = ExitOptions(**found)
    assert {key: getattr(exits, key) for key in expected} == expected
    assert set(found) == set(expected)
