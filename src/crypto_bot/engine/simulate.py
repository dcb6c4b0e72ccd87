"""`simulate`: one symbol, one stream of signals, bar by bar through the matching step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from crypto_bot.core.arrays import PerBar, PerBarDirection, PerTrade
from crypto_bot.core.bars import Bars
from crypto_bot.core.errors import DataError
from crypto_bot.core.orders import Signals
from crypto_bot.engine.ledger import FILL, round_trips
from crypto_bot.engine.matching import (
    AccountState,
    FillEvent,
    MatchingRules,
    advance,
    decide,
    matching_rules,
    open_account,
)
from crypto_bot.engine.metrics import Metrics, metrics_of, tally
from crypto_bot.engine.options import CostOptions, ExitOptions, SizingOptions

_FIRST_ROOM = 64


@dataclass(frozen=True, eq=False)
class BacktestResult:
    """One backtest.

    Attributes
    ----------
    bars, signals, costs, exits, sizing    what was simulated
    trades : TRADE (trades,)               round trips; an open position last, reason OPEN
    fills : FILL (fills,)                  every fill in order
    equity : float64 (bars,)               marked at each close, quote
    position : float64 (bars,)             signed quantity held at each close, base
    metrics : Metrics
    refused_entries : int                  entries below the venue's minimum or without cash
    """

    bars: Bars
    signals: Signals
    costs: CostOptions
    exits: ExitOptions
    sizing: SizingOptions
    trades: PerTrade
    fills: npt.NDArray[Any]
    equity: PerBar
    position: PerBar
    metrics: Metrics
    refused_entries: int


def simulate(
    bars: Bars,
    signals: Signals,
    *,
    costs: CostOptions | None = None,
    exits: ExitOptions | None = None,
    sizing: SizingOptions | None = None,
) -> BacktestResult:
    """Trade the signals on the bars, with costs.

    Parameters
    ----------
    bars : Bars             at least one
    signals : Signals       direction int8 (bars,) in {-1, 0, +1}; score float64 (bars,) in 0..1
    costs, exits, sizing    None: their defaults

    Returns
    -------
    BacktestResult

    Raises
    ------
    DataError      if there is no bar, or signals have another length or type, or hold NaN or
                   values out of range
    ConfigError    if sizing by risk_to_stop has no stop

    Notes
    -----
    The signal at the close of bar t acts at the open of bar t + 1; nothing up to t depends on
    later bars. The semantics are in `crypto_bot.engine`.
    """
    costs, exits, sizing = costs or CostOptions(), exits or ExitOptions(), sizing or SizingOptions()
    rules = matching_rules(costs, exits, sizing)
    check_bars(bars)
    check_signals(bars, signals)
    equity, position, fills, refused = _replay(
        bars.open,
        bars.high,
        bars.low,
        bars.close,
        *signals,
        open_account(sizing.initial_cash),
        rules,
    )
    trades = round_trips(fills, bars.open_time, bars.close_time, float(bars.close[-1]))
    sums = tally(trades, fills, equity, position, bars, sizing.initial_cash)
    return BacktestResult(
        bars=bars,
        signals=signals,
        costs=costs,
        exits=exits,
        sizing=sizing,
        trades=trades,
        fills=fills,
        equity=equity,
        position=position,
        metrics=metrics_of(sums, bars, sizing.initial_cash),
        refused_entries=refused,
    )


@njit(cache=True, nogil=True)
def _replay(
    open_: PerBar,
    high: PerBar,
    low: PerBar,
    close: PerBar,
    direction: PerBarDirection,
    score: PerBar,
    state: AccountState,
    rules: MatchingRules,
) -> tuple[PerBar, PerBar, npt.NDArray[Any], int]:
    bars = len(close)
    equity, position = np.empty(bars), np.empty(bars)
    fills, count = np.empty(_FIRST_ROOM, FILL), 0
    for t in range(bars):
        state, events = advance(state, t, open_[t], high[t], low[t], close[t], rules)
        if count + 3 > len(fills):
            fills = np.concatenate((fills, np.empty(len(fills), FILL)))
        if events.exit_open.quantity != 0.0:
            count = _record(fills, count, t, True, events.exit_open)
        if events.entry_open.quantity != 0.0:
            count = _record(fills, count, t, True, events.entry_open)
        if events.exit_inside.quantity != 0.0:
            count = _record(fills, count, t, False, events.exit_inside)
        equity[t], position[t] = state.equity, state.quantity
        state = decide(state, direction[t], score[t], rules)
    return equity, position, fills[:count].copy(), state.refused_entries


@njit(cache=True, nogil=True)
def _record(
    fills: npt.NDArray[Any], count: int, bar: int, is_at_open: bool, fill: FillEvent
) -> int:
    row = fills[count]
    row.bar, row.is_at_open = bar, is_at_open
    row.quantity, row.price, row.fee, row.reason = fill.quantity, fill.price, fill.fee, fill.reason
    return count + 1


def check_bars(bars: Bars) -> None:
    """Raise DataError where there is nothing to trade."""
    if len(bars) == 0:
        raise DataError(f"{bars.symbol} {bars.timeframe} bars must hold at least one bar, was 0")


def check_signals(bars: Bars, signals: Signals) -> None:
    """Raise DataError unless the signals fit the bars."""
    check_direction(bars, signals.direction)
    _check_column(bars, "score", signals.score, np.dtype(np.float64))
    _check_range("score", signals.score, 0.0, 1.0)


def check_direction(bars: Bars, direction: Any) -> None:
    """Raise DataError unless the directions fit the bars."""
    _check_column(bars, "direction", direction, np.dtype(np.int8))
    _check_range("direction", direction, -1, 1)


def _check_column(bars: Bars, name: str, values: Any, dtype: np.dtype[Any]) -> None:
    if not isinstance(values, np.ndarray):
        raise DataError(f"signals.{name} must be a numpy array, was {type(values).__name__}")
    if values.dtype != dtype or values.shape != (len(bars),):
        raise DataError(
            f"signals.{name} must be {dtype} ({len(bars)},) like bars, "
            f"was {values.dtype} {values.shape}"
        )


def _check_range(name: str, values: npt.NDArray[Any], lowest: float, highest: float) -> None:
    # Written so that NaN fails: neither bound holds for it.
    if not (values.min() >= lowest and values.max() <= highest):
        row = int(np.flatnonzero(~((values >= lowest) & (values <= highest)))[0])
        raise DataError(
            f"signals.{name} must be finite and {lowest}..{highest}, was {values[row]} at row {row}"
        )
