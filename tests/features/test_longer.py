"""Features of longer bars: the last closed one's value, over history and live, never one sooner."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.core import OHLCV, Bars
from crypto_bot.core.errors import ConfigError
from crypto_bot.core.timeframes import DAY_NS, HOUR_NS, timeframe_ns
from crypto_bot.features import (
    FeatureStream,
    compute_features,
    feature,
    forget_feature,
    register_feature,
)
from crypto_bot.market import SimulationOptions, resample, simulate_market
from features.sample_bars import MINUTE_NS, random_bars, rough_bars
from features.test_against_talib import real_bars

PLAIN = (*OHLCV, "sma_3", "rsi_3", "atr_3", "macd_hist_2_5_3", "obv_frac_4", "volume_ratio_3")


class Peak(NamedTuple):
    high: float


def peak_step(state, x):
    high = max(state.high, 0.0 if np.isnan(x[0]) else x[0])
    return Peak(high), high


def last_closed(bars: Bars, name: str, timeframe: str) -> np.ndarray:
    """The feature on resampled bars, of the last that has closed at each bar's close."""
    longer = resample(bars, timeframe)
    values = (
        getattr(longer, name) if name in OHLCV else compute_features(longer, [name]).values.T[0]
    )
    known = np.searchsorted(longer.close_time, bars.close_time, side="right") - 1
    return np.where(known >= 0, values[known], np.nan)


def assert_last_closed(bars: Bars, timeframe: str) -> None:
    names = [f"{name}@{timeframe}" for name in PLAIN]
    table = compute_features(bars, names)
    for plain, name in zip(PLAIN, names, strict=True):
        wanted = last_closed(bars, plain, timeframe)
        assert np.array_equal(table.column(name), wanted, equal_nan=True), name


@pytest.mark.parametrize("timeframe", ["2m", "5m", "7m", "1h"])
@pytest.mark.parametrize("first", [0, 1, 4, 59])
def test_a_longer_feature_is_that_of_the_last_resampled_bar_closed(timeframe, first):
    assert_last_closed(random_bars(700, seed=4)[first:], timeframe)


@pytest.mark.parametrize("timeframe", ["15m", "1h", "4h", "1d", "1w"])
def test_a_longer_feature_is_that_of_the_last_resampled_bar_on_simulated_days(timeframe):
    (bars,) = simulate_market(SimulationOptions(symbols=1, bars=9_000))
    assert_last_closed(bars, timeframe)


@pytest.mark.parametrize("timeframe", ["15m", "1h", "1d"])
def test_a_longer_feature_is_that_of_the_last_resampled_bar_on_real_candles(timeframe):
    assert_last_closed(real_bars("ETH_USDT-5m")[100:6000], timeframe)


def test_weeks_of_odd_bars_are_those_of_resampling():
    seven = replace(random_bars(400), timeframe="7h", open_time=np.arange(400) * 7 * HOUR_NS)
    assert_last_closed(seven, "1w")
    days = replace(random_bars(200), timeframe="1d", open_time=np.arange(3, 203) * DAY_NS)
    assert_last_closed(days, "1w")


def late_closed(bars: Bars, timeframe: str) -> np.ndarray:
    """The close of the last longer bar known at each close: by its end, or by the next bar."""
    every = timeframe_ns(timeframe)
    bucket = bars.open_time // every
    if not len(bars):
        return np.empty(0)
    counts = bucket != bucket[0] if bars.open_time[0] % every else bucket == bucket
    values = np.full(len(bars), np.nan)
    for t in range(len(bars)):
        ended = counts[: t + 1] & (
            ((bucket[: t + 1] + 1) * every <= bars.close_time[t]) | (bucket[: t + 1] < bucket[t])
        )
        if ended.any():
            values[t] = bars.close[np.flatnonzero(ended)[-1]]
    return values


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    keep=st.lists(st.booleans(), min_size=40, max_size=120),
    timeframe=st.sampled_from(["3m", "5m", "15m"]),
)
def test_a_longer_bar_whose_end_an_outage_took_is_known_at_the_next_bar(keep, timeframe):
    whole = random_bars(len(keep), seed=6)
    columns = {name: getattr(whole, name)[keep] for name in ("open_time", *OHLCV)}
    bars = replace(whole, **columns)
    values = compute_features(bars, [f"close@{timeframe}"]).values[:, 0]
    assert np.array_equal(values, late_closed(bars, timeframe), equal_nan=True)


def test_two_longer_bars_may_become_known_at_one_close():
    bars = random_bars(12)
    kept = np.array([0, 1, 2, 3, 9, 10])
    gapped = replace(bars, **{c: getattr(bars, c)[kept] for c in ("open_time", *OHLCV)})
    names = ["close@5m", "return_1@5m"]
    values = compute_features(gapped, names).values
    assert values[3:, 0].tolist()[1:] == [bars.close[9], bars.close[9]]
    assert values[4, 1] == bars.close[9] / bars.close[3] - 1.0
    stream = FeatureStream(names, "1m")
    live = np.array([stream.update(bar) for bar in gapped])
    assert np.array_equal(values, live, equal_nan=True)


