"""Datasets with a known truth, a trainer that counts, and daily returns, for validation tests."""

from __future__ import annotations

import numpy as np

from crypto_bot.core import Bars
from crypto_bot.core.timeframes import MINUTE_NS
from crypto_bot.dataset import Dataset
from crypto_bot.training import ForestOptions, ForestTrainer

START_NS = 1_704_067_200_000_000_000
BAR_NS = 5 * MINUTE_NS
TREES = ForestTrainer(ForestOptions(n_estimators=15, max_depth=6))


def made_dataset(features, labels, *, horizon=5, classes=(0, 1)):
    """A one-symbol 5m dataset around given features (rows, features) and labels (rows,)."""
    rows = len(labels)
    decided = START_NS + BAR_NS * np.arange(1, rows + 1)
    return Dataset(
        features=np.ascontiguousarray(features, dtype=np.float64),
        feature_names=tuple(f"f{k}" for k in range(features.shape[1])),
        labels=np.asarray(labels, dtype=np.int8),
        weights=np.ones(rows),
        classes=classes,
        decided_at_ns=decided,
        label_end_ns=decided + horizon * BAR_NS,
        bar_index=np.arange(rows),
        symbol_index=np.zeros(rows, np.int64),
        symbols=("BTC/USDT",),
        timeframe="5m",
        label_definition={"name": "made"},
        fingerprint="0" * 64,
        dropped={},
        is_simulated=True,
    )


def noise_dataset(rows=1500, seed=0, skill=0.0):
    """Labels that follow the first feature in a share `skill` of the rows, else a coin."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(rows, 4))
    labels = random.integers(0, 2, rows)
    is_known = random.random(rows) < skill
    labels[is_known] = features[is_known, 0] > 0
    return made_dataset(features, labels)


def walk_bars(count=600, seed=0, *, drift=0.0, symbol="BTC/USDT", volatility=0.004):
    """5m candles of a random walk."""
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(drift + volatility * random.normal(size=count)))
    open_ = np.concatenate(([100.0], close[:-1]))
    high, low = np.maximum(open_, close) * 1.001, np.minimum(open_, close) * 0.999
    volume = random.uniform(1, 2, count)
    times = START_NS + BAR_NS * np.arange(count)
    return Bars(symbol, "5m", times, open_, high, low, close, volume, is_simulated=True)
