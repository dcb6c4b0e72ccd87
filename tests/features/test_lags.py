"""`name~k`: the value k bars ago, never one from before an outage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.core import OHLCV, Bars
from crypto_bot.core.errors import ConfigError
from crypto_bot.features import FeatureStream, compute_features, feature
from crypto_bot.features.driver import KIND, PAST, UNBROKEN
from crypto_bot.features.history import STRETCH
from crypto_bot.features.plans import plan_features
from crypto_bot.market import resample
from features.sample_bars import random_bars, rough_bars


def ago(bars: Bars, values: np.ndarray, lag: int) -> np.ndarray:
    """The value of the bar that closed exactly `lag` intervals earlier, if there is one."""
    at = dict(zip(bars.open_time.tolist(), values, strict=True))
    whole = np.full(len(bars), np.nan)
    for t, time in enumerate(bars.open_time.tolist()):
        steps = [time - k * bars.interval_ns for k in range(lag + 1)]
        if all(step in at for step in steps):
            whole[t] = at[steps[-1]]
    return whole


def without(bars: Bars, keep: np.ndarray) -> Bars:
    return replace(bars, **{c: getattr(bars, c)[keep] for c in ("open_time", *OHLCV)})


@settings(deadline=None, derandomize=True, max_examples=40)
@given(keep=st.lists(st.integers(0, 9), min_size=2, max_size=150), lag=st.integers(1, 30))
def test_a_lag_is_the_value_of_that_bar_and_nan_across_an_outage(keep, lag):
    bars = without(random_bars(len(keep), seed=3), np.array(keep) > 0)
    plain = compute_features(bars, ["ema_3"]).column("ema_3") if len(bars) else np.empty(0)
    lagged = compute_features(bars, [f"ema_3~{lag}"]).column(f"ema_3~{lag}")
    assert np.array_equal(lagged, ago(bars, plain, lag), equal_nan=True)


def test_a_lag_longer_than_a_stretch_of_history_is_the_same_live():
    bars = random_bars(2 * STRETCH + 50, seed=4)
    bars = without(bars, np.arange(len(bars)) != 10)
    names = [f"close~{STRETCH}", f"close~{STRETCH - 1}", f"close~{STRETCH + 1}", "close~1"]
    table = compute_features(bars, names)
    for name in names:
        wanted = ago(bars, bars.close, int(name[6:]))
        assert np.array_equal(table.column(name), wanted, equal_nan=True), name
    stream = FeatureStream.from_history(bars[:STRETCH], names)
    live = np.array([stream.update(bar) for bar in bars[STRETCH:]])
    assert np.array_equal(live, table.values[STRETCH:], equal_nan=True)


def test_a_lag_after_the_timeframe_counts_the_bars_and_one_before_it_the_longer_ones():
    bars = random_bars(400, seed=5)
    table = compute_features(bars, ["sma_3@5m~2", "sma_3~2@5m", "sma_3@5m"])
    held = table.column("sma_3@5m")
    assert np.array_equal(table.column("sma_3@5m~2")[2:], held[:-2], equal_nan=True)
    longer = compute_features(resample(bars, "5m"), ["sma_3"]).column("sma_3")
    assert np.array_equal(table.column("sma_3~2@5m")[14::5], longer[:-2], equal_nan=True)


def test_lags_of_one_feature_share_its_computation_and_the_count_of_bars():
    names = [f"{name}~{k}" for name in ("rsi_14", "sma_10") for k in range(1, 21)]
    kinds = plan_features([*names, "rsi_14", "sma_10"], "5m").steps[:, KIND].tolist()
    assert (kinds.count(PAST), kinds.count(UNBROKEN), len(kinds)) == (40, 1, 43)


def test_a_saved_stream_remembers_what_lay_before():
    bars = rough_bars(400, seed=6)
    names = ["close~7", "rsi_3~20", "sma_2@15m~3"]
    wanted = compute_features(bars, names).values
    stream = FeatureStream(names, "1m")
    for t, bar in enumerate(bars):
        if t % 29 == 0:
            stream = FeatureStream.from_bytes(stream.to_bytes())
        assert np.array_equal(stream.update(bar), wanted[t], equal_nan=True)


def test_a_lag_adds_its_bars_to_warmup_and_settling():
    assert (feature("sma_50~3").warmup_bars, feature("sma_50~3").settled_bars) == (52, 52)
    assert feature("rsi_14~20").settled_bars == feature("rsi_14").settled_bars + 20
    assert feature("close~1").warmup_bars == 1
    assert feature("obv~2").settled_bars is None
    assert feature("sma_50@1d~2", "4h").warmup_bars == feature("sma_50@1d", "4h").warmup_bars + 2
    assert feature("sma_50~3").definition == "mean of the last 50 closes, 3 bars ago"
    assert feature("close~1").definition == "close, 1 bar ago"
    assert feature("close@1h~1").inputs == ("close", "open_time")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rsi_14~0", "lag of rsi_14~0 must be one whole number of bars, 1 to 100000, was '0'"),
        ("rsi_14~", "lag of rsi_14~ must be one whole number .*, was ''; such as rsi_14~3"),
        ("rsi_14~-1", "must be one whole number of bars, 1 to 100000, was '-1'"),
        ("rsi_14~03", "was '03'"),
        ("rsi_14~100001", "was '100001'"),
        ("rsi_14~2~3", "lag of rsi_14~2~3 must be one whole number .*, was '2~3'"),
        ("rsi_14@1h~2~3", "was '2~3'; such as rsi_14@1h~3"),
        ("rsj_14~2", r"feature must be a known name, was 'rsj_14'; did you mean 'rsi_14'\?"),
        ("rsi_14~2@1x", "rsi_14~2@1x: timeframe must be"),
    ],
)
def test_a_lag_that_cannot_be_is_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        feature(name, "5m")


def test_a_live_lag_needs_the_timeframe():
    with pytest.raises(ConfigError, match=r"timeframe must be given .* k bars ago, .*, was None"):
        FeatureStream(["close~1"])