def test_the_daily_close_is_not_seen_on_its_own_day():
    """A daily bar carries midnight's stamp, yet its close is known only when the day is over."""
    days = 3
    price = np.repeat(np.arange(100.0, 100.0 + days), 288) + np.tile(np.arange(288) / 1000, days)
    times = np.arange(len(price)) * 5 * MINUTE_NS
    bars = Bars("BTC/USDT", "5m", times, price, price, price, price, np.ones(len(price)))
    seen = compute_features(bars, ["close@1d"]).values[:, 0]
    morning = 288 + 9 * 12 + 6
    assert seen[morning] == bars.close[287]
    assert np.isnan(seen[:287]).all()
    assert (seen[287:575] == bars.close[287]).all()
    assert (seen[575:863] == bars.close[575]).all()


def test_a_feature_of_the_bars_own_timeframe_is_the_plain_one():
    bars = random_bars(300)
    values = compute_features(bars, ["rsi_14@1m", "rsi_14", "close@1m", "close@60s"]).values
    assert np.array_equal(values[:, 0], values[:, 1], equal_nan=True)
    assert np.array_equal(values[:, 2], bars.close)
    assert np.array_equal(values[:, 3], bars.close)
    assert feature("rsi_14@1m", "1m").settled_bars == feature("rsi_14").settled_bars
    assert feature("close@1m", "1m").settled_bars == 0


def test_one_longer_bar_is_made_once_for_all_that_read_it():
    from crypto_bot.features.driver import BUCKET, KIND
    from crypto_bot.features.plans import plan_features

    plan = plan_features(["sma_5@1h", "close_to_sma_5@1h", "close@60m", "sma_5@2h"], "5m")
    assert plan.steps[:, KIND].tolist().count(BUCKET) == 2


def test_bars_of_longer_features_are_counted_in_the_bars_given():
    assert feature("sma_50@1d", "5m").warmup_bars == 51 * 288 - 1
    assert feature("sma_50@1d", "1h").settled_bars == 51 * 24 - 1
    assert feature("obv@1d", "1h").settled_bars is None
    assert feature("sma_50@1d").definition == (
        "mean of the last 50 closes, of the last 1d bar closed by then"
    )
    assert feature("atr_14@1d").inputs == ("high", "low", "close")
    assert feature("volume@1d").inputs == ("volume",)


@pytest.mark.parametrize(
    ("name", "timeframe", "message"),
    [
        (
            "sma_5@1h",
            "7m",
            "timeframe of sma_5@1h must be a whole multiple of the bars' 7m, was 1h",
        ),
        (
            "close@1m",
            "5m",
            "timeframe of close@1m must be a whole multiple of the bars' 5m, was 1m",
        ),
        ("sma_5@1x", "5m", "sma_5@1x: timeframe must be a number and one of .*, was '1x'"),
        ("sma_5@", "5m", "sma_5@: timeframe must be a number .*, was ''"),
        ("sma_5@1h@1d", "5m", "sma_5@1h@1d: timeframe must be a number .*, was '1h@1d'"),
        ("smaa_5@1h", "5m", "feature must be a known name, was 'smaa_5'"),
        ("close", "5m", "feature must be a known name, was 'close'"),
    ],
)
def test_a_longer_feature_that_cannot_be_is_refused(name, timeframe, message):
    with pytest.raises(ConfigError, match=message):
        feature(name, timeframe)


def test_bars_of_a_longer_feature_cannot_be_counted_without_the_bars_timeframe():
    found = feature("sma_5@1h")
    for wanted in ("warmup_bars", "settled_bars"):
        with pytest.raises(ConfigError, match=r"timeframe of the bars must be given .* was None"):
            getattr(found, wanted)
    with pytest.raises(ConfigError, match=r"timeframe must be given .*, was None; FeatureStream"):
        FeatureStream(["sma_5@1h"])


def test_a_saved_stream_carries_its_half_made_longer_bar():
    bars = rough_bars(700, seed=12)
    names = ["close@1h", "volume@1h", "rsi_3@15m", "sma_2"]
    wanted = compute_features(bars, names).values
    stream = FeatureStream(names, "1m")
    for t, bar in enumerate(bars):
        if t % 37 == 0:
            stream = FeatureStream.from_bytes(stream.to_bytes())
        assert np.array_equal(stream.update(bar), wanted[t], equal_nan=True)


def test_an_own_feature_has_longer_bars_too_and_may_read_them():
    entry = {"start": Peak(0.0), "warmup_bars": 0, "settled_bars": None}
    register_feature("own_peak", inputs=["close"], definition="highest close", **entry)(peak_step)
    register_feature("own_long", inputs=["close@5m"], definition="highest 5m", **entry)(peak_step)
    try:
        bars = random_bars(300, seed=2)
        names = ["own_peak@5m", "own_peak", "own_long", "sma_3@5m"]
        values = compute_features(bars, names).values
        wanted = compute_features(resample(bars, "5m"), ["own_peak"]).values[:, 0]
        assert np.array_equal(values[4::5, 0], wanted)
        stream = FeatureStream(names, "1m")
        live = np.array([stream.update(bar) for bar in bars])
        assert np.array_equal(values, live, equal_nan=True)
        with pytest.raises(ConfigError, match="must be of one timeframe, was of one in another"):
            feature("own_long@15m", "1m")
    finally:
        forget_feature("own_peak")
        forget_feature("own_long")
