"""Seeded candles for the strategy tests, with stretches that suit each kind of rule."""

from __future__ import annotations

import numpy as np

from crypto_bot.core import OHLCV, Bars
from crypto_bot.core.timeframes import DAY_NS, timeframe_ns
from crypto_bot.features import compute_features


def random_bars(count, seed, timeframe="5m"):
    """Regimes of drift and volatility, volume that follows volatility, some crashes, no gaps."""
    rng = np.random.default_rng(seed)
    regime = np.repeat(rng.integers(0, 4, count // 150 + 1), 150)[:count]
    drift = np.array([0.0, 0.0008, -0.0008, 0.0])[regime]
    sigma = np.array([0.0008, 0.003, 0.003, 0.008])[regime]
    moves = drift + sigma * rng.standard_t(4, count) / np.sqrt(2)
    moves[rng.random(count) < 0.004] -= 0.035
    close = 100 * np.exp(np.cumsum(moves))
    start = np.concatenate(([100.0], close[:-1]))
    wick = sigma * np.abs(rng.normal(size=(2, count)))
    high = np.maximum(start, close) * (1 + wick[0])
    low = np.minimum(start, close) * (1 - wick[1])
    volume = np.exp(rng.normal(3, 0.4, count)) * (1 + 300 * np.abs(moves))
    return bars_of(start, high, low, close, volume, timeframe)


def bars_of(start, high, low, close, volume, timeframe="5m"):
    open_time = 20_000 * DAY_NS + timeframe_ns(timeframe) * np.arange(len(close))
    return Bars(
        "BTC/USDT", timeframe, open_time, start, high, low, close, volume, is_simulated=True
    )


def columns_of(bars, names):
    """Raw columns and features of these bars, for several strategies at once."""
    names = tuple(dict.fromkeys(names))
    columns = {name: getattr(bars, name) for name in OHLCV}
    if names:
        table = compute_features(bars, names)
        columns.update((name, table.column(name)) for name in names)
    return columns


def with_predictions(columns, seed=5):
    """The columns a model would add: probabilities with a missing stretch."""
    rng = np.random.default_rng(seed)
    p_up = rng.random(len(columns["close"]))
    p_up[:50] = np.nan
    return {**columns, "p_up": p_up, "p_down": 1.0 - p_up}
