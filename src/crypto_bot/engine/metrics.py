"""What an equity curve and its trades were worth; `simulate` and `sweep` share every definition."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from crypto_bot.core.arrays import Index, PerBar, PerBarTime, PerTrade
from crypto_bot.core.bars import Bars
from crypto_bot.core.timeframes import DAY_NS, DAYS_PER_YEAR

_NO_DEVIATION = 1e-12


@dataclass(frozen=True)
class Metrics:
    """Results of one backtest; None where undefined, never infinite or NaN.

    Attributes
    ----------
    total_return : final equity / initial cash - 1
    annual_return : total return compounded over calendar time (365 days a year)
    sharpe, sortino : mean / deviation of daily returns (UTC days), x sqrt(365); no risk-free rate
    calmar : annual_return / max_drawdown
    max_drawdown : deepest fall of equity below its peak so far, fraction of that peak
    max_drawdown_bars : bars from that peak to its recovery, or to the end
    win_rate : closed trades with a profit after fees / closed trades
    profit_factor : profits / losses of closed trades
    expectancy_quote : mean profit of a closed trade
    recovery_factor : net profit / deepest fall of equity in quote
    exposure : closes with a position / closes
    turnover : traded notional / mean equity
    trades : closed trades
    fees_quote : all fees paid, those of an open position included
    buy_and_hold_return : last close / first close - 1, without costs
    final_equity : marked at the last close

    Notes
    -----
    Equity is marked at every close. A close at midnight belongs to the day it ends; a day without
    a bar carries the equity on; the first day is relative to the initial cash. Deviations divide
    by days - 1; sortino's counts losses only, around 0.
    """

    total_return: float
    annual_return: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    max_drawdown: float
    max_drawdown_bars: int
    win_rate: float | None
    profit_factor: float | None
    expectancy_quote: float | None
    recovery_factor: float | None
    exposure: float
    turnover: float | None
    trades: int
    fees_quote: float
    buy_and_hold_return: float
    final_equity: float


METRICS = tuple(field.name for field in fields(Metrics))
COUNTS = ("max_drawdown_bars", "trades")


class Tally(NamedTuple):
    """The sums of one backtest from which every metric follows."""

    final_equity: float
    equity_sum: float
    held_closes: float
    traded_quote: float
    fees_quote: float
    trades: float
    wins: float
    profit_quote: float
    loss_quote: float
    drawdown_frac: float
    drawdown_quote: float
    drawdown_bars: float
    sharpe: float
    sortino: float


class Drawdown(NamedTuple):
    """The present stretch below a peak, and the worst one so far."""

    peak: float
    peak_bar: int
    trough: float
    worst_frac: float
    worst_quote: float
    worst_bars: int


@njit(cache=True, nogil=True)
def start_drawdown(cash: float) -> Drawdown:
    """The initial cash is the first peak, one bar before the first close."""
    return Drawdown(cash, -1, cash, 0.0, 0.0, 0)


@njit(cache=True, nogil=True)
def mark_drawdown(state: Drawdown, bar: int, equity: float) -> Drawdown:
    """Mark one close."""
    if equity > state.peak:
        ended = end_drawdown(state, bar)
        return Drawdown(equity, bar, equity, ended.worst_frac, ended.worst_quote, ended.worst_bars)
    return Drawdown(
        state.peak,
        state.peak_bar,
        min(state.trough, equity),
        state.worst_frac,
        state.worst_quote,
        state.worst_bars,
    )


@njit(cache=True, nogil=True)
def end_drawdown(state: Drawdown, bar: int) -> Drawdown:
    """Judge the present stretch as ended at `bar`."""
    fall = state.peak - state.trough
    frac, bars = fall / state.peak, bar - state.peak_bar
    if frac <= state.worst_frac:
        frac, bars = state.worst_frac, state.worst_bars
    return Drawdown(
        state.peak, state.peak_bar, state.trough, frac, max(state.worst_quote, fall), bars
    )


@njit(cache=True, nogil=True)
def _drawdown(equity: PerBar, cash: float) -> Drawdown:
    state = start_drawdown(cash)
    for bar in range(len(equity)):
        # Marks that are neither peak nor trough change nothing.
        if equity[bar] > state.peak or equity[bar] < state.trough:
            state = mark_drawdown(state, bar, equity[bar])
    return end_drawdown(state, len(equity) - 1)


@njit(cache=True, nogil=True)
def daily_ratios(daily_equity: PerBar, cash: float) -> tuple[float, float]:
    """Annual Sharpe and Sortino of equity at the end of each day; NaN where undefined."""
    days = len(daily_equity)
    if days < 2:
        return math.nan, math.nan
    total, before = 0.0, cash
    for equity in daily_equity:
        if before == 0.0:
            return math.nan, math.nan
        total += equity / before - 1.0
        before = equity
    mean, before = total / days, cash
    squares, losses = 0.0, 0.0
    for equity in daily_equity:
        change = equity / before - 1.0
        squares += (change - mean) ** 2
        losses += min(change, 0.0) ** 2
        before = equity
    deviation = math.sqrt(squares / (days - 1))
    downside = math.sqrt(losses / (days - 1))
    scale = mean * math.sqrt(DAYS_PER_YEAR)
    return (
        scale / deviation if deviation > _NO_DEVIATION else math.nan,
        scale / downside if downside > _NO_DEVIATION else math.nan,
    )


def day_ends(close_time: PerBarTime) -> Index:
    """Per UTC day from the first to the last close: the last bar known at the day's end, int64 (days,).

    Days without a bar repeat the bar before.
    """
    first, last = (int(close_time[0]) - 1) // DAY_NS, (int(close_time[-1]) - 1) // DAY_NS
    ends = np.arange(first + 1, last + 2) * DAY_NS
    return np.searchsorted(close_time, ends, side="right").astype(np.int64) - 1


def tally(
    trades: PerTrade,
    fills: npt.NDArray[Any],
    equity: PerBar,
    position: PerBar,
    bars: Bars,
    cash: float,
) -> Tally:
    """The sums of a finished simulation."""
    pnl = trades["pnl_quote"][trades["exit_bar"] >= 0]
    drawdown = _drawdown(equity, cash)
    sharpe, sortino = daily_ratios(equity[day_ends(bars.close_time)], cash)
    return Tally(
        final_equity=equity[-1],
        equity_sum=equity.sum(),
        held_closes=float(np.count_nonzero(position != 0.0)),
        traded_quote=np.abs(fills["quantity"] * fills["price"]).sum(),
        fees_quote=fills["fee"].sum(),
        trades=len(pnl),
        wins=float(np.count_nonzero(pnl > 0)),
        profit_quote=pnl[pnl > 0].sum(),
        loss_quote=-pnl[pnl < 0].sum(),
        drawdown_frac=drawdown.worst_frac,
        drawdown_quote=drawdown.worst_quote,
        drawdown_bars=drawdown.worst_bars,
        sharpe=sharpe,
        sortino=sortino,
    )


def metric_columns(tallies: npt.NDArray[np.float64], bars: Bars, cash: float) -> dict[str, PerBar]:
    """Every metric of many backtests of the same bars.

    Parameters
    ----------
    tallies : float64 (rows, len(Tally._fields))
    bars : Bars     what was traded
    cash : float    initial cash

    Returns
    -------
    dict    name of the metric -> float64 (rows,), NaN where undefined; in the order of `METRICS`
    """
    sums = Tally(*tallies.T)
    span_ns = int(bars.close_time[-1]) - int(bars.open_time[0])
    grown = np.maximum(sums.final_equity / cash, 0.0)
    with np.errstate(all="ignore"):
        annual = grown ** (DAYS_PER_YEAR * DAY_NS / span_ns) - 1.0
        columns = {
            "total_return": sums.final_equity / cash - 1.0,
            "annual_return": annual,
            "sharpe": sums.sharpe,
            "sortino": sums.sortino,
            "calmar": annual / sums.drawdown_frac,
            "max_drawdown": sums.drawdown_frac,
            "max_drawdown_bars": sums.drawdown_bars,
            "win_rate": sums.wins / sums.trades,
            "profit_factor": sums.profit_quote / sums.loss_quote,
            "expectancy_quote": (sums.profit_quote - sums.loss_quote) / sums.trades,
            "recovery_factor": (sums.final_equity - cash) / sums.drawdown_quote,
            "exposure": sums.held_closes / len(bars),
            "turnover": np.where(
                sums.equity_sum > 0, sums.traded_quote * len(bars) / sums.equity_sum, np.nan
            ),
            "trades": sums.trades,
            "fees_quote": sums.fees_quote,
            "buy_and_hold_return": np.full(len(tallies), bars.close[-1] / bars.close[0] - 1.0),
            "final_equity": sums.final_equity,
        }
    return {name: np.where(np.isfinite(column), column, np.nan) for name, column in columns.items()}


def metrics_of(sums: Tally, bars: Bars, cash: float) -> Metrics:
    """The metrics of one backtest."""
    columns = metric_columns(np.array([sums], np.float64), bars, cash)
    values: dict[str, Any] = {}
    for name, column in columns.items():
        value = float(column[0])
        values[name] = None if math.isnan(value) else int(value) if name in COUNTS else value
    return Metrics(**values)
