"""Bars in which nothing can happen: how far they reach, and how they are passed."""

from __future__ import annotations

import math

import numpy as np

from crypto_bot.core.arrays import PerBarTime
from crypto_bot.engine.rules import MatchingRules
from crypto_bot.orders.levels import Places, Rows, Table, inner_njit, is_beyond, level_of, way_of
from crypto_bot.orders.records import (
    BORROW,
    CASH,
    CLOSE,
    EQUITY,
    FINANCING,
    FUNDING,
    HIGH,
    LOW,
    NEVER_NS,
    OPEN,
    POSITION,
    OrderKind,
    OrderStatus,
)
from crypto_bot.orders.venue import liquidation_level

_MARKET = int(OrderKind.MARKET)
_TRAILING = int(OrderKind.TRAILING)
_WORKING = int(OrderStatus.WORKING)


@inner_njit
def follow(account: Rows, orders: Rows, working: Places, market: Table, at: int) -> None:
    """Let trailing stops hang on this bar's best price, from the next bar on."""
    bar, row = account[0].bar, market[at]
    for place in range(account[0].open_orders):
        order = orders[working[place]]
        if order.status != _WORKING or order.kind != _TRAILING or order.active_bar > bar:
            continue
        best = row[HIGH] if order.side < 0 else row[LOW]
        is_new = order.active_bar == bar and order.active_price > 0.0
        if is_new and (order.active_price - row[OPEN]) * order.side > 0.0:
            # The best price may have come before the order was active: only the close is sure.
            best = row[CLOSE]
        if (best - order.best_price) * order.side < 0.0:
            order.best_price = best


@inner_njit
def pass_quietly(
    account: Rows, orders: Rows, working: Places, curve: Table, market: Table, begin: int, end: int
) -> None:
    """Carry the account through rows in which nothing happens, as `match_orders` would."""
    me = account[0]
    cash, held, paid = me.cash + 0.0, me.quantity + 0.0, me.financing + 0.0
    for at in range(begin, end):
        curve[EQUITY, at], curve[POSITION, at] = cash + held * market[at, CLOSE], held
        curve[CASH, at], curve[FINANCING, at] = cash, paid
    me.bar += end - begin
    me.equity = cash + held * market[end - 1, CLOSE]
    for place in range(me.open_orders):
        order = orders[working[place]]
        if order.status == _WORKING and order.kind == _TRAILING:
            # One placed in these rows hangs on what comes after.
            since = max(begin, order.active_bar - (me.bar + 1 - end))
            order.best_price = _best(order.best_price, order.side, market, since, end)


@inner_njit
def _best(best: float, side: int, market: Table, begin: int, end: int) -> float:
    """What a trailing stop on this side hangs on after these rows."""
    for at in range(begin, end):
        best = max(best, market[at, HIGH]) if side < 0 else min(best, market[at, LOW])
    return best


@inner_njit
def quiet_until(
    account: Rows,
    orders: Rows,
    working: Places,
    market: Table,
    close_time: PerBarTime,
    rules: MatchingRules,
    first: int,
    horizon: int,
) -> int:
    """The first bar after the last one matched in which something might happen."""
    me = account[0]
    begin: int = me.bar + 1 - first
    if me.open_orders == 0 and me.quantity == 0.0:
        return len(market) + first
    end = min(len(market), begin + horizon)
    below, above, last_ns = 0.0, math.inf, NEVER_NS
    has_trailing = False
    for place in range(me.open_orders):
        order = orders[working[place]]
        last_ns = min(last_ns, order.good_till_ns)
        end = min(end, max(order.good_till_bar + 1 - first, begin))
        if order.status != _WORKING:
            continue
        if order.kind == _MARKET:
            return begin + first
        if order.kind == _TRAILING:
            has_trailing = True
        elif way_of(order) < 0:
            below = max(below, level_of(order))
        else:
            above = min(above, level_of(order))
    level, way = liquidation_level(account, rules)
    if way < 0:
        below = max(below, level)
    elif way > 0:
        above = min(above, level)
    end = _until_touched(market, begin, end, below, above)
    if me.quantity != 0.0:
        end = _until_due(me.cash, me.quantity, market, begin, end)
    if last_ns < NEVER_NS:
        later = int(np.searchsorted(close_time, last_ns, "right"))
        end = min(end, max(begin, later))
    if has_trailing:
        end = _before_trailing(account, orders, working, market, begin, end)
    return end + first


@inner_njit
def _until_touched(market: Table, begin: int, end: int, below: float, above: float) -> int:
    """The first row whose low or high reaches the nearest levels."""
    for at in range(begin, end):
        if market[at, LOW] <= below or market[at, HIGH] >= above:
            return at
    return end


@inner_njit
def _until_due(cash: float, held: float, market: Table, begin: int, end: int) -> int:
    """The first row in which what is held pays financing or leaves no equity."""
    borrows = held < 0.0 or cash < 0.0
    for at in range(begin, end):
        is_due = market[at, FUNDING] != 0.0 or (borrows and market[at, BORROW] != 0.0)
        if is_due or cash + held * market[at, CLOSE] <= 0.0:
            return at
    return end


@inner_njit
def _before_trailing(
    account: Rows, orders: Rows, working: Places, market: Table, begin: int, end: int
) -> int:
    """The first row in which a trailing stop might be touched."""
    for place in range(account[0].open_orders):
        order = orders[working[place]]
        if order.status != _WORKING or order.kind != _TRAILING:
            continue
        best, side = order.best_price, order.side
        for at in range(begin, end):
            low, high = market[at, LOW], market[at, HIGH]
            level = best + side * order.trail_distance
            if order.trail_frac > 0.0:
                level = best * (1.0 + side * order.trail_frac)
            if is_beyond(low if side < 0 else high, level, side):
                end = at
                break
            best = max(best, high) if side < 0 else min(best, low)
    return end
