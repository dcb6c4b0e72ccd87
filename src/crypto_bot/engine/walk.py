"""Bar by bar through the matching step: the plain way, for rules that let no bar be skipped."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from crypto_bot.core.arrays import PerBar, PerBarDirection
from crypto_bot.core.bars import Bars
from crypto_bot.core.orders import Signals
from crypto_bot.engine.finer import (
    STOP_FIRST,
    TARGET_FIRST,
    UNDECIDED,
    FinerPrices,
    finer_prices,
    first_touched,
)
from crypto_bot.engine.ledger import FILL
from crypto_bot.engine.matching import AccountState, FillEvent, advance, decide, open_account
from crypto_bot.engine.rules import Conditions, Known, MatchingRules

_FIRST_ROOM = 64


class Walked(NamedTuple):
    """An account's way through the bars.

    equity, position : float64 (bars,)    at each close
    fills : FILL (fills,)
    refused_entries : int
    open_financing : float    paid so far for a position still held at the end
    ambiguous_exits : int     stop and target touched in one bar, and only the rule decided
    resolved_exits : int      the same, decided by finer bars
    """

    equity: PerBar
    position: PerBar
    fills: npt.NDArray[Any]
    refused_entries: int
    open_financing: float
    ambiguous_exits: int
    resolved_exits: int


def walk(
    bars: Bars,
    signals: Signals,
    conditions: Conditions,
    rules: MatchingRules,
    initial_cash: float,
    finer: Bars | None = None,
) -> Walked:
    """Trade the signals through `advance` and `decide`, one bar after another."""
    return Walked(
        *_walk(
            bars.open,
            bars.high,
            bars.low,
            bars.close,
            *signals,
            conditions,
            finer_prices(bars, finer),
            open_account(initial_cash),
            rules,
        )
    )


@njit(cache=True, nogil=True)
def _walk(
    open_: PerBar,
    high: PerBar,
    low: PerBar,
    close: PerBar,
    direction: PerBarDirection,
    score: PerBar,
    conditions: Conditions,
    finer: FinerPrices,
    state: AccountState,
    rules: MatchingRules,
) -> tuple[PerBar, PerBar, npt.NDArray[Any], int, float, int, int]:
    bars = len(close)
    equity, position = np.empty(bars), np.empty(bars)
    fills, count = np.empty(_FIRST_ROOM, FILL), 0
    ambiguous = resolved = 0
    for t in range(bars):
        bar = (t, open_[t], high[t], low[t], close[t])
        due = (conditions.funding_due[t], conditions.borrow_due[t])
        after, events = advance(state, *bar, *due, False, rules)
        if events.is_ambiguous:
            side = 1 if events.exit_inside.quantity < 0.0 else -1
            found = first_touched(finer, t, side, events.levels.stop, events.levels.target)
            if found == TARGET_FIRST:
                after, events = advance(state, *bar, *due, True, rules)
            ambiguous += 1 if found == UNDECIDED else 0
            resolved += 1 if found in (TARGET_FIRST, STOP_FIRST) else 0
        state = after
        if count + 3 > len(fills):
            fills = np.concatenate((fills, np.empty(len(fills), FILL)))
        if events.exit_open.quantity != 0.0:
            count = record_fill(fills, count, t, True, events.exit_open)
        if events.entry_open.quantity != 0.0:
            count = record_fill(fills, count, t, True, events.entry_open)
        if events.exit_inside.quantity != 0.0:
            count = record_fill(fills, count, t, False, events.exit_inside)
        equity[t], position[t] = state.equity, state.quantity
        known = Known(
            close[t], conditions.atr[t], conditions.volatility[t], conditions.mean_volume[t]
        )
        state = decide(state, direction[t], score[t], known, rules)
    kept = fills[:count].copy()
    return equity, position, kept, state.refused_entries, state.financing, ambiguous, resolved


@njit(cache=True, nogil=True)
def record_fill(
    fills: npt.NDArray[Any], count: int, bar: int, is_at_open: bool, fill: FillEvent
) -> int:
    """Write one fill at row `count` and return the next."""
    row = fills[count]
    row.bar, row.is_at_open = bar, is_at_open
    row.quantity, row.price, row.fee, row.reason = fill.quantity, fill.price, fill.fee, fill.reason
    row.financing = fill.financing
    return count + 1
