"""Seeded candles for the strategy tests, with stretches that suit each kind of rule."""

from __future__ import annotations

import numpy as np

from crypto_bot.core import OHLCV, Bars
from crypto_bot.core.timeframes import DAY_NS, timeframe_ns
from crypto_bot.features import compute_features
from crypto_bot.strategies import get_strategy
from crypto_bot.strategies.needs import needed_columns


def random_bars(count, seed, timeframe="5m"):
    """Regimes of drift and volatility, volume that follows volatility, some crashes, no gaps."""
    rng = np.random.default_rng(seed)
    regime = np.repeat(rng.integers(0, 4, count // 150 + 1), 150)[:count]
    drift = np.array([0.0, 0.0008, -0.0008, 0.0])[regime]
    sigma = np.array([0.0008, 0.003, 0.003, 0.008])[regime]
    moves = drift + sigma * rng.standard_t(4, count) / np.sqrt(2)
    moves[rng.random(count) < 0.004] -= 0.035
    moves[np.random.default_rng(1_000 + seed).random(count) < 0.002] -= 0.13
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


def extra_columns(close, seed=5):
    """What a strategy may need beyond candles, by column name; the first bars lack it."""
    rng = np.random.default_rng(seed)
    count = len(close)
    p_up = rng.random(count)
    lean = 0.8 * np.sin(np.arange(count) / 15 + rng.normal(0, 0.3, count))
    middle = close * np.exp(rng.normal(0, 2e-4, count))
    half = 1e-4 * rng.uniform(1, 9, count)
    apart = _reverting(rng, count, 0.004)
    columns = {
        "p_up": p_up,
        "p_down": 1.0 - p_up,
        "best_bid": middle * (1 - half),
        "best_ask": middle * (1 + half),
        "bid_size": np.exp(rng.normal(1, 0.3, count)) * (1 + lean),
        "ask_size": np.exp(rng.normal(1, 0.3, count)) * (1 - lean),
        "book_age_seconds": rng.exponential(0.5, count),
        "other_close": 7 * (close * np.exp(_reverting(rng, count, 0.0006))) ** 0.8,
        "other_venue_close": close * np.exp(apart),
        "gas_gwei": np.exp(rng.normal(2.2, 0.4, count)),
        "listing_age_bars": np.arange(count) % 180.0,
        "chain_fee_quote": np.exp(rng.normal(-4.0, 1.0, count)),
        "implied_close": close * np.exp(_reverting(rng, count, 0.003)),
        "pool_liquidity_quote": 5e4 * np.exp(_reverting(rng, count, 0.1)),
        "pool_buys": rng.poisson(20 * np.exp(_reverting(rng, count, 0.2))).astype(np.float64),
        "pool_sells": rng.poisson(20 * np.exp(_reverting(rng, count, 0.2))).astype(np.float64),
        "top_holders_frac": np.clip(0.3 + _reverting(rng, count, 0.05), 0.0, 1.0),
        "tradingview_direction": np.repeat(rng.integers(-1, 2, count // 12 + 1), 12)[:count] * 1.0,
    }
    for values in columns.values():
        values[:50] = np.nan
    columns["other_venue_close"][2_000:2_040] = columns["other_venue_close"][2_000:2_001]
    return columns


def _reverting(rng, count, size):
    """A deviation that fades by a tenth a bar."""
    found = np.zeros(count)
    for i in range(1, count):
        found[i] = 0.9 * found[i - 1] + size * rng.normal()
    return found


def by_hand(name, columns, **parameters):
    """Sides and scores of a strategy on columns written out; a number stands for every bar."""
    strategy = get_strategy(name, **parameters)
    wanted = {*strategy.features(), *strategy.prices, *needed_columns(strategy.needs)}
    assert wanted <= set(columns)
    length = max(np.size(values) for values in columns.values())
    full = {key: np.full(length, values, np.float64) for key, values in columns.items()}
    signals = strategy.signals(full)
    return signals.direction.tolist(), [round(value, 6) for value in signals.score.tolist()]
