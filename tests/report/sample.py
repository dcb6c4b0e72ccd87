"""A run's contents made from simulated candles: every part present, numbers of real work."""

from __future__ import annotations

from functools import cache

import numpy as np

from crypto_bot.engine import ExitOptions, SignalExit, simulate
from crypto_bot.market import SimulationOptions, simulate_market
from crypto_bot.report import (
    EquityView,
    FactTable,
    GateCheck,
    GateView,
    HeatMap,
    ModelView,
    PredictionsView,
    QualityRow,
    ReportContents,
    StrategyRow,
    TradeRecord,
    TradesView,
)
from crypto_bot.strategies import get_strategy

STRATEGIES = ("sma_cross", "rsi", "mean_bot", "breakout_bot")


def run(bars, name, **parameters):
    strategy = get_strategy(name, **parameters)
    exits = ExitOptions(signal_exit=SignalExit(strategy.signal_exit), stop_loss_frac=0.05)
    return simulate(bars, strategy.signals_on(bars), exits=exits)


def metrics_of(result):
    names = ("sharpe", "total_return", "max_drawdown", "trades", "buy_and_hold_return")
    return {name: getattr(result.metrics, name) for name in names}


def predictions(rows, seed=2):
    """Labels with a little to be found in them, and rows that were never tested."""
    rng = np.random.default_rng(seed)
    edge = rng.normal(0, 0.5, rows)
    p_up = 1 / (1 + np.exp(-edge))
    labels = (rng.random(rows) < p_up).astype(np.int8)
    probabilities = np.column_stack((1 - p_up, p_up))
    probabilities[: rows // 5] = np.nan
    return labels, probabilities


@cache
def sample_contents(symbols=3, bars=3_000):
    market = simulate_market(SimulationOptions(symbols=symbols, bars=bars, seed=7))
    first = market[0]
    results = {(one.symbol, name): run(one, name) for one in market for name in STRATEGIES}
    chosen = results[first.symbol, "mean_bot"]
    hold = 100_000 * first.close / first.close[0]
    labels, probabilities = predictions(len(first))
    fast, slow = (5, 10, 15, 20), (25, 30, 40, 50, 60)
    sharpe = np.array(
        [[run(first, "sma_cross", fast=x, slow=y).metrics.sharpe for x in fast] for y in slow]
    )
    sharpe[0, -1] = np.nan
    checks = (
        GateCheck("log loss beats the base rate", 0.6874, 0.6931, "below", True),
        GateCheck("deflated Sharpe probability", 0.31, 0.95, "at least", False),
        GateCheck("out-of-sample trades", 412, 100, "at least", True),
        GateCheck("random entries as good", None, 0.05, "at most", False),
    )
    rows = [
        StrategyRow(one.symbol, one.timeframe, name, get_strategy(name).parameters.model_dump(),
                    metrics_of(results[one.symbol, name]), {"stop_loss_frac": 0.05})
        for name in STRATEGIES for one in market
    ]  # fmt: skip
    found = {"gaps": 2, "duplicates": 0}
    quality = [
        QualityRow(f"{one.symbol} simulated", one.symbol, one.timeframe, len(one), int(one.open_time[0]),
                   int(one.open_time[-1]), found, ("2 outages kept as they are",))
        for one in market
    ]  # fmt: skip
    quality.append(QualityRow("broken.csv", "", "5m", 0, refused="high below low at row 17 <b>"))
    importance = {f"feature_{i}": 1 / (i + 1) for i in range(23)}
    label = {"name": "next_5_up", "horizon_minutes": 25}
    return ReportContents(
        title="First light",
        run_id="20261121-091500-ab12",
        started_at="2026-11-21 09:15 UTC",
        command="make demo",
        seconds=97.4,
        what=f"{symbols} pairs at 5m through features, {len(STRATEGIES)} strategies, a random forest, "
        "the gate and a paper session.",
        promoted=False,
        why="2 of 4 checks failed: the Sharpe found is what luck finds in 1,280 trials.",
        is_simulated=True,
        span=("2024-01-01", "2024-01-11"),
        facts={"Pairs": symbols, "Candles": symbols * len(first), "Trials": 1280, "Best Sharpe": 1.234567},
        equity=(
            EquityView(
                "Paper session", first.close_time, {"mean_bot": chosen.equity, "buy and hold": hold},
                f"mean_bot on {first.symbol}, fee 0.1 %, slippage 0.1 %.",
            ),
            EquityView(
                "Walk-forward, out of sample", first.close_time[600:],
                {"model": results[first.symbol, "rsi"].equity[600:], "buy and hold": hold[600:]},
            ),
        ),
        trades=TradesView(first, chosen.trades, "mean_bot"),
        strategies=rows,
        heat_maps=(HeatMap(f"sma_cross on {first.symbol}", "fast", "slow", fast, slow, sharpe),),
        models=(
            ModelView("random forest, all pairs", "random_forest", (0, 1), labels, probabilities,
                      importance, 0.6, label),
        ),
        predictions=PredictionsView(first.symbol, first.close_time, first.close, probabilities[:, 1]),
        gates=(GateView("random forest, all pairs", False, checks),),
        quality=quality,
        records=tuple(
            TradeRecord(name, first, results[first.symbol, name].trades) for name in ("mean_bot", "rsi")
        ),
        tables=(
            FactTable("Feedback: paper against backtest", ("pair", "trades", "equal", "largest difference"),
                      [[one.symbol, 12, True, 0.0] for one in market], "Equal to the last digit."),
        ),
        config={"backtest": {"fee": 0.001, "symbols": [one.symbol for one in market]}, "key": "****"},
        versions={"crypto-bot": "0.1.0", "numpy": np.__version__},
        data_hash="9f" * 32,
        summary={"promoted": False, "best_sharpe": float("nan")},
        notes=("Numbers before fees appear nowhere on this page.",),
    )  # fmt: skip
