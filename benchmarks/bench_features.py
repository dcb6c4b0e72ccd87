"""Features: a million bars of the 23, beside TA-Lib with equal results; one live bar; compile time."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.rows import row
from crypto_bot.core import Bar, Bars
from crypto_bot.features import S0_FEATURES, FeatureStream, compute_features

BARS = 1_000_000
MINUTE_NS = 60_000_000_000
FIRST_CALL = """
import time
import numpy as np
from crypto_bot.core import Bars
start = time.perf_counter()
from crypto_bot.features import compute_features
loaded = time.perf_counter()
ones = np.ones(50)
compute_features(Bars("BTC/USDT", "1m", np.arange(50) * 60_000_000_000, ones, ones, ones, ones, ones))
print(loaded - start, time.perf_counter() - loaded)
"""


def random_bars(length: int) -> Bars:
    """A seeded random walk."""
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.001, length)))
    opened = np.concatenate([[100.0], close[:-1]])
    high = np.maximum(opened, close) * (1 + 0.001 * rng.random(length))
    low = np.minimum(opened, close) * (1 - 0.001 * rng.random(length))
    times = np.arange(length) * MINUTE_NS
    return Bars("BTC/USDT", "1m", times, opened, high, low, close, 1 + rng.random(length))


def talib_features(bars: Bars) -> np.ndarray:
    """The same 23 columns by TA-Lib, each indicator computed once, and numpy for the formulas."""
    import talib

    close, volume = bars.close, bars.volume
    values = np.empty((len(S0_FEATURES), len(bars)))
    sma_10, sma_30 = talib.SMA(close, 10), talib.SMA(close, 30)
    ema_10, ema_30 = talib.EMA(close, 10), talib.EMA(close, 30)
    upper, _, lower = talib.BBANDS(close, 20, 2.0, 2.0)
    volume_sma, returns = talib.SMA(volume, 10), talib.ROCP(close, 1)
    columns = (
        *(sma_10, sma_30, ema_10, ema_30, sma_10 / sma_30, ema_10 / ema_30),
        talib.RSI(close, 14),
        *talib.STOCHF(bars.high, bars.low, close, 14, 3),
        *(upper, lower, (upper - lower) / close),
        talib.ATR(bars.high, bars.low, close, 14),
        *(close / sma_10 - 1, close / sma_30 - 1, close / upper - 1, close / lower - 1),
        *(volume_sma, volume / volume_sma, returns, talib.ROCP(close, 5), talib.ROCP(close, 10)),
        talib.STDDEV(returns, 5, np.sqrt(5 / 4)),
    )
    for place, column in zip(values, columns, strict=True):
        place[:] = column
    return values.T


def seconds(
    work: Callable[[], Any], times: int, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Sorted times of `work`: on the wall, or of this process by `time.process_time`."""
    taken = []
    for _ in range(times):
        start = clock()
        work()
        taken.append(clock() - start)
    return sorted(taken)


def first_call(folder: str) -> tuple[float, float]:
    """Seconds of importing the stage and of the first call, in a fresh process."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
    done = subprocess.run(
        [sys.executable, "-c", FIRST_CALL],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    imported, called = map(float, done.stdout.split())
    return imported, called


def largest_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Of all columns, relative to a value's size or its column's usual size."""
    worst = 0.0
    for one, other in zip(ours.T, theirs.T, strict=True):
        known = ~np.isnan(one) & ~np.isnan(other)
        size = np.maximum(np.abs(other[known]), np.sqrt(np.mean(other[known] ** 2)))
        worst = max(worst, float((np.abs(one[known] - other[known]) / size).max()))
    return worst


def one_bar_seconds(bars: Bars) -> list[float]:
    """Sorted times of single updates of a stream that has seen history."""
    stream = FeatureStream.from_history(bars[:5000])
    following: list[Bar] = list(bars[5000:15_000])
    taken = []
    for bar in following:
        start = time.perf_counter()
        stream.update(bar)
        taken.append(time.perf_counter() - start)
    return sorted(taken)


def run() -> list[dict[str, Any]]:
    """Measure, largest first."""
    bars = random_bars(BARS)
    compute_features(bars[:5000])
    ours, theirs = (
        seconds(lambda: compute_features(bars), 15),
        seconds(lambda: talib_features(bars), 5),
    )
    own = seconds(lambda: compute_features(bars), 7, time.process_time)
    off = largest_difference(compute_features(bars).values, talib_features(bars))
    live = one_bar_seconds(bars)
    with tempfile.TemporaryDirectory() as folder:
        _, compiled = first_call(folder)
        imported, cached = first_call(folder)
    return [
        row("features: 23 x 1 M bars, warm median", 1e3 * ours[len(ours) // 2], "ms", at_most=150),
        row("features: 23 x 1 M bars, processor time, median", 1e3 * own[len(own) // 2], "ms"),
        row("features: 23 x 1 M bars, warm best", 1e3 * ours[0], "ms"),
        row("features: 23 x 1 M bars, warm worst of 15", 1e3 * ours[-1], "ms"),
        row("features: the same 23 by TA-Lib, median", 1e3 * theirs[len(theirs) // 2], "ms"),
        row("features: largest relative difference from TA-Lib", off, "", at_most=1e-9),
        row("features: one live bar x 23, median", 1e6 * live[len(live) // 2], "us", at_most=100),
        row("features: one live bar x 23, p99", 1e6 * live[len(live) * 99 // 100], "us"),
        row("features: first call, nothing cached (compile)", compiled, "s", at_most=12),
        row("features: first call, kernels cached", cached, "s", at_most=1),
        row("features: import", imported, "s"),
    ]
