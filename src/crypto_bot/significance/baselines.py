"""What the result must beat: holding, and its own costs."""

from __future__ import annotations

import numpy as np

from crypto_bot.core.bars import Bars
from crypto_bot.core.funding import FundingRates
from crypto_bot.core.orders import Signals
from crypto_bot.engine import (
    BacktestResult,
    CostOptions,
    ExitOptions,
    SignalExit,
    SizingOptions,
    simulate,
)

_HALVINGS = 30
_MOST_COST_FRAC = 0.5


def buy_and_hold(
    bars: Bars,
    *,
    costs: CostOptions | None = None,
    initial_cash: float = 100_000.0,
    funding: FundingRates | None = None,
) -> BacktestResult:
    """Buy everything at the second open and hold to the end, entry costs and funding included."""
    signals = Signals(np.ones(len(bars), np.int8), np.ones(len(bars)))
    return simulate(
        bars,
        signals,
        costs=costs,
        exits=ExitOptions(signal_exit=SignalExit.NEVER),
        sizing=SizingOptions(initial_cash=initial_cash),
        funding=funding,
    )


def break_even_cost_frac(result: BacktestResult) -> float | None:
    """The cost of one fill, as a fraction of its notional, at which the result would end at 0.

    Found by repeating the backtest with that fee on every fill and no slippage. 0.0 if it loses
    even for free; None if nothing was traded, or if it still gains at 50 % a fill.
    """
    if not len(result.trades):
        return None
    if _return_at(result, 0.0) <= 0.0:
        return 0.0
    low, high = 0.0, _MOST_COST_FRAC
    if _return_at(result, high) > 0.0:
        return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _return_at(result, middle) > 0.0 else (low, middle)
    return low


def _return_at(result: BacktestResult, cost_frac: float) -> float:
    costs = result.costs.replace(
        taker_fee_frac=cost_frac, maker_fee_frac=cost_frac, slippage_frac=0.0
    )
    return simulate(
        result.bars,
        result.signals,
        costs=costs,
        exits=result.exits,
        sizing=result.sizing,
        funding=result.funding,
    ).metrics.total_return
