"""`simulate`: one symbol, one stream of signals, bar by bar through the matching step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crypto_bot.core.arrays import PerBar, PerTrade
from crypto_bot.core.bars import Bars
from crypto_bot.core.errors import DataError
from crypto_bot.core.funding import FundingRates
from crypto_bot.core.orders import Signals
from crypto_bot.engine.events import walk_events
from crypto_bot.engine.ledger import round_trips
from crypto_bot.engine.metrics import Metrics, metrics_of, tally
from crypto_bot.engine.options import CostOptions, ExitOptions, SizingOptions
from crypto_bot.engine.rules import conditions_of, is_plain, matching_rules
from crypto_bot.engine.walk import walk


@dataclass(frozen=True, eq=False)
class BacktestResult:
    """One backtest.

    Attributes
    ----------
    bars, signals, costs, exits, sizing, funding    what was simulated
    trades : TRADE (trades,)               round trips; an open position last, reason OPEN
    fills : FILL (fills,)                  every fill in order
    equity : float64 (bars,)               marked at each close, quote
    position : float64 (bars,)             signed quantity held at each close, base
    metrics : Metrics
    refused_entries : int                  entries below the venue's minimum or without cash
    ambiguous_exits : int    bars in which stop and target were both touched and only the rule "the
                             stop came first" decided
    resolved_exits : int     the same, decided by finer bars
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
    funding: FundingRates | None = None
    ambiguous_exits: int = 0
    resolved_exits: int = 0


def simulate(
    bars: Bars,
    signals: Signals,
    *,
    costs: CostOptions | None = None,
    exits: ExitOptions | None = None,
    sizing: SizingOptions | None = None,
    funding: FundingRates | None = None,
    finer: Bars | None = None,
    history: Bars | None = None,
) -> BacktestResult:
    """Trade the signals on the bars, with costs.

    Parameters
    ----------
    bars : Bars             at least one
    signals : Signals       direction int8 (bars,) in {-1, 0, +1}; score float64 (bars,) in 0..1
    costs, exits, sizing    None: their defaults
    funding : FundingRates    of a perpetual; None: nobody pays
    finer : Bars            a finer timeframe of the same symbol, or a part of it: decides which of
                            stop and target came first inside a bar; None: the stop did
    history : Bars          bars just before, on which ATR, volatility and volume settle; None: an
                            option that asks for them enters nothing while they are unknown

    Returns
    -------
    BacktestResult

    Raises
    ------
    DataError      if there is no bar, or signals have another length or type, or hold NaN or
                   values out of range, or funding, finer bars or history do not fit the bars
    ConfigError    if sizing by risk_to_stop has no stop

    Notes
    -----
    The signal at the close of bar t acts at the open of bar t + 1; nothing up to t depends on
    later bars. The semantics are in `crypto_bot.engine`.
    """
    costs, exits, sizing = costs or CostOptions(), exits or ExitOptions(), sizing or SizingOptions()
    rules = matching_rules(costs, exits, sizing, has_funding=funding is not None)
    check_bars(bars)
    check_signals(bars, signals)
    if is_plain(rules) and finer is None:
        walked = walk_events(bars, signals.direction, rules, sizing.initial_cash)
    else:
        conditions = conditions_of(bars, costs, exits, sizing, funding=funding, history=history)
        walked = walk(bars, signals, conditions, rules, sizing.initial_cash, finer)
    last_close = float(bars.close[-1])
    trades = round_trips(
        walked.fills, bars.open_time, bars.close_time, last_close, walked.open_financing
    )
    sums = tally(trades, walked.fills, walked.equity, walked.position, bars, sizing.initial_cash)
    return BacktestResult(
        bars=bars,
        signals=signals,
        costs=costs,
        exits=exits,
        sizing=sizing,
        trades=trades,
        fills=walked.fills,
        equity=walked.equity,
        position=walked.position,
        metrics=metrics_of(sums, bars, sizing.initial_cash),
        refused_entries=walked.refused_entries,
        funding=funding,
        ambiguous_exits=walked.ambiguous_exits,
        resolved_exits=walked.resolved_exits,
    )


def check_bars(bars: Bars) -> None:
    """Raise DataError where there is nothing to trade."""
    if not isinstance(bars, Bars):
        raise DataError(f"bars must be Bars of one symbol, was {type(bars).__name__}")
    if len(bars) == 0:
        raise DataError(f"{bars.symbol} {bars.timeframe} bars must hold at least one bar, was 0")


def check_signals(bars: Bars, signals: Signals) -> None:
    """Raise DataError unless the signals fit the bars."""
    if not isinstance(signals, Signals):
        raise DataError(
            f"signals must be Signals, was {type(signals).__name__}; give strategy.signals_on(bars)"
        )
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
