"""What leaks are planted in: a small market, its rows, and a model whose every step is in sight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from crypto_bot.core import Bars
from crypto_bot.core.timeframes import HOUR_NS
from crypto_bot.dataset import Dataset
from crypto_bot.splits import KFoldOptions, Split, WalkForwardOptions, split_dataset

START_NS = 1_704_067_200_000_000_000
HORIZON = 5
FEATURES = 12


def walk_bars(symbol: str = "BTC/USDT", seed: int = 0, count: int = 500) -> Bars:
    """Hourly candles of a random walk."""
    random = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(0.006 * random.standard_t(4, count)))
    open_ = np.concatenate(([100.0], close[:-1]))
    high, low = np.maximum(open_, close) * 1.001, np.minimum(open_, close) * 0.999
    times = START_NS + HOUR_NS * np.arange(count)
    volume = random.uniform(1.0, 2.0, count)
    return Bars(symbol, "1h", times, open_, high, low, close, volume, is_simulated=True)


BARS = walk_bars()
PANEL = (BARS, walk_bars("ETH/USDT", 1), walk_bars("SOL/USDT", 2))


def rows_of(bars: Bars, seed: int = 7) -> Dataset:
    """Rows of noise and one weak truth; the label looks `HORIZON` bars ahead."""
    random = np.random.default_rng(seed)
    count = len(bars) - HORIZON
    ahead = np.log(bars.close[HORIZON:] / bars.close[:-HORIZON])
    features = random.normal(size=(count, FEATURES))
    features[:, 0] += 20.0 * ahead
    return Dataset(
        features=features,
        feature_names=tuple(f"f{k}" for k in range(FEATURES)),
        labels=(ahead > 0.0).astype(np.int8),
        weights=np.ones(count),
        classes=(0, 1),
        decided_at_ns=bars.close_time[:count].copy(),
        label_end_ns=bars.close_time[HORIZON:].copy(),
        bar_index=np.arange(count),
        symbol_index=np.zeros(count, np.int64),
        symbols=(bars.symbol,),
        timeframe=bars.timeframe,
        label_definition={"name": "made"},
        fingerprint="0" * 64,
        dropped={},
        is_simulated=True,
    )


ROWS = rows_of(BARS)
SPLITS = split_dataset(ROWS, WalkForwardOptions(folds=3, embargo_bars=2))
FOLDS = split_dataset(ROWS, KFoldOptions(folds=3, embargo_bars=2))

Score = Callable[[np.ndarray], np.ndarray]


def line(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Ridge weights, the last one the level."""
    table = np.column_stack((features, np.ones(len(features))))
    square = table.T @ table + 5.0 * np.eye(table.shape[1])
    return np.linalg.solve(square, table.T @ (labels - 0.5))


def chance(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Probability of class 1, each row by itself."""
    score = (features * weights[:-1]).sum(axis=1) + weights[-1]
    return 1.0 / (1.0 + np.exp(-4.0 * score))


def columns(positive: np.ndarray) -> np.ndarray:
    """Probabilities of both classes."""
    return np.column_stack((1.0 - positive, positive))


def fitted(dataset: Dataset, split: Split, features: np.ndarray | None = None) -> np.ndarray:
    """Learn the training rows of a table of features, predict the test rows."""
    table = dataset.features if features is None else features
    weights = line(table[split.train], dataset.labels[split.train])
    return columns(chance(table[split.test], weights))


def with_features(dataset: Dataset, features: np.ndarray) -> Dataset:
    """The same rows with other features, named anew."""
    names = tuple(f"f{k}" for k in range(features.shape[1]))
    return replace(dataset, features=np.ascontiguousarray(features), feature_names=names)
