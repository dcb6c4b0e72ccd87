"""Engine: a sweep of 1,024 SMA pairs over a year of 5m bars beside the plain per-bar loop."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.rows import row
from crypto_bot.core import Bars
from crypto_bot.core.timeframes import MINUTE_NS
from crypto_bot.engine import METRICS, ExitOptions, exits_for, simulate, sweep
from crypto_bot.strategies import get_strategy

BARS = 105_120
GRID = [{"fast": fast, "slow": slow} for fast in range(4, 36) for slow in range(40, 200, 5)]
STOPS = ExitOptions(stop_loss_frac=0.02, take_profit_frac=0.04)
CHECKED = 16
RUNS = 5
FIRST_CALL = """
import time
from benchmarks.bench_engine import GRID, random_bars, sweep
bars = random_bars()
start = time.perf_counter()
sweep([bars], ["sma_cross"], grids={"sma_cross": GRID[:2]})
print(time.perf_counter() - start)
"""


def random_bars() -> Bars:
    """A seeded random walk without gaps: a year of 5m candles."""
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.002, BARS)))
    opened = np.concatenate([[100.0], close[:-1]])
    high = np.maximum(opened, close) * (1 + rng.exponential(0.001, BARS))
    low = np.minimum(opened, close) / (1 + rng.exponential(0.001, BARS))
    times = np.arange(BARS) * 5 * MINUTE_NS
    return Bars("BTC/USDT", "5m", times, opened, high, low, close, np.ones(BARS))


def sweep_seconds(
    bars: Bars,
    exits: ExitOptions,
    workers: int,
    runs: int,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Sorted times of the whole sweep: features, signals, backtests, table."""
    taken = []
    for _ in range(runs):
        start = clock()
        sweep([bars], ["sma_cross"], grids={"sma_cross": GRID}, exits=[exits], workers=workers)
        taken.append(clock() - start)
    return sorted(taken)


def rival(bars: Bars, exits: ExitOptions) -> tuple[float, float]:
    """Seconds of one setting by `simulate`, and the largest relative difference of any metric."""
    grid = GRID[:: len(GRID) // CHECKED]
    table = sweep([bars], ["sma_cross"], grids={"sma_cross": grid}, exits=[exits]).table
    taken, worst = 0.0, 0.0
    for fast, values in zip(table.iter_rows(named=True), grid, strict=True):
        strategy = get_strategy("sma_cross", **values)
        signals = strategy.signals_on(bars)
        start = time.perf_counter()
        slow = asdict(simulate(bars, signals, exits=exits_for(strategy, exits)).metrics)
        taken += time.perf_counter() - start
        for name in METRICS:
            if slow[name] is None or fast[name] is None:
                worst = worst if slow[name] is fast[name] else float("inf")
            else:
                worst = max(worst, abs(fast[name] - slow[name]) / max(abs(slow[name]), 1.0))
    return taken / len(grid), worst


def first_call(folder: str) -> float:
    """Seconds of a first small sweep in a fresh process."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
    done = subprocess.run(
        [sys.executable, "-c", FIRST_CALL],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def run() -> list[dict[str, Any]]:
    """Measure, largest first."""
    bars = random_bars()
    work = BARS * len(GRID) / 1e6
    sweep_seconds(bars, ExitOptions(), 2, 1)
    two = sweep_seconds(bars, ExitOptions(), 2, RUNS)
    one = sweep_seconds(bars, ExitOptions(), 1, 2)
    stops = sweep_seconds(bars, STOPS, 2, 2)
    own = sweep_seconds(bars, ExitOptions(), 2, 2, time.process_time)
    plain, off = rival(bars, ExitOptions())
    plain_stops, off_stops = rival(bars, STOPS)
    with tempfile.TemporaryDirectory() as folder:
        compiled, cached = first_call(folder), first_call(folder)
    name = "engine: sweep of 1,024 SMA pairs x 105,120 bars"
    unit = "M bar-combinations/s"
    return [
        row(f"{name}, 2 threads, median", work / two[len(two) // 2], unit, at_least=150),
        row(f"{name}, 2 threads, best", work / two[0], unit),
        row(f"{name}, 2 threads, worst of {RUNS}", work / two[-1], unit),
        row(f"{name}, 1 thread, best", work / one[0], unit),
        row(f"{name}, per second of processor time", work / own[0], unit),
        row(f"{name}, with stop and target, 2 threads, best", work / stops[0], unit),
        row("engine: simulate (the plain per-bar loop), 1 thread", BARS / 1e6 / plain, unit),
        row("engine: simulate with stop and target, 1 thread", BARS / 1e6 / plain_stops, unit),
        row(
            "engine: largest relative difference of the two", max(off, off_stops), "", at_most=1e-9
        ),
        row("engine: first sweep, nothing cached (compile)", compiled, "s"),
        row("engine: first sweep, kernels cached", cached, "s"),
    ]
