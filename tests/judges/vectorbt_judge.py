"""Our rules given to vectorbt: `Portfolio.from_signals` on arrays, two ways.

`judge_in_rows`: one row a candle, signals shifted by one, filled at the open; no stops. vectorbt
looks at a stop before the signals of its row and never in the row of the entry, so a candle with
stops is given to `judge_in_steps` as the rows in which it happens: exits at the open, entries at
the open, the open itself where both stop and target wait, then the candle. Rows of signals carry no
prices, so that no stop is looked at there.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pandas as pd
    import vectorbt as vbt

from crypto_bot.core import Bars
from crypto_bot.engine import Reentry, SignalExit, SizingMethod
from judges.settings import Setting
from judges.verdict import Trip, Verdict

Columns = dict[str, np.ndarray]
PRICES = ("open", "high", "low", "close")


def wishes(direction: np.ndarray, setting: Setting) -> Columns:
    """Entries and exits of both sides, in the row whose open they are for."""
    before = np.concatenate(([0], direction[:-1]))
    is_new = direction != before
    if setting.exits.reentry is Reentry.WHILE_SIGNAL:
        is_new[:] = True
    rule = setting.exits.signal_exit
    columns = {}
    for name, side in (("", 1), ("short_", -1)):
        against = direction == -side if rule is not SignalExit.NEVER else np.zeros_like(is_new)
        idle = (direction == 0) & (rule is SignalExit.FLAT)
        may = side > 0 or setting.sizing.allow_short
        columns[f"{name}entries"] = _next_row((direction == side) & is_new & may)
        columns[f"{name}exits"] = _next_row(against | idle)
    return columns


def _next_row(flags: np.ndarray) -> np.ndarray:
    return np.concatenate(([False], flags[:-1]))


def judge_in_rows(bars: Bars, direction: np.ndarray, setting: Setting) -> Verdict:
    """One row a candle; reversals are vectorbt's own."""
    rows = {**_candles(bars), "price": bars.open, **wishes(direction, setting)}
    rows["fees"] = np.full(len(bars), setting.costs.taker_fee_frac)
    portfolio = _run(rows, setting, upon_opposite_entry="reverse")
    return _verdict(portfolio, bars, 1)


def judge_in_steps(bars: Bars, direction: np.ndarray, setting: Setting) -> Verdict:
    """The rows of a candle in the order in which things happen."""
    exits, costs = setting.exits, setting.costs
    both_wait = bool(_stop(setting) and exits.take_profit_frac)
    steps = 4 if both_wait else 3
    signals, candles = wishes(direction, setting), _candles(bars)
    rows = {name: _spread(signals[name], steps, name.endswith("entries")) for name in signals}
    rows |= {name: _spread(candles[name], steps, steps - 1) for name in candles}
    if both_wait:
        for name in candles:
            rows[name][2::steps] = bars.open
    rows["price"] = np.repeat(bars.open, steps)
    waiting = costs.taker_fee_frac if _stop(setting) else costs.maker_fee_frac
    rows["fees"] = np.tile([costs.taker_fee_frac] * 2 + [waiting] * (steps - 2), len(bars))
    # An open position is left in the row before: what is opposite here is not a reversal.
    portfolio = _run(rows, setting, upon_opposite_entry="ignore")
    return _verdict(portfolio, bars, steps)


def _stop(setting: Setting) -> float | None:
    return setting.exits.trailing_stop_frac or setting.exits.stop_loss_frac


def _candles(bars: Bars) -> Columns:
    return {name: getattr(bars, name) for name in PRICES}


def _spread(values: np.ndarray, steps: int, place: int) -> np.ndarray:
    """The values at one place of each candle's rows; elsewhere nothing."""
    nothing = False if values.dtype == bool else np.nan
    rows = np.full((len(values), steps), nothing, values.dtype)
    rows[:, int(place)] = values
    return rows.ravel()


def _run(rows: Columns, setting: Setting, **options: Any) -> vbt.Portfolio:
    """Every call with the same types of arguments, so that vectorbt compiles once."""
    exits, sizing, slippage = setting.exits, setting.sizing, setting.costs.slippage_frac
    if sizing.method is SizingMethod.FIXED_QUOTE:
        side = np.where(rows["short_entries"], -1, 1)
        size, size_type = sizing.quote / (rows["price"] * (1 + side * slippage)), "amount"
    else:
        size, size_type = np.full(len(rows["price"]), sizing.fraction), "percent"
    stop = _stop(setting)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return vbt.Portfolio.from_signals(
            **{name: pd.Series(values) for name, values in rows.items()},
            size=pd.Series(size),
            size_type=size_type,
            slippage=slippage,
            init_cash=sizing.initial_cash,
            sl_stop=stop or np.nan,
            sl_trail=exits.trailing_stop_frac is not None,
            tp_stop=exits.take_profit_frac or np.nan,
            stop_entry_price="fillprice",
            # Slipped like a market order, or filled at the level like a limit order: for all alike.
            stop_exit_price="stopmarket" if stop else "stoplimit",
            engine="numba",
            **options,
        )


def _verdict(portfolio: vbt.Portfolio, bars: Bars, steps: int) -> Verdict:
    """vectorbt's trades; an open one it marks at the last close."""
    trips = []
    for trade in np.sort(portfolio.exit_trades.values, order="entry_idx"):
        is_open = trade["status"] == 0
        trips.append(
            Trip(
                int(trade["entry_idx"]) // steps,
                -1 if is_open else int(trade["exit_idx"]) // steps,
                1 if trade["direction"] == 0 else -1,
                float(trade["size"]),
                float(trade["entry_price"]),
                float(trade["exit_price"]),
                float(trade["entry_fees"] + trade["exit_fees"]),
            )
        )
    return Verdict(trips, float(portfolio.final_value()))


def own_averages(bars: Bars, setting: Setting) -> np.ndarray:
    """The wanted side by vectorbt's moving averages, exponential for `ema_cross`."""
    values, is_exponential = setting.parameters, setting.strategy == "ema_cross"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        windows = [int(values["fast"]), int(values["slow"])]
        averages = vbt.MA.run(pd.Series(bars.close), windows, ewm=is_exponential).ma.to_numpy()
    fast, slow = averages.T
    return _settled((fast > slow).astype(np.int8) - (fast < slow).astype(np.int8), setting)


def own_channel(bars: Bars, setting: Setting) -> np.ndarray:
    """The wanted side by vectorbt's rolling extremes of the bars before."""
    length = int(setting.parameters["bars"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        high = pd.Series(bars.high).vbt.rolling_max(length, minp=length).shift(1).to_numpy()
        low = pd.Series(bars.low).vbt.rolling_min(length, minp=length).shift(1).to_numpy()
    return (bars.close > high).astype(np.int8) - (bars.close < low).astype(np.int8)


def _settled(direction: np.ndarray, setting: Setting) -> np.ndarray:
    direction[: setting.settled] = 0
    return direction
