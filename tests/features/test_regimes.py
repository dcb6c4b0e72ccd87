"""The regime of a bar: each rule, their order, every threshold, and one definition for all callers."""

from __future__ import annotations

import numpy as np
import pytest

from crypto_bot.core import OHLCV
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.features import (
    REGIMES,
    FeatureStream,
    RegimeOptions,
    classify_regimes,
    compute_features,
    feature,
)
from crypto_bot.strategies.base import REGIMES as STRATEGY_REGIMES
from features.sample_bars import flat_bars, random_bars, rough_bars
from features.test_against_talib import real_bars

QUIET = {
    "adx_12": 25.0,
    "ema_6": 100.0,
    "ema_18": 101.0,
    "bb_width_18": 0.5,
    "volume": 1.0,
    "volume_sma_18": 1.0,
    "rsi_12": 80.0,
    "close": 100.0,
    "high": 100.0,
    "low": 99.0,
    "atr_12": 1.0,
}
"""Inputs of which no rule speaks."""
TRENDING = {"adx_12": 12.5, "ema_6": 101.5}
SIDEWAYS = {"adx_12": 19.5, "bb_width_18": 0.019}
BREAKOUT = {"bb_width_18": 0.034, "volume": 1.6}
REVERTING = {"rsi_12": 70.0, "close": 103.9}
VOLATILE = {"high": 100.4}


def regime_of(changes, options=None):
    columns = {name: np.array([value]) for name, value in (QUIET | changes).items()}
    code = int(classify_regimes(columns, options)[0])
    return REGIMES[code] if code >= 0 else None


def test_names_are_those_of_the_strategies():
    assert REGIMES == STRATEGY_REGIMES


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, "sideways"),
        (TRENDING, "trending"),
        (TRENDING | {"adx_12": 12.0}, "sideways"),
        (TRENDING | {"ema_6": 101.0}, "sideways"),
        (SIDEWAYS, "sideways"),
        (SIDEWAYS | VOLATILE | {"adx_12": 20.0}, "volatile"),
        (SIDEWAYS | VOLATILE | {"bb_width_18": 0.02}, "volatile"),
        (BREAKOUT, "breakout"),
        (BREAKOUT | {"volume": 1.5}, "sideways"),
        (BREAKOUT | {"bb_width_18": 0.035}, "sideways"),
        (REVERTING, "mean-reverting"),
        (REVERTING | {"rsi_12": 30.0, "close": 96.1}, "mean-reverting"),
        (REVERTING | {"rsi_12": 70.5}, "sideways"),
        (REVERTING | {"rsi_12": 29.5}, "sideways"),
        (REVERTING | {"close": 104.5}, "sideways"),
        (REVERTING | {"close": 95.5}, "sideways"),
        (VOLATILE, "volatile"),
        ({"high": 100.3}, "sideways"),
    ],
)
def test_a_rule_holds_beyond_its_threshold(changes, wanted):
    assert regime_of(changes) == wanted


def test_rules_are_asked_in_order():
    everything = TRENDING | BREAKOUT | REVERTING | VOLATILE | {"bb_width_18": 0.019}
    assert regime_of(everything) == "trending"
    assert regime_of(everything | {"ema_6": 100.0}) == "sideways"
    assert regime_of(everything | {"ema_6": 100.0, "bb_width_18": 0.03}) == "breakout"
    assert regime_of(everything | {"ema_6": 100.0, "bb_width_18": 0.04}) == "mean-reverting"


@pytest.mark.parametrize(
    ("option", "value", "changes", "wanted"),
    [
        ("adx_trending_min", 30.0, TRENDING, "sideways"),
        ("both_directions", True, TRENDING | {"ema_6": 100.0}, "trending"),
        ("adx_sideways_max", 10.0, SIDEWAYS | VOLATILE, "volatile"),
        ("bb_width_sideways_max", 0.01, SIDEWAYS | VOLATILE, "volatile"),
        ("bb_width_breakout_max", 0.02, BREAKOUT, "sideways"),
        ("breakout_volume_mult", 2.0, BREAKOUT, "sideways"),
        ("rsi_mean_rev_min", 75.0, REVERTING, "sideways"),
        ("rsi_mean_rev_max", 65.0, REVERTING, "sideways"),
        ("ema_distance_mean_rev_max", 0.03, REVERTING, "sideways"),
        ("normalized_range_volatility_min", 1.5, VOLATILE, "sideways"),
    ],
)
def test_every_threshold_is_an_option(option, value, changes, wanted):
    extra = {"rsi_mean_rev_max": 76.0} if option == "rsi_mean_rev_min" else {}
    assert regime_of(changes, RegimeOptions(**{option: value}, **extra)) == wanted


