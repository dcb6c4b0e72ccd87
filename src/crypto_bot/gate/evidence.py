"""From backtests to the gate: several symbols pooled to one account, every number it asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crypto_bot.core.arrays import PerRow
from crypto_bot.engine import BacktestResult
from crypto_bot.gate.pooling import pool_results
from crypto_bot.gate.verdict import ChampionEvidence, Evidence
from crypto_bot.significance import (
    BootstrapOptions,
    RandomEntryOptions,
    Statistic,
    bootstrap_interval,
    break_even_cost_frac,
    buy_and_hold,
    deflated_sharpe,
    probabilistic_sharpe,
    random_entry_p_value,
    return_moments,
)
from crypto_bot.validation.class_baseline import ClassBaseline

_FEWEST_DAYS = 10


def gather_evidence(
    results: Sequence[BacktestResult],
    *,
    trials: int,
    trial_variance: float | None,
    effective_trials: int | None = None,
    class_scores: ClassBaseline | None = None,
    champion: ChampionEvidence | None = None,
    random_entries: RandomEntryOptions | None = None,
    bootstrap: BootstrapOptions | None = None,
    notes: Mapping[str, Any] | None = None,
) -> Evidence:
    """Measure a candidate's out-of-sample backtests for the gate.

    Parameters
    ----------
    results : out-of-sample backtests, one a symbol, from `trade_out_of_sample` or `simulate`
    trials : everything tried so far, from the journal's trial ledger, this one included
    trial_variance : variance of the trials' daily Sharpe ratios (`significance.trial_variance`);
        None if unknown, and then more than one trial cannot be deflated and fails the gate
    effective_trials : how many independent trials those amount to; None: each is one
    class_scores : for a classifier, from `class_baseline`
    champion : the version in service on the same stretch, None if there is none
    notes : what else to keep with the verdict, JSON-ready, such as what a search chose
    """
    counted = trials if effective_trials is None else effective_trials
    pooled = pool_results(results)
    held = pool_results(
        [
            buy_and_hold(
                r.bars, costs=r.costs, initial_cash=r.sizing.initial_cash, funding=r.funding
            )
            for r in results
        ]
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
        deflated_sharpe=_deflated(pooled.daily_returns, counted, trial_variance),
        trials=trials,
        effective_trials=counted,
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
        notes=notes or {},
    )


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
