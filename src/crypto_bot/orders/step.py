"""The one compiled step: what a closed bar does to every order and to the account.

`match_orders` is a bar; `carry` runs it over bars and says how long nothing can happen after them.
Backtest and live stepping call `carry` alone.
"""

from __future__ import annotations

from numba import njit
from numba.np.unsafe.ndarray import to_fixed_tuple

from crypto_bot.core.arrays import PerBar, PerBarTime
from crypto_bot.engine.finer import FinerPrices
from crypto_bot.engine.rules import Known, MatchingRules
from crypto_bot.orders.inside import match_inside
from crypto_bot.orders.levels import Places, Rows, Table, inner_njit
from crypto_bot.orders.opening import match_at_open
from crypto_bot.orders.quiet import follow, pass_quietly, quiet_until
from crypto_bot.orders.records import (
    ATR,
    CASH,
    CLOSE,
    EQUITY,
    FINANCING,
    OPEN,
    POSITION,
    VOLATILITY,
    VOLUME,
    OrderStatus,
)
from crypto_bot.orders.venue import expire, pay_financing, ruin

_WAITING = int(OrderStatus.WAITING)
_WORKING = int(OrderStatus.WORKING)
_FIELDS = len(MatchingRules._fields)


@njit(cache=True, nogil=True)
def carry(
    account: Rows,
    orders: Rows,
    working: Places,
    fills: Rows,
    curve: Table,
    market: Table,
    close_time: PerBarTime,
    finer: FinerPrices,
    values: PerBar,
    first: int,
    last: int,
    quiet: int,
    horizon: int,
) -> int:
    """Match every bar up to `last`, then look for the next bar in which anything can happen.

    Parameters
    ----------
    account, orders, working, fills : ACCOUNT (1,), ORDER (rows,), int64 (rows,), ORDER_FILL (rows,)
        changed in place; `working` holds the rows of waiting and working orders, oldest first
    curve : float64 (4, bars)         filled for the bars matched
    market : float64 (bars, 9)        `MARKET_COLUMNS`
    close_time : int64 (bars,)
    finer : FinerPrices
    values : float64 (fields,)        `MatchingRules`, as numbers
    first : int                       number of the bar in row 0 of the tables
    last : int                        number of the last bar to match
    quiet : int                       what the last call returned, or the first bar in which an
                                      order placed or changed since may act
    horizon : int                     bars to look ahead

    Returns
    -------
    int    a bar after `last`: until it, no order acts, no financing is due and nobody is ruined,
           if no order is placed or changed

    Notes
    -----
    Bars are numbered from the first of the run. The arrays must have room: two fills and one
    order for every order still open.
    """
    rules = MatchingRules(*to_fixed_tuple(values, _FIELDS))  # type: ignore[call-arg]
    begin, end = account[0].bar + 1 - first, min(quiet, last + 1) - first
    if end > begin:
        pass_quietly(account, orders, working, curve, market, begin, end)
    for bar in range(account[0].bar + 1, last + 1):
        match_orders(
            account, orders, working, fills, curve, market, close_time, finer, rules, bar - first
        )
    return quiet_until(account, orders, working, market, close_time, rules, first, horizon)


@inner_njit
def match_orders(
    account: Rows,
    orders: Rows,
    working: Places,
    fills: Rows,
    curve: Table,
    market: Table,
    close_time: PerBarTime,
    finer: FinerPrices,
    rules: MatchingRules,
    at: int,
) -> None:
    """One closed bar, row `at` of the tables: the rules of `crypto_bot.orders`, in their order."""
    me = account[0]
    me.bar += 1
    if me.open_orders > 0 or me.quantity != 0.0:
        before = market[max(at - 1, 0)]
        known = Known(before[CLOSE], before[ATR], before[VOLATILITY], before[VOLUME])
        pay_financing(account, market, at)
        expire(account, orders, working, close_time[at])
        if me.open_orders > 0 or rules.maintenance_margin_frac > 0.0:
            match_at_open(account, orders, working, fills, market[at, OPEN], known, rules)
            match_inside(account, orders, working, fills, market, finer, at, known, rules)
        follow(account, orders, working, market, at)
    me.equity = me.cash + me.quantity * market[at, CLOSE]
    if me.equity <= 0.0 and not me.is_ruined:
        ruin(account, orders, working)
    forget_ended(account, orders, working)
    curve[EQUITY, at], curve[POSITION, at] = me.equity, me.quantity
    curve[CASH, at], curve[FINANCING, at] = me.cash, me.financing


@inner_njit
def forget_ended(account: Rows, orders: Rows, working: Places) -> None:
    """Keep only open orders in `working`, in their order."""
    me, kept = account[0], 0
    for place in range(me.open_orders):
        row = working[place]
        if orders[row].status in (_WAITING, _WORKING):
            working[kept] = row
            kept += 1
    me.open_orders = kept
