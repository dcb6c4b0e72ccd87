"""Trading: one bar through features, model and decision for 20 pairs; a whole paper session."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rows import claim, row
from crypto_bot.core import Bars
from crypto_bot.features import S0_FEATURES, compute_features
from crypto_bot.journal import Journal
from crypto_bot.journal.database import Durability
from crypto_bot.predictors.lightgbm_text import read_lightgbm
from crypto_bot.predictors.predictor import TreePredictor
from crypto_bot.strategies import get_strategy
from crypto_bot.trading import (
    DecisionMaker,
    ModelDecisions,
    PaperOptions,
    PaperSession,
    RiskLimits,
    StrategyDecisions,
    TradedSymbol,
    expected_trades,
)

PAIRS, STRETCH, HISTORY, LIVE_BARS = 20, 3_900, 1_000, 400
FIVE_MINUTES_NS = 300_000_000_000
CLASSES = (-1, 0, 1)
# Limits stay on and are asked, but must not thin out the orders that are timed.
LIMITS = RiskLimits(
    max_daily_loss_frac=1, max_drawdown_frac=1, max_exposure_frac=100, max_open_positions=1000
)


def random_bars(symbol: str, length: int, seed: int) -> Bars:
    """A seeded random walk."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.002, length)))
    opened = np.concatenate([[100.0], close[:-1]])
    high = np.maximum(opened, close) * (1 + 0.001 * rng.random(length))
    low = np.minimum(opened, close) * (1 - 0.001 * rng.random(length))
    times = np.arange(length) * FIVE_MINUTES_NS
    return Bars(symbol, "5m", times, opened, high, low, close, 1 + rng.random(length))


def trained_model() -> TreePredictor:
    """LightGBM of the trainer's default size (3 x 400 trees, 63 leaves) on meaningless labels."""
    import lightgbm

    values = compute_features(random_bars("BTC/USDT", 6_000, 99)).values[500:]
    labels = np.random.default_rng(0).integers(0, 3, len(values))
    options = {"objective": "multiclass", "num_class": 3, "num_leaves": 63, "verbosity": -1}
    names = list(S0_FEATURES)
    data = lightgbm.Dataset(values, labels, feature_name=names)
    booster = lightgbm.train({**options, "num_threads": 1, "seed": 1}, data, 400)
    ensemble, feature_names = read_lightgbm(booster.model_to_string().encode())
    return TreePredictor(ensemble, feature_names, CLASSES)


def symbols(maker: DecisionMaker, stretch: int) -> list[TradedSymbol]:
    """Twenty pairs with history before the stretch."""
    markets = [random_bars(f"P{k}/USDT", HISTORY + stretch, k) for k in range(PAIRS)]
    return [TradedSymbol(bars[HISTORY:], maker, bars[:HISTORY]) for bars in markets]


def live_bar_ms(maker: DecisionMaker) -> np.ndarray:
    """float64 (bars,): ms from 20 closed bars to 20 decisions, account and limits included."""
    session = PaperSession(
        symbols(maker, LIVE_BARS), options=PaperOptions(limits=LIMITS), run_id="bench"
    )
    took = np.empty(LIVE_BARS)
    for k, (time_ns, lanes) in enumerate(session._closes):
        start = time.perf_counter()
        session._close_of_bars(time_ns, lanes)
        took[k] = time.perf_counter() - start
    return 1000 * took


def session_seconds(maker: DecisionMaker, durability: Durability) -> tuple[float, float, int, bool]:
    """Wall and processor seconds of a journaled session, its orders, and whether it equals the backtest."""
    traded = symbols(maker, STRETCH)
    with (
        tempfile.TemporaryDirectory() as folder,
        Journal(Path(folder) / "journal.sqlite", durability=durability) as journal,
    ):
        run_id = journal.start_run("bench", {})
        wall, cpu = time.perf_counter(), time.process_time()
        options = PaperOptions(limits=LIMITS)
        session = PaperSession(traded, options=options, journal=journal, run_id=run_id)
        result = session.run()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    expected = expected_trades(traded)
    equal = all(
        result.trades[name].tobytes() == trades.tobytes() for name, trades in expected.items()
    )
    return wall, cpu, len(result.orders), equal


def run() -> list[dict[str, Any]]:
    """Rows of the trading figures."""
    model = ModelDecisions(
        trained_model(), threshold=0.9
    )  # a noisy model at 0.5 reverses every other bar
    strategy = StrategyDecisions(get_strategy("sma_cross"))
    live_bar_ms(model)  # compiles and warms
    took = live_bar_ms(model)
    p50, p99 = np.quantile(took, [0.5, 0.99])
    rows = [
        row("trading: live bar, 20 pairs: features + model + decision, p50", p50, "ms", at_most=20),
        row("trading: live bar, 20 pairs: features + model + decision, p99", p99, "ms", at_most=20),
    ]
    for label, maker, durability in (
        ("model", model, Durability.PROCESS_DEATH),
        ("sma_cross", strategy, Durability.PROCESS_DEATH),
        ("sma_cross, synced to disk", strategy, Durability.POWER_LOSS),
    ):
        wall, cpu, orders, equal = session_seconds(maker, durability)
        name = f"trading: paper session {PAIRS} x {STRETCH} bars, {label}, {orders} orders"
        is_target = durability is Durability.PROCESS_DEATH
        rows += [
            row(f"{name}: wall", wall, "s", at_most=10 if is_target else None),
            row(f"{name}: processor", cpu, "s"),
            claim(f"{name}: trades equal the backtest's", equal),
        ]
    return rows
