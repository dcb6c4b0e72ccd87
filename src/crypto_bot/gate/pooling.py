"""Several symbols' backtests as one account."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crypto_bot.core.arrays import PerBar, PerBarTime, PerRow
from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import DAYS_PER_YEAR
from crypto_bot.engine import BacktestResult
from crypto_bot.engine.metrics import day_ends


@dataclass(frozen=True, eq=False)
class Pooled:
    """Several symbols' backtests as one account, equal cash each.

    Attributes
    ----------
    time_ns : int64 (times,)          every close of any symbol
    equity : float64 (times,)         sum; a symbol counts its cash before its first bar and its
                                      last equity after its last
    daily_returns : float64 (days,)   of UTC days
    sharpe : annual, x sqrt(365); None from fewer than 2 days or without deviation
    max_drawdown, total_return : fractions
    win_rate : of closed trades; None without any
    trades : closed trades
    """

    time_ns: PerBarTime
    equity: PerBar
    daily_returns: PerRow
    sharpe: float | None
    max_drawdown: float
    total_return: float
    win_rate: float | None
    trades: int


def pool_results(results: Sequence[BacktestResult]) -> Pooled:
    """Add up the accounts of several symbols. Raises DataError without any."""
    if not results:
        raise DataError("results must hold at least one backtest, was empty")
    time_ns = np.unique(np.concatenate([result.bars.close_time for result in results]))
    equity, cash = np.zeros(len(time_ns)), 0.0
    for result in results:
        equity += _equity_at(result, time_ns)
        cash += result.sizing.initial_cash
    daily = equity[day_ends(time_ns)]
    daily_returns = daily / np.concatenate(([cash], daily[:-1])) - 1.0
    peak = np.maximum.accumulate(np.maximum(equity, cash))
    pnl = np.concatenate([r.trades["pnl_quote"][r.trades["exit_bar"] >= 0] for r in results])
    return Pooled(
        time_ns=time_ns,
        equity=equity,
        daily_returns=daily_returns,
        sharpe=annual_sharpe(daily_returns),
        max_drawdown=float((1.0 - equity / peak).max()),
        total_return=float(equity[-1] / cash - 1.0),
        win_rate=float(np.mean(pnl > 0)) if len(pnl) else None,
        trades=len(pnl),
    )


def annual_sharpe(daily_returns: PerRow) -> float | None:
    """Mean over sample deviation of daily returns, x sqrt(365); None where undefined."""
    if len(daily_returns) < 2:
        return None
    deviation = float(daily_returns.std(ddof=1))
    mean = float(daily_returns.mean())
    return mean / deviation * math.sqrt(DAYS_PER_YEAR) if deviation > 1e-12 else None


def _equity_at(result: BacktestResult, time_ns: PerBarTime) -> PerBar:
    row = np.searchsorted(result.bars.close_time, time_ns, side="right") - 1
    return np.where(row < 0, result.sizing.initial_cash, result.equity[np.maximum(row, 0)])
