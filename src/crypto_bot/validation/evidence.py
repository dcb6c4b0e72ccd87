"""From backtests to the gate: several symbols pooled to one account, every number it asks for."""

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
from crypto_bot.validation.baselines import ClassBaseline, break_even_cost_frac, buy_and_hold
from crypto_bot.validation.gate import ChampionEvidence, Evidence
from crypto_bot.validation.random_entries import RandomEntryOptions, random_entry_p_value
from crypto_bot.validation.significance import (
    BootstrapOptions,
    Statistic,
    bootstrap_interval,
    deflated_sharpe,
    probabilistic_sharpe,
    return_moments,
)

_FEWEST_DAYS = 10


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


def gather_evidence(
    results: Sequence[BacktestResult],
    *,
    trials: int,
    trial_variance: float | None,
    class_scores: ClassBaseline | None = None,
    champion: ChampionEvidence | None = None,
    random_entries: RandomEntryOptions | None = None,
    bootstrap: BootstrapOptions | None = None,
) -> Evidence:
    """Measure a candidate's out-of-sample backtests for the gate.

    Parameters
    ----------
    results : out-of-sample backtests, one a symbol, from `trade_out_of_sample` or `simulate`
    trials : everything tried so far, from the journal's trial ledger, this one included
    trial_variance : variance of the trials' daily Sharpe ratios (`significance.trial_variance`);
        None if unknown, and then more than one trial cannot be deflated and fails the gate
    class_scores : for a classifier, from `class_baseline`
    champion : the version in service on the same stretch, None if there is none
    """
    pooled = pool_results(results)
    held = pool_results(
        [buy_and_hold(r.bars, costs=r.costs, initial_cash=r.sizing.initial_cash) for r in results]
    )
    chance = random_entry_p_value(results, random_entries)
    return Evidence(
        start_ns=int(pooled.time_ns[0]),
        end_ns=int(pooled.time_ns[-1]),
        sharpe=pooled.sharpe,
        total_return=pooled.total_return,
        max_drawdown=pooled.max_drawdown,
        win_rate=pooled.win_rate,
        trades=pooled.trades,
        deflated_sharpe=_deflated(pooled.daily_returns, trials, trial_variance),
        trials=trials,
        random_entry_p=None if chance is None else chance.p_value,
        buy_and_hold_sharpe=held.sharpe,
        class_scores=class_scores,
        champion=champion,
        is_simulated=any(result.bars.is_simulated for result in results),
        details={
            "probabilistic_sharpe": _deflated(pooled.daily_returns, 1, 0.0),
            "buy_and_hold_return": held.total_return,
            "mean_random_entry_return": None if chance is None else chance.mean_random_return,
            "break_even_cost_frac": _mean_break_even(results),
            **_intervals(pooled.daily_returns, bootstrap),
        },
    )


def _equity_at(result: BacktestResult, time_ns: PerBarTime) -> PerBar:
    row = np.searchsorted(result.bars.close_time, time_ns, side="right") - 1
    return np.where(row < 0, result.sizing.initial_cash, result.equity[np.maximum(row, 0)])


def _deflated(daily_returns: PerRow, trials: int, variance: float | None) -> float | None:
    moments = return_moments(daily_returns)
    if moments is None or (variance is None and trials > 1):
        return None
    if trials == 1:
        return probabilistic_sharpe(moments)
    return deflated_sharpe(moments, trials=trials, trial_variance=variance or 0.0)


def _intervals(daily_returns: PerRow, options: BootstrapOptions | None) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for statistic, name in ((Statistic.MEAN, "mean_daily_return"), (Statistic.SHARPE, "sharpe")):
        interval = None
        if len(daily_returns) >= _FEWEST_DAYS:
            interval = bootstrap_interval(daily_returns, statistic, options)
        found[f"{name}_low"] = None if interval is None else interval.low
        found[f"{name}_high"] = None if interval is None else interval.high
    return found


def _mean_break_even(results: Sequence[BacktestResult]) -> float | None:
    known = [value for value in map(break_even_cost_frac, results) if value is not None]
    return float(np.mean(known)) if known else None
