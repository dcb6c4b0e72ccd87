"""Engine: sweeps, given signals, one backtest, every candle strategy; and what starting costs.

Each job is timed three ways: its first run in this process, its warm runs by the wall clock, and by
processor time, which other work on the machine disturbs least. A figure counts where a sample of its
rows equals the bar-by-bar step.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np

from benchmarks.rows import row
from crypto_bot.core import Bars, Signals
from crypto_bot.core.timeframes import timeframe_ns
from crypto_bot.engine import (
    METRICS,
    CostOptions,
    ExitOptions,
    Metrics,
    SizingOptions,
    conditions_of,
    exits_for,
    matching_rules,
    round_trips,
    simulate,
    sweep,
    sweep_signals,
)
from crypto_bot.engine.metrics import metrics_of, tally
from crypto_bot.engine.walk import walk
from crypto_bot.strategies import get_strategy, list_strategies, parameter_grid

BARS = 105_120
CORES = 2
GRID = [{"fast": fast, "slow": slow} for fast in range(4, 36) for slow in range(40, 200, 5)]
STOPS = ExitOptions(stop_loss_frac=0.02, take_profit_frac=0.04)
ALL_EXITS = STOPS.replace(trailing_stop_frac=0.03)
CHECKED = 16
RUNS = 5
FIRST_CALL = """
import time
start = time.perf_counter()
from benchmarks.bench_engine import GRID, random_bars, sweep
bars = random_bars()
ready = time.perf_counter()
sweep([bars], ["sma_cross"], grids={"sma_cross": GRID[:2]})
first = time.perf_counter()
sweep([bars], ["sma_cross"], grids={"sma_cross": GRID[:2]})
warm = time.perf_counter() - first
print(ready - start, first - ready - warm)
"""


class Timing(NamedTuple):
    """Seconds of the same work."""

    first: float  # wall clock, in this process
    wall: float  # median of the warm runs
    processor: float  # median of the warm runs, all threads together


def random_bars(count: int = BARS, timeframe: str = "5m", move: float = 0.002) -> Bars:
    """A seeded random walk without gaps: a year of 5m candles."""
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, move, count)))
    opened = np.concatenate([[100.0], close[:-1]])
    high = np.maximum(opened, close) * (1 + rng.exponential(move / 2, count))
    low = np.minimum(opened, close) / (1 + rng.exponential(move / 2, count))
    times = np.arange(count) * timeframe_ns(timeframe)
    return Bars("BTC/USDT", timeframe, times, opened, high, low, close, np.ones(count))


def timed(work: Callable[[], Any], runs: int = RUNS) -> Timing:
    """Run the work once, then so many times more."""
    taken = [_clocks(work) for _ in range(runs + 1)]
    walls, processors = zip(*taken[1:], strict=True)
    return Timing(taken[0][0], statistics.median(walls), statistics.median(processors))


def _clocks(work: Callable[[], Any]) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def plain_loop(bars: Bars, signals: Signals, exits: ExitOptions) -> Metrics:
    """The plain per-bar compiled loop with full metrics: what every figure is compared with."""
    costs, sizing = CostOptions(), SizingOptions()
    rules = matching_rules(costs, exits, sizing)
    conditions = conditions_of(bars, costs, exits, sizing)
    walked = walk(bars, signals, conditions, rules, sizing.initial_cash)
    trades = round_trips(walked.fills, bars.open_time, bars.close_time, float(bars.close[-1]))
    cash = sizing.initial_cash
    return metrics_of(
        tally(trades, walked.fills, walked.equity, walked.position, bars, cash), bars, cash
    )


def largest_difference(fast: Mapping[str, Any], plain: Metrics) -> float:
    """The largest relative difference of any metric; infinite where only one is defined."""
    slow, worst = asdict(plain), 0.0
    for name in METRICS:
        if slow[name] is None or fast[name] is None:
            worst = worst if slow[name] is fast[name] else float("inf")
        else:
            worst = max(worst, abs(fast[name] - slow[name]) / max(abs(slow[name]), 1.0))
    return worst


class Plain(NamedTuple):
    """The plain loop on a sample of settings: seconds of one, and how far any metric is off."""

    seconds: float
    difference: float


def plain_crosses(bars: Bars, exits: ExitOptions) -> Plain:
    """The plain loop beside the sweep on some of the pairs."""
    grid = GRID[:: len(GRID) // CHECKED]
    table = sweep([bars], ["sma_cross"], grids={"sma_cross": grid}, exits=[exits]).table
    taken, worst = [], 0.0
    for fast, values in zip(table.iter_rows(named=True), grid, strict=True):
        strategy = get_strategy("sma_cross", **values)
        signals, given = strategy.signals_on(bars), exits_for(strategy, exits)
        worst = max(worst, largest_difference(fast, plain_loop(bars, signals, given)))
        taken.append(_clocks(lambda s=signals, e=given: plain_loop(bars, s, e))[1])
    return Plain(statistics.median(taken), worst)


def cross_rows(bars: Bars, exits: ExitOptions, kind: str, at_least: float) -> list[dict[str, Any]]:
    """A sweep of 1,024 pairs, signals, features and table included."""
    work = BARS * len(GRID) / 1e6
    name, unit = f"engine: 1,024 SMA pairs x 105,120 bars{kind}", "M bar-combinations/s"

    def job() -> Any:
        return sweep([bars], ["sma_cross"], grids={"sma_cross": GRID}, exits=[exits], workers=CORES)

    plain, taken = plain_crosses(bars, exits), timed(job)
    equal = plain.difference <= 1e-9
    per_core = work / taken.processor
    ratio = per_core / (BARS / 1e6 / plain.seconds)
    return [
        row(f"{name}: equal results first", plain.difference, "relative", at_most=1e-9),
        row(f"{name}, {CORES} threads", work / taken.wall, unit, at_least=at_least, needs=equal),
        row(f"{name}, {CORES} x per second of processor time", CORES * per_core, unit),
        row(f"{name}, first run in a process with cached kernels", taken.first, "s"),
        row(f"{name}, x the plain per-bar loop, a core", ratio, "x", at_least=4, needs=equal),
    ]


def switching(bars: int, fills: int, seed: int) -> np.ndarray:
    """A direction that goes long and flat in turns at random bars, int8 (bars,)."""
    rng = np.random.default_rng(seed)
    changes = np.zeros(bars, np.int8)
    changes[np.sort(rng.choice(bars - 2, fills, replace=False))] = 1
    return (np.cumsum(changes) % 2).astype(np.int8)


def given_signal_rows() -> list[dict[str, Any]]:
    """A million bars x 8 columns of given directions with 1,388 fills each, one thread."""
    bars = random_bars(1_000_000, "1m", 0.0005)
    directions = np.stack([switching(len(bars), 1_388, seed) for seed in range(8)])
    taken = timed(lambda: sweep_signals(bars, directions, workers=1), 9)
    table = sweep_signals(bars, directions, workers=1)
    worst = max(
        largest_difference(fast, plain_loop(bars, scored(direction), ExitOptions()))
        for fast, direction in zip(table.iter_rows(named=True), directions, strict=True)
    )
    work, name = directions.size / 1e6, "engine: 1 M bars x 8 columns of given signals"
    return [
        row(f"{name}: equal results first", worst, "relative", at_most=1e-9),
        row(
            f"{name}, full metrics, a core",
            work / taken.processor,
            "M bars/s",
            at_least=2_000,
            needs=worst <= 1e-9,
        ),
        row(f"{name}, first run in a process with cached kernels", taken.first, "s"),
    ]


def scored(direction: np.ndarray) -> Signals:
    """Score 1 wherever there is a direction."""
    return Signals(direction, np.abs(direction).astype(np.float64))


def single_rows(bars: Bars) -> list[dict[str, Any]]:
    """One backtest with signals given, equity and trades kept."""
    signals = scored(switching(len(bars), 200, 0))
    taken = timed(lambda: simulate(bars, signals), 51)
    plain = timed(lambda: plain_loop(bars, signals, ExitOptions()), 21)
    found = asdict(simulate(bars, signals).metrics)
    worst = largest_difference(found, plain_loop(bars, signals, ExitOptions()))
    name, unit = "engine: one backtest of 105,120 bars, signals given", "M bars/s"
    speed = len(bars) / 1e6 / taken.processor
    return [
        row(f"{name}: equal results first", worst, "relative", at_most=1e-9),
        row(f"{name}, full metrics", speed, unit, at_least=100, needs=worst <= 1e-9),
        row(f"{name}, the plain per-bar loop", len(bars) / 1e6 / plain.processor, unit),
    ]


def strategy_rows() -> list[dict[str, Any]]:
    """20 pairs x 90 days of 5m candles x every strategy that needs candles only x 64 settings."""
    bars = random_bars(25_920)
    pairs = [replace(bars, symbol=f"P{place}/USDT") for place in range(20)]
    names = [name for name in list_strategies() if not get_strategy(name).needs]
    grids = {name: parameter_grid(name, 64) for name in names}
    sweep(pairs[:1], names, grids=grids, workers=1)
    wall, processor = _clocks(lambda: sweep(pairs, names, grids=grids, workers=CORES))
    label = f"engine: 20 pairs x 90 days x 5m x {len(names)} candle strategies x 64 settings"
    return [
        row(f"{label}, {CORES} threads", wall, "s", at_most=20),
        row(f"{label}, processor time / {CORES}", processor / CORES, "s"),
    ]


def cold_rows() -> Iterable[dict[str, Any]]:
    """A first small sweep in a process of its own, without and with compiled kernels on disk."""
    with tempfile.TemporaryDirectory() as folder:
        (_, compiling), (imports, reading) = first_call(folder), first_call(folder)
    yield row("engine: first sweep ever, beyond a warm one (compile)", compiling, "s", at_most=30)
    yield row("engine: first sweep of a later process, beyond a warm one", reading, "s", at_most=1)
    yield row("engine: imports of that process", imports, "s")


def first_call(folder: str) -> tuple[float, float]:
    """Seconds of imports, and of a first sweep beyond a warm one, in a fresh process."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
    done = subprocess.run(
        [sys.executable, "-c", FIRST_CALL],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    imports, first = map(float, done.stdout.split())
    return imports, first


def run() -> list[dict[str, Any]]:
    """Measure, largest first."""
    bars = random_bars()
    return [
        *cross_rows(bars, ExitOptions(), "", 1_500),
        *cross_rows(bars, ALL_EXITS, " with stop, target and trailing stop", 600),
        *given_signal_rows(),
        *single_rows(bars),
        *strategy_rows(),
        *cold_rows(),
    ]
