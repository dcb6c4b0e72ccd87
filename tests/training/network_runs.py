"""Tiny networks, and datasets of windows made by hand. Import before Keras: it makes JAX compile less."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

import numpy as np

from crypto_bot.dataset import Dataset
from crypto_bot.features import sequence_features
from crypto_bot.training import LSTMOptions

_CACHE = tempfile.mkdtemp(prefix="jax-")
atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", _CACHE)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

LOOK_BACK = 5
MINUTE_NS = 60_000_000_000
SMALL = LSTMOptions(
    look_back=LOOK_BACK,
    units=4,
    epochs=2,
    batch_size=64,
    embargo_bars=LOOK_BACK,
    validation_fraction=0.25,
)

LAWFUL = LSTMOptions(look_back=1, units=2, epochs=2, batch_size=256, learning_rate=0.01)
"""A window of one bar: any dataset will do."""


def windows_dataset(values, labels, *, look_back=LOOK_BACK, weights=None, classes=(0, 1)):
    """Rows of one symbol at 1m from float64 (bars, features): a window for every bar that has one."""
    names = tuple(f"step_{k}" for k in range(values.shape[1]))
    view = np.lib.stride_tricks.sliding_window_view(values, look_back, axis=0)
    rows = len(view)
    ends = np.arange(look_back - 1, look_back - 1 + rows)
    decided = (ends + 1) * MINUTE_NS
    return Dataset(
        features=np.ascontiguousarray(view.reshape(rows, -1)),
        feature_names=sequence_features(names, look_back),
        labels=np.asarray(labels, dtype=np.int8)[ends],
        weights=np.ones(rows) if weights is None else np.asarray(weights, dtype=float)[ends],
        classes=classes,
        decided_at_ns=decided,
        label_end_ns=decided + 2 * MINUTE_NS,
        bar_index=ends,
        symbol_index=np.zeros(rows, dtype=np.int64),
        symbols=("AAA/USDT",),
        timeframe="1m",
        label_definition={"name": "known", "horizon_bars": 2},
        fingerprint="by hand",
        dropped={},
        is_simulated=True,
    )


def noise(bars=351 + LOOK_BACK, seed=0):
    """Two features and a label that is the sign of the first one's newest value."""
    values = np.random.default_rng(seed).normal((3.0, -50.0), (2.0, 10.0), (bars, 2))
    return values, (values[:, 0] > 3.0).astype(np.int8)
