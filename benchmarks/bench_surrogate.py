"""A random forest, TPE and chance with the same number of backtests: what each finds, what it is worth.

Each market is cut at 70 % of its time: a method searches the older part, its best setting is traded on
the newer one. Rows are medians over markets, strategies and seeds of the objective (Sharpe), and
how often the forest's best is at least the other's on the same market, strategy and seed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rows import row

METHODS = ("forest", "tpe", "random")
STRATEGIES = ("sma_cross", "momentum_exploiter", "mean_revert")
TRIALS, SEEDS, SIMULATED = 64, 3, 3
SEARCHED_FRAC = 0.7
REAL = ("BTC_USDT-1h.parquet", "ETH_USDT-1h.parquet", "SOL_USDT-1h.parquet")
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def run() -> list[dict[str, Any]]:
    """Rows of name, value, unit; without targets: it is a comparison."""
    rows = []
    for kind, markets in (("simulated", _simulated()), ("real", _real())):
        if not markets:
            continue
        found = {method: np.array(list(_pairs(markets, method))) for method in METHODS}
        runs = len(found["forest"])
        for place, stretch in enumerate(("searched", "unseen")):
            rows += [
                row(
                    f"search: best of {TRIALS} by {method}, {kind}, {stretch}, median of {runs}",
                    float(np.median(found[method][:, place])),
                    "Sharpe",
                )
                for method in METHODS
            ]
            rows += [
                row(
                    f"search: forest at least as good as {other}, {kind}, {stretch}",
                    100.0 * float(np.mean(found["forest"][:, place] >= found[other][:, place])),
                    "% of runs",
                )
                for other in METHODS[1:]
            ]
    return rows


def _pairs(markets: list[Any], method: str) -> Iterator[tuple[float, float]]:
    """The best setting's Sharpe where it was searched and where it was not; 0 without trades."""
    from crypto_bot.search import search
    from crypto_bot.search.study import plan_on, values_of

    for bars in markets:
        span_ns = int(bars.close_time[-1] - bars.open_time[0])
        cut_ns = int(bars.open_time[0]) + int(span_ns * SEARCHED_FRAC)
        for strategy in STRATEGIES:
            for seed in range(SEEDS):
                found = search(
                    bars.closed_by(cut_ns), strategy, method=method, trials=TRIALS, seed=seed
                )
                if found.leaderboard(1).is_empty():
                    yield 0.0, 0.0
                    continue
                setting = found.best_setting()
                unseen = values_of(plan_on(found.plan, [bars], cut_ns), [setting])
                yield found.best()["value"], unseen["sharpe"][0]


def _simulated() -> list[Any]:
    from crypto_bot.market import SimulationOptions, simulate_market

    made = []
    for seed in range(SIMULATED):
        options = SimulationOptions(
            seed=seed, symbols=1, bars=6_000, timeframe="1h", edge_strength=0.3
        )
        made += simulate_market(options)
    return made


def _real() -> list[Any]:
    """The newest 6,000 hours of a few pairs, where the shared candles are present."""
    from crypto_bot.market import read_candles

    folder = Path(os.environ.get("CRYPTO_BOT_CANDLES", DATA))
    paths = [path for name in REAL for path in (folder / "binance").glob(name)]
    return [read_candles(path)[0][-6_000:] for path in paths]