@pytest.mark.parametrize(
    "name", ["adx_12", "ema_6", "ema_18", "bb_width_18", "volume_sma_18", "rsi_12", "atr_12"]
)
def test_a_bar_with_an_undefined_indicator_has_no_regime(name):
    assert regime_of(TRENDING | {name: float("nan")}) is None


@pytest.mark.parametrize("bars", [random_bars(900, seed=3, volatility=0.01), rough_bars(900, 8)])
def test_the_feature_and_the_function_agree(bars):
    names = ["regime", *(f"is_{name.replace('-', '_')}" for name in REGIMES)]
    table, codes = compute_features(bars, names), classify_regimes(bars)
    labels = np.where(codes < 0, np.nan, codes)
    assert np.array_equal(table.column("regime"), labels, equal_nan=True)
    for code, name in enumerate(names[1:]):
        wanted = np.where(codes < 0, np.nan, codes == code)
        assert np.array_equal(table.column(name), wanted, equal_nan=True)
    assert codes.dtype == np.int8


def test_every_regime_occurs_on_real_candles():
    bars = real_bars("BTC_USDT-1h")
    codes = classify_regimes(bars)
    warmup = feature("regime").warmup_bars
    assert (codes[:warmup] == -1).all()
    assert set(np.unique(codes[warmup:]).tolist()) == {0, 1, 2, 3, 4}


def test_columns_and_candles_give_the_same():
    bars = random_bars(600, seed=5)
    options = RegimeOptions(
        ema_fast=8, ema_slow=21, indicator_window=14, bb_window=20, ma_window=20
    )
    table = compute_features(bars, options.features())
    columns = {name: getattr(bars, name) for name in OHLCV}
    columns |= {name: table.column(name) for name in options.features()}
    codes = classify_regimes(columns, options)
    assert np.array_equal(codes, classify_regimes(bars, options))
    assert not np.array_equal(codes, classify_regimes(bars))


def test_a_market_that_never_moved_has_no_regime():
    assert (classify_regimes(flat_bars(200, volume=1.0)) == -1).all()
    assert len(classify_regimes(flat_bars(0))) == 0


def test_the_regime_of_longer_bars_is_a_feature_too():
    bars = random_bars(1200, seed=9)
    values = compute_features(bars, ["regime@15m"]).values[:, 0]
    stream = FeatureStream(["regime@15m"], "1m")
    live = np.array([stream.update(bar)[0] for bar in bars])
    assert np.array_equal(values, live, equal_nan=True)
    assert np.isfinite(values[-1])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ema_fast": 18}, r"ema_fast must be below ema_slow \(18\), was 18"),
        ({"rsi_mean_rev_min": 70.0}, "rsi_mean_rev_min must be below rsi_mean_rev_max"),
        ({"bb_width_breakout_max": 3.5}, "bb_width_breakout_max must be less than or equal to 1"),
        ({"adx_min": 3}, "adx_min is not an option of RegimeOptions"),
    ],
)
def test_options_that_cannot_be_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        RegimeOptions(**values)


def test_columns_that_lack_or_break_something_are_refused():
    columns = {name: np.array([value]) for name, value in QUIET.items()}
    lacking = {name: values for name, values in columns.items() if name != "adx_12"}
    with pytest.raises(DataError, match="columns must have adx_12 for the regimes, was missing"):
        classify_regimes(lacking)
    with pytest.raises(DataError, match=r"columns\['rsi_12'\] must be float64 \(1,\)"):
        classify_regimes(columns | {"rsi_12": np.zeros(2)})
    with pytest.raises(DataError, match=r"columns\['close'\] must be float64 .* was int64"):
        classify_regimes(columns | {"close": np.zeros(1, np.int64)})
