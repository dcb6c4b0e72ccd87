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
    """Several symbols' backtests as one account, equal cash each; stretches of one symbol are chained.

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
    """Add up the accounts of several symbols, several stretches of one symbol end to end.

    Raises DataError without any, or where two of one symbol overlap by more than a bar.
    """
    if not results:
        raise DataError("results must hold at least one backtest, was empty")
    time_ns = np.unique(np.concatenate([result.bars.close_time for result in results]))
    equity, cash = np.zeros(len(time_ns)), 0.0
    for chain in _chains(results):
        equity += _equity_at(chain, time_ns)
        cash += chain[0].sizing.initial_cash
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


def _chains(results: Sequence[BacktestResult]) -> list[list[BacktestResult]]:
    """The results of each symbol in time order; DataError if two of one symbol overlap."""
    chains: dict[str, list[BacktestResult]] = {}
    for result in sorted(results, key=lambda each: int(each.bars.close_time[0])):
        chain = chains.setdefault(result.bars.symbol, [])
        if chain and chain[-1].bars.close_time[-1] > result.bars.open_time[0] + (
            result.bars.interval_ns
        ):
            raise DataError(
                f"{result.bars.symbol} results must follow each other in time, overlapped; "
                "give one backtest a symbol, or one a stretch"
            )
        chain.append(result)
    return list(chains.values())


def _equity_at(chain: Sequence[BacktestResult], time_ns: PerBarTime) -> PerBar:
    """The account of one symbol at each time; a later stretch goes on with what the last one left."""
    equity = np.full(len(time_ns), chain[0].sizing.initial_cash)
    for result in chain:
        row = np.searchsorted(result.bars.close_time, time_ns, side="right") - 1
        began = row >= 0
        if began.any():
            carried = equity[began][0] / result.sizing.initial_cash
            equity[began] = result.equity[row[began]] * carried
    return equity
