"""Fills in order become round trips; backtest and paper session share this arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from crypto_bot.core.arrays import PerBarTime, PerTrade
from crypto_bot.core.orders import TRADE, ExitReason
from crypto_bot.engine.matching import BarEvents

FILL = np.dtype(
    [
        ("bar", np.int64),
        ("is_at_open", np.bool_),
        ("quantity", np.float64),  # base, signed: bought > 0
        ("price", np.float64),  # after slippage
        ("fee", np.float64),  # quote
        ("reason", np.int8),  # ExitReason of an exit, 0 for an entry
        ("financing", np.float64),  # funding and borrowing paid since the entry, told at the exit
    ]
)
"""One fill of a backtest. One position at a time: entries at even places, exits at odd ones."""


def fill_rows(bar: int, events: BarEvents) -> list[tuple[Any, ...]]:
    """The fills of one bar as rows for ``np.array(rows, FILL)``."""
    places = zip(events[:3], (True, True, False), strict=True)
    return [(bar, is_at_open, *fill) for fill, is_at_open in places if fill.quantity != 0.0]


def round_trips(
    fills: npt.NDArray[Any] | Sequence[tuple[Any, ...]],
    open_time: PerBarTime,
    close_time: PerBarTime,
    last_close: float,
    open_financing: float = 0.0,
) -> PerTrade:
    """Pair each entry with its exit.

    Parameters
    ----------
    fills : FILL (fills,)     in order of time; rows of `fill_rows` will do
    open_time, close_time : int64 (bars,)   times of the bars that `fills.bar` counts
    last_close : float        marks the position that is still open
    open_financing : float    what that position has paid for being held

    Returns
    -------
    TRADE (trades,)    an open position is the last row: reason OPEN, exit_bar -1, marked at
                       `last_close`, exit_time the last close
    """
    rows = np.asarray(fills, FILL) if isinstance(fills, np.ndarray) else np.array([*fills], FILL)
    entries, exits = rows[0::2], rows[1::2]
    closed = len(exits)
    trades = np.zeros(len(entries), TRADE)
    trades["entry_bar"] = entries["bar"]
    trades["entry_time"] = open_time[entries["bar"]]
    trades["direction"] = np.sign(entries["quantity"])
    trades["quantity"] = np.abs(entries["quantity"])
    trades["entry_price"] = entries["price"]
    trades["fees_quote"] = entries["fee"]
    trades["exit_bar"][:closed] = exits["bar"]
    trades["exit_time"][:closed] = np.where(
        exits["is_at_open"], open_time[exits["bar"]], close_time[exits["bar"]]
    )
    trades["exit_price"][:closed] = exits["price"]
    trades["fees_quote"][:closed] += exits["fee"]
    trades["exit_reason"][:closed] = exits["reason"]
    trades["financing_quote"][:closed] = exits["financing"]
    if len(entries) > closed:
        trades["exit_bar"][closed] = -1
        trades["exit_time"][closed] = close_time[-1]
        trades["exit_price"][closed] = last_close
        trades["exit_reason"][closed] = ExitReason.OPEN
        trades["financing_quote"][closed] = open_financing
    moved = trades["exit_price"] - trades["entry_price"]
    costs = trades["fees_quote"] + trades["financing_quote"]
    trades["pnl_quote"] = moved * entries["quantity"] - costs
    trades["return_frac"] = trades["pnl_quote"] / (trades["quantity"] * trades["entry_price"])
    return trades
