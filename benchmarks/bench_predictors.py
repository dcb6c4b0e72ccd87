"""Rows through 300 trees: our compiled walker beside LightGBM's own `Booster.predict`, same run, same threads.

The answers are compared bit for bit first; a wrong one counts as a figure that does not hold.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.rows import claim, row

FEATURES, LEAVES, TREES, ROWS = 60, 31, 300, 2000
MANY_ROWS = 1_000_000
TARGET_ONE_ROW_US = 10.0


def run() -> list[dict[str, Any]]:
    """Rows of name, value, unit, target, holds."""
    booster, values = _booster()
    from crypto_bot.predictors import TreePredictor, read_lightgbm, seal_text
    from crypto_bot.predictors.predictor import available_cores

    start = time.perf_counter()
    ensemble, names = read_lightgbm(seal_text(booster.model_to_string()))
    predictor = TreePredictor(ensemble, names, (0, 1))
    load_ms = (time.perf_counter() - start) * 1e3
    start = time.perf_counter()
    predictor.predict_one(values[0])
    first_ms = (time.perf_counter() - start) * 1e3
    is_equal = bool(np.array_equal(predictor.predict_proba(values)[:, 1], booster.predict(values)))
    walker, slow = _microseconds(predictor.predict_one, values)
    library, _ = _microseconds(lambda row: booster.predict(row[None], num_threads=1), values)
    batch = _batch_us(predictor.predict_proba, values)
    library_batch = _batch_us(lambda rows: booster.predict(rows, num_threads=1), values)
    cores = available_cores()
    many = np.tile(values, (MANY_ROWS // ROWS, 1))
    all_cores = _batch_us(predictor.predict_proba, many, repeats=1)
    library_cores = _batch_us(
        lambda rows: booster.predict(rows, num_threads=cores), many, repeats=1
    )
    model = f"{TREES} trees x {LEAVES} leaves"
    return [
        row(
            f"model: one row, {model}, from Python, median",
            walker,
            "us",
            at_most=TARGET_ONE_ROW_US,
            needs=is_equal,
        ),
        row("model: one row, 99th percentile", slow, "us"),
        row("model: one row by LightGBM Booster.predict, median", library, "us"),
        row(
            "model: a row of many, at most LightGBM's",
            batch,
            "us",
            at_most=library_batch,
            needs=is_equal,
        ),
        row("model: a row of many by LightGBM, 1 thread", library_batch, "us"),
        row(
            f"model: a row of {MANY_ROWS:,} on {cores} threads, at most LightGBM's",
            all_cores,
            "us",
            at_most=library_cores,
            needs=is_equal,
        ),
        row(f"model: a row of {MANY_ROWS:,} by LightGBM, {cores} threads", library_cores, "us"),
        claim("model: answers equal LightGBM's bit for bit", is_equal),
        row("model: text to predictor", load_ms, "ms"),
        row("model: first prediction of the process (compile or cached kernel)", first_ms, "ms"),
    ]


def _booster() -> tuple[Any, np.ndarray]:
    import lightgbm

    rng = np.random.default_rng(0)
    values = rng.normal(size=(20_000, FEATURES))
    labels = values[:, 0] + rng.normal(size=len(values)) > 0
    settings = {"objective": "binary", "num_leaves": LEAVES, "max_bin": 63, "verbosity": -1}
    rows = lightgbm.Dataset(values, label=labels)
    return lightgbm.train(settings, rows, num_boost_round=TREES), values[:ROWS].copy()


def _microseconds(predict: Callable[[np.ndarray], Any], values: np.ndarray) -> tuple[float, float]:
    """Median and 99th percentile over a call a row, after a warm-up."""
    for one in values[:50]:
        predict(one)
    times = []
    for one in values:
        start = time.perf_counter_ns()
        predict(one)
        times.append(time.perf_counter_ns() - start)
    return float(np.median(times)) / 1e3, float(np.percentile(times, 99)) / 1e3


def _batch_us(predict: Callable[[np.ndarray], Any], values: np.ndarray, repeats: int = 7) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        predict(values)
        times.append(time.perf_counter() - start)
    return float(np.median(times)) / len(values) * 1e6
