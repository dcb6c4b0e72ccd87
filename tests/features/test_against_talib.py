"""The values equal TA-Lib's wherever both define the indicator, on random and on real candles."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import talib

from crypto_bot.core import OHLCV, Bars
from crypto_bot.features import S0_FEATURES, TRAINER_FEATURES, compute_features, feature
from features.sample_bars import random_bars
from shared_data import shared_data

TALIB = {
    "sma_10": lambda b: talib.SMA(b.close, 10),
    "sma_30": lambda b: talib.SMA(b.close, 30),
    "sma_200": lambda b: talib.SMA(b.close, 200),
    "ema_8": lambda b: talib.EMA(b.close, 8),
    "ema_10": lambda b: talib.EMA(b.close, 10),
    "ema_21": lambda b: talib.EMA(b.close, 21),
    "ema_30": lambda b: talib.EMA(b.close, 30),
    "sma_ratio": lambda b: talib.SMA(b.close, 10) / talib.SMA(b.close, 30),
    "ema_ratio": lambda b: talib.EMA(b.close, 10) / talib.EMA(b.close, 30),
    "rsi_14": lambda b: talib.RSI(b.close, 14),
    "stoch_k": lambda b: talib.STOCHF(b.high, b.low, b.close, 14, 3)[0],
    "stoch_d": lambda b: talib.STOCHF(b.high, b.low, b.close, 14, 3)[1],
    "bb_upper": lambda b: talib.BBANDS(b.close, 20, 2.0, 2.0)[0],
    "bb_lower": lambda b: talib.BBANDS(b.close, 20, 2.0, 2.0)[2],
    "atr_14": lambda b: talib.ATR(b.high, b.low, b.close, 14),
    "adx_14": lambda b: talib.ADX(b.high, b.low, b.close, 14),
    "plus_di_14": lambda b: talib.PLUS_DI(b.high, b.low, b.close, 14),
    "minus_di_14": lambda b: talib.MINUS_DI(b.high, b.low, b.close, 14),
    "macd_line": lambda b: talib.MACD(b.close, 12, 26, 9)[0],
    "macd_signal": lambda b: talib.MACD(b.close, 12, 26, 9)[1],
    "macd_hist": lambda b: talib.MACD(b.close, 12, 26, 9)[2],
    "close_to_sma10": lambda b: b.close / talib.SMA(b.close, 10) - 1,
    "close_to_sma30": lambda b: b.close / talib.SMA(b.close, 30) - 1,
    "close_to_bb_upper": lambda b: b.close / talib.BBANDS(b.close, 20, 2.0, 2.0)[0] - 1,
    "close_to_bb_lower": lambda b: b.close / talib.BBANDS(b.close, 20, 2.0, 2.0)[2] - 1,
    "volume_sma_10": lambda b: talib.SMA(b.volume, 10),
    "volume_ratio": lambda b: b.volume / talib.SMA(b.volume, 10),
    "daily_return": lambda b: talib.ROCP(b.close, 1),
    "return_5d": lambda b: talib.ROCP(b.close, 5),
    "return_10d": lambda b: talib.ROCP(b.close, 10),
    "linreg_20": lambda b: talib.LINEARREG(b.close, 20),
    "linreg_100": lambda b: talib.LINEARREG(b.close, 100),
    "linreg_slope_20": lambda b: talib.LINEARREG_SLOPE(b.close, 20),
    "pivot": lambda b: talib.TYPPRICE(b.high, b.low, b.close),
    "atr_ratio_14_50": lambda b: (
        talib.ATR(b.high, b.low, b.close, 14) / talib.ATR(b.high, b.low, b.close, 50)
    ),
    "atr_sma_14_50": lambda b: talib.SMA(talib.ATR(b.high, b.low, b.close, 14), 50),
    "roc_5": lambda b: talib.ROC(b.close, 5),
    "obv": lambda b: talib.OBV(b.close, b.volume),
    "donchian_high_20": lambda b: np.roll(talib.MAX(b.high, 20), 1),
    "donchian_low_20": lambda b: np.roll(talib.MIN(b.low, 20), 1),
}
DERIVED = {"bb_width", "return_std_5d"}
"""Of the named ones, those TA-Lib has no function for; their twins are in tests/reference."""


def real_bars(name: str) -> Bars:
    frame = pl.read_parquet(shared_data(f"binance/{name}.parquet"))
    times = frame["timestamp"].dt.epoch("ns").to_numpy()
    columns = {column: frame[column].to_numpy() for column in OHLCV}
    symbol, timeframe = name.rsplit("-", 1)
    return Bars(symbol.replace("_", "/"), timeframe, times, **columns)


def assert_equal_to_talib(bars: Bars) -> None:
    table = compute_features(bars, list(TALIB))
    for name, function in TALIB.items():
        ours, theirs = table.column(name), function(bars)
        defined = ~np.isnan(theirs)
        defined[: feature(name).warmup_bars] = False
        assert defined.sum() > len(bars) - 300, name
        size = np.maximum(np.abs(theirs), np.sqrt(np.mean(theirs[defined] ** 2)))
        off = np.abs(ours - theirs)[defined] / size[defined]
        assert off.max() <= 1e-9, f"{name} is off by {off.max():.1e}"


def test_values_equal_talib_on_a_random_walk():
    assert_equal_to_talib(random_bars(20_000, seed=21))


@pytest.mark.parametrize("name", ["BTC_USDT-1h", "ETH_USDT-5m"])
def test_values_equal_talib_on_real_candles(name):
    assert_equal_to_talib(real_bars(name))


@pytest.mark.parametrize("name", ["BTC_USDT-1h", "ETH_USDT-5m"])
def test_engulfing_is_talibs_where_both_candles_have_a_body(name):
    bars = real_bars(name)
    theirs = np.sign(talib.CDLENGULFING(bars.open, bars.high, bars.low, bars.close))
    has_body = bars.open != bars.close
    both = has_body[1:] & has_body[:-1]
    ours = compute_features(bars, ["engulfing"]).values[1:, 0]
    assert np.array_equal(ours[both], theirs[1:][both])
    assert (np.unique(ours, return_counts=True)[1] > 100).all()


@pytest.mark.parametrize("name", ["BTC_USDT-1h", "ETH_USDT-5m"])
def test_three_outside_is_talibs_where_the_candles_have_bodies(name):
    bars = real_bars(name)
    theirs = np.sign(talib.CDL3OUTSIDE(bars.open, bars.high, bars.low, bars.close))
    has_body = bars.open != bars.close
    ours = compute_features(bars, ["three_outside"]).values[2:, 0]
    three = has_body[2:] & has_body[1:-1] & has_body[:-2]
    assert np.array_equal(ours[three], theirs[2:][three])
    assert (np.unique(ours, return_counts=True)[1] > 20).all()


def test_warmup_equals_talibs():
    bars = random_bars(400)
    later = dict.fromkeys(("stoch_k",), 2) | dict.fromkeys(("macd_line",), 8)
    for name, function in TALIB.items():
        if not name.startswith("donchian"):
            theirs = int(np.isnan(function(bars)).sum())
            assert feature(name).warmup_bars + later.get(name, 0) == theirs, name


def test_every_feature_of_the_guides_is_compared_or_derived():
    assert {*S0_FEATURES, *TRAINER_FEATURES} - set(TALIB) == DERIVED
