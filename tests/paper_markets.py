"""Markets with outages and crashes, and small decision makers, for paper-trading tests."""

from __future__ import annotations

import numpy as np

from crypto_bot.core import Bars, Signals
from crypto_bot.core.timeframes import DAY_NS, timeframe_ns
from crypto_bot.engine import SignalExit
from crypto_bot.features import S0_FEATURES
from crypto_bot.trading import RiskLimits, TradedSymbol

NO_LIMITS = RiskLimits(
    max_daily_loss_frac=1,
    max_drawdown_frac=1,
    max_exposure_frac=1e9,
    max_open_positions=10_000,
    kill_switch_file="/nonexistent/switch",
)
"""Limits that never bite, to compare with a backtest, which has none."""


def market(symbol, count, seed, *, timeframe="5m", outages=0.01):
    """Regimes of drift and volatility, opens that gap, crashes, volume spikes, missing bars."""
    rng = np.random.default_rng(seed)
    regime = np.repeat(rng.integers(0, 4, count // 120 + 1), 120)[:count]
    drift = np.array([0.0, 0.0008, -0.0008, 0.0])[regime]
    sigma = np.array([0.0008, 0.003, 0.003, 0.008])[regime]
    moves = drift + sigma * rng.standard_t(4, count) / np.sqrt(2)
    moves[rng.random(count) < 0.006] -= 0.035
    close = 100 * np.exp(np.cumsum(moves))
    start = np.concatenate(([100.0], close[:-1])) * np.exp(0.3 * sigma * rng.normal(size=count))
    wick = sigma * np.abs(rng.normal(size=(2, count)))
    high = np.maximum(start, close) * (1 + wick[0])
    low = np.minimum(start, close) * (1 - wick[1])
    volume = np.exp(rng.normal(3, 0.4, count)) * (1 + 300 * np.abs(moves))
    steps = 1 + (rng.random(count) < outages) * rng.integers(1, 40, count)
    open_time = 20_000 * DAY_NS + timeframe_ns(timeframe) * np.cumsum(steps)
    return Bars(symbol, timeframe, open_time, start, high, low, close, volume, is_simulated=True)


def priced(symbol, opens, *, closes=None, timeframe="1h", first_ns=20_000 * DAY_NS):
    """Bars with the given opens and closes (default: next open) and no wicks."""
    opens = np.asarray(opens, np.float64)
    closes = np.append(opens[1:], opens[-1]) if closes is None else np.asarray(closes, np.float64)
    open_time = first_ns + timeframe_ns(timeframe) * np.arange(len(opens))
    high, low = np.maximum(opens, closes), np.minimum(opens, closes)
    return Bars(symbol, timeframe, open_time, opens, high, low, closes, np.ones(len(opens)))


def split(bars, history):
    """History and stretch of one market."""
    return bars[:history], bars[history:]


def traded(symbol, count, seed, maker, *, history=400, **more):
    before, stretch = split(market(symbol, history + count, seed, **more), history)
    return TradedSymbol(stretch, maker, before)


class ModelLike:
    """A predictor that leans on RSI and a recent return, with NaN rows like a real one."""

    feature_names = S0_FEATURES

    def __init__(self, classes=(-1, 0, 1)):
        self.classes = classes

    def predict_proba(self, features):
        rsi = features[:, self.feature_names.index("rsi_14")] / 100
        move = features[:, self.feature_names.index("return_5d")]
        up = 1 / (1 + np.exp(-(4 * (rsi - 0.5) - 40 * move)))
        columns = (
            [1 - up, up] if len(self.classes) == 2 else [0.9 * (1 - up), 0 * up + 0.1, 0.9 * up]
        )
        found = np.stack(columns, axis=1)
        found[~np.isfinite(features).all(axis=1)] = np.nan
        return found


class Scripted:
    """A decision maker that reads no feature: direction by bar number of its stretch."""

    feature_names = ()
    trained_until_ns = None

    def __init__(self, directions, signal_exit="flat", trained_until_ns=None):
        self.directions = list(directions)
        self.signal_exit = SignalExit(signal_exit)
        self.trained_until_ns = trained_until_ns
        self.seen = 0

    def started(self, feature_names):
        return type(self)(self.directions, self.signal_exit, self.trained_until_ns)

    def observe(self, values, bars):
        pass

    def decide(self, values, bar):
        self.seen += 1
        direction = self.directions[self.seen - 1]
        return direction, float(abs(direction))

    def signals(self, columns):
        direction = np.array(self.directions, np.int8)
        return Signals(direction, np.abs(direction).astype(np.float64))
