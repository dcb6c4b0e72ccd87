"""Window steps: exact where a running sum would drift."""

from __future__ import annotations

import numpy as np
import pytest

from crypto_bot.core import Bars
from crypto_bot.features import compute_features
from crypto_bot.features.nodes import mean, start_memory
from crypto_bot.features.windows import mean_history
from features.sample_bars import flat_bars, random_bars


def means(x: np.ndarray, window: int) -> np.ndarray:
    out = np.empty_like(x)
    mean_history(start_memory(mean("close", window)), x, window, out)
    return out


def test_a_giant_value_leaves_no_trace_once_it_has_left_the_window():
    x = np.ones(100)
    x[20] = 1e300
    assert means(x, 10)[30:].tolist() == [1.0] * 70


def test_a_window_without_volume_has_mean_zero_exactly():
    x = np.concatenate([np.random.default_rng(0).random(1000) * 1e9, np.zeros(50)])
    assert means(x, 10)[1009:].tolist() == [0.0] * 41


def test_equal_values_have_themselves_as_mean():
    assert set(means(np.full(500, 0.1), 30)[29:]) == {0.1}


def test_a_nan_spoils_the_windows_that_hold_it_and_no_other():
    for place in range(5, 25):
        x = np.arange(60.0)
        x[place] = np.nan
        expected = np.isnan(x) | (np.arange(60) < 6)
        expected[place : place + 7] = True
        assert np.array_equal(np.isnan(means(x, 7)), expected)


def test_there_is_no_drift_in_a_million_bars():
    x = np.random.default_rng(3).lognormal(0.0, 3.0, 1_000_000)
    last = means(x, 30)[-1]
    assert last == pytest.approx(x[-30:].mean(), rel=1e-14)


def test_flat_prices_have_no_deviation_and_no_place_between_bands():
    table = compute_features(flat_bars(100), ["bb_width", "bb_percent", "stoch_k", "zscore_20"])
    assert set(table.column("bb_width")[19:]) == {0.0}
    for name in ("bb_percent", "stoch_k", "zscore_20"):
        assert np.isnan(table.column(name)).all()


def test_zero_volume_gives_nan_ratios_and_never_an_error():
    table = compute_features(
        flat_bars(100), ["volume_ratio", "vwap_20", "obv_frac_20", "volume_sma_10"]
    )
    for name in ("volume_ratio", "vwap_20", "obv_frac_20"):
        assert np.isnan(table.column(name)).all()
    assert set(table.column("volume_sma_10")[9:]) == {0.0}


def test_donchian_leaves_out_the_present_bar():
    bars = random_bars(60)
    high = compute_features(bars, ["donchian_high_20"]).column("donchian_high_20")
    assert high[40] == bars.high[20:40].max()


def test_a_flat_stretch_after_movement_holds_the_rsi_still():
    bars = random_bars(100)
    close = np.concatenate([bars.close, np.full(60, bars.close[-1])])
    times = np.arange(160) * 60_000_000_000
    flat = Bars("BTC/USDT", "1m", times, close, close, close, close, np.ones(160))
    table = compute_features(flat, ["rsi_14", "rsi_z_20"])
    assert len(set(table.column("rsi_14")[100:])) == 1
    assert np.isnan(table.column("rsi_z_20")[125:]).all()
