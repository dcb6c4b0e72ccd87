"""`FeatureEngineering`: the guide's 23 lines, equal to the features stage bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from crypto_bot.adapters.backtrader_feed import bars_feed
from crypto_bot.adapters.backtrader_indicator import (
    FeatureEngineering,
    feature_indicator,
    values_now,
)
from crypto_bot.adapters.backtrader_package import bt
from crypto_bot.core import Bars
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.timeframes import MINUTE_NS
from crypto_bot.features import S0_FEATURES, compute_features
from crypto_bot.market import SimulationOptions, read_candles, simulate_market
from shared_data import shared_data

(SIMULATED,) = simulate_market(SimulationOptions(seed=9, symbols=1, bars=900))


class Lines(bt.Strategy):
    """Keeps what an indicator shows at every bar."""

    params = (("indicator", FeatureEngineering), ("options", {}))

    def __init__(self):
        self.indicator = self.p.indicator(self.data, **self.p.options)
        self.rows = []

    def next(self):
        self.rows.append(values_now(self.indicator))


def shown(feed, indicator=FeatureEngineering, options=None, **run):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(feed)
    cerebro.addstrategy(Lines, indicator=indicator, options=options or {})
    return np.array(cerebro.run(**run)[0].rows)


def equal(rows, table):
    return rows.shape == table.values.shape and rows.tobytes() == table.values.tobytes()


@pytest.mark.parametrize("run", [{}, {"runonce": False}, {"runonce": False, "preload": False}])
def test_the_lines_are_the_features_bit_for_bit(run):
    assert equal(shown(bars_feed(SIMULATED), **run), compute_features(SIMULATED))


def test_they_are_on_real_candles_too():
    bars, _ = read_candles(shared_data("binance/BTC_USDT-5m.parquet"))
    bars = bars[5_000:7_000]
    assert equal(shown(bars_feed(bars)), compute_features(bars))


def test_there_are_23_lines_in_the_guide_s_order():
    names = FeatureEngineering.lines._getlines()
    assert tuple(names) == S0_FEATURES
    assert len(names) == FeatureEngineering.params.feature_count == 23


def test_they_are_nan_while_not_defined_and_only_then():
    rows = shown(bars_feed(SIMULATED))
    table = compute_features(SIMULATED)
    for column, each in enumerate(table.features):
        assert np.isnan(rows[: each.warmup_bars, column]).all(), each.name
        assert np.isfinite(rows[each.warmup_bars :, column]).all(), each.name


def test_flat_prices_without_volume_crash_nothing():
    count = 120
    prices, opened = np.full(count, 50.0), 5 * MINUTE_NS * np.arange(count)
    flat = Bars("BTC/USDT", "5m", opened, *([prices] * 4), np.zeros(count))
    rows = shown(bars_feed(flat))
    assert equal(rows, compute_features(flat))
    assert np.isnan(rows[-1, S0_FEATURES.index("stoch_k")])
    assert rows[-1, S0_FEATURES.index("bb_width")] == 0.0


def test_the_training_and_the_live_stochastic_are_one():
    """The guide's live %K was its training %D, and its deviation had another divisor."""
    rows = shown(bars_feed(SIMULATED))
    low = np.array([SIMULATED.low[t - 13 : t + 1].min() for t in range(13, len(SIMULATED))])
    high = np.array([SIMULATED.high[t - 13 : t + 1].max() for t in range(13, len(SIMULATED))])
    fast = 100 * (SIMULATED.close[13:] - low) / (high - low)
    assert np.allclose(rows[13:, S0_FEATURES.index("stoch_k")], fast, rtol=0, atol=1e-9)
    returns = np.diff(SIMULATED.close) / SIMULATED.close[:-1]
    spread = np.array([returns[t - 5 : t].std(ddof=1) for t in range(5, len(returns) + 1)])
    assert np.allclose(rows[5:, S0_FEATURES.index("return_std_5d")], spread, rtol=1e-9)


def test_history_before_the_feed_counts():
    rows = shown(bars_feed(SIMULATED[600:]), options={"history": SIMULATED[:600]})
    whole = compute_features(SIMULATED).values[600:]
    assert rows.tobytes() == np.ascontiguousarray(whole).tobytes()


def test_any_other_features_are_lines_as_well():
    names = ("rsi_9", "atr_frac_20", "sma_5@15m")
    indicator = feature_indicator(names)
    assert indicator is feature_indicator(list(names))
    assert tuple(indicator.lines._getlines()) == ("rsi_9", "atr_frac_20", "sma_5_15m")
    rows = shown(bars_feed(SIMULATED), indicator)
    assert equal(rows, compute_features(SIMULATED, names))
    assert feature_indicator(S0_FEATURES) is FeatureEngineering


def test_another_number_of_features_is_refused():
    with pytest.raises(ConfigError, match=r"feature_count must be 23.*was 22"):
        shown(bars_feed(SIMULATED), options={"feature_count": 22})


def test_a_price_no_market_has_is_an_error_and_not_no_signal():
    frame = SIMULATED[:60].to_pandas()
    frame.index = frame.index.tz_localize(None)
    frame.iloc[40, frame.columns.get_loc("low")] = 0.0
    feed = bt.feeds.PandasData(dataname=frame, timeframe=bt.TimeFrame.Minutes, compression=5)
    with pytest.raises(DataError, match="must have 0 < low"):
        shown(feed)


def test_a_foreign_feed_gives_the_same_lines():
    frame = SIMULATED.to_pandas()
    frame.index = frame.index.tz_localize(None)
    feed = bt.feeds.PandasData(dataname=frame, timeframe=bt.TimeFrame.Minutes, compression=5)
    assert equal(shown(feed), compute_features(SIMULATED))
