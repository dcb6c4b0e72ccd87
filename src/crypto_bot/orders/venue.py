"""What the venue does by itself: financing, expiry, liquidation, ruin."""

from __future__ import annotations

import math

from crypto_bot.core.orders import ExitReason
from crypto_bot.engine.financing import financing, liquidation_price
from crypto_bot.engine.rules import MatchingRules
from crypto_bot.orders.endings import end_order
from crypto_bot.orders.levels import Places, Rows, Table, inner_njit
from crypto_bot.orders.records import (
    BORROW,
    FUNDING,
    NEVER_BAR,
    NEVER_NS,
    OPEN,
    OrderKind,
    OrderStatus,
    SizeBy,
    Why,
)

_STOP_REASON = int(ExitReason.STOP)
_MARKET = int(OrderKind.MARKET)
_LIQUIDATION = int(OrderKind.LIQUIDATION)
_WAITING = int(OrderStatus.WAITING)
_WORKING = int(OrderStatus.WORKING)
_CANCELLED = int(OrderStatus.CANCELLED)
_EXPIRED = int(OrderStatus.EXPIRED)
_HELD = int(SizeBy.HELD)
_RUINED = int(Why.RUINED)
_TIME_IS_UP = int(Why.TIME_IS_UP)
_LIQUIDATED = int(ExitReason.LIQUIDATION)
NONE, THE_VENUE = -1, -2
"""In place of an order's row: no order, and a liquidation."""


@inner_njit
def pay_financing(account: Rows, market: Table, at: int) -> None:
    me = account[0]
    if me.quantity == 0.0:
        return
    row = market[at]
    paid = financing(me.quantity, me.cash, row[OPEN], row[FUNDING], row[BORROW])
    me.cash -= paid
    me.financing += paid
    me.owed += paid


@inner_njit
def expire(account: Rows, orders: Rows, working: Places, closes_ns: int) -> None:
    for place in range(account[0].open_orders):
        order = orders[working[place]]
        if order.status in (_WAITING, _WORKING) and (
            account[0].bar > order.good_till_bar or closes_ns > order.good_till_ns
        ):
            end_order(account, orders, working, order.order_id, _EXPIRED, _TIME_IS_UP)


@inner_njit
def liquidation_level(account: Rows, rules: MatchingRules) -> tuple[float, int]:
    """Price of a liquidation and the way the price moves to it; way 0 where none can be."""
    me = account[0]
    if rules.maintenance_margin_frac <= 0.0 or me.quantity == 0.0:
        return 0.0, 0
    level = liquidation_price(me.cash, me.quantity, rules.maintenance_margin_frac)
    return level, -1 if me.quantity > 0.0 else 1


@inner_njit
def liquidation_order(account: Rows, orders: Rows, working: Places) -> int:
    """The venue's own order; it is in the log like any other."""
    side = -1 if account[0].quantity > 0.0 else 1
    return add_order(account, orders, working, _LIQUIDATION, side, _LIQUIDATED)


@inner_njit
def add_order(
    account: Rows, orders: Rows, working: Places, kind: int, side: int, reason: int
) -> int:
    me = account[0]
    row: int = me.orders
    order = orders[row]
    order.order_id, order.kind, order.side, order.status = row, kind, side, _WORKING
    order.why, order.exit_reason, order.size_by, order.hang_by = 0, reason, _HELD, 0
    order.reduce_only, order.is_triggered, order.size = True, False, 1.0
    order.limit_price = order.stop_price = order.trail_frac = math.nan
    order.trail_distance = order.best_price = order.hang = order.price = math.nan
    order.entry_id = order.pair_id = -1
    order.created_bar, order.active_bar = me.bar, me.bar + (1 if kind == _MARKET else 0)
    order.good_till_bar, order.good_till_ns = NEVER_BAR, NEVER_NS
    order.active_part, order.active_price, order.ended_bar = -1, math.nan, -1
    order.quantity = order.fee = 0.0
    working[me.open_orders] = row
    me.orders += 1
    me.open_orders += 1
    return row


@inner_njit
def ruin(account: Rows, orders: Rows, working: Places) -> None:
    """Equity is gone: every order is cancelled, what is held is closed at the next open."""
    me = account[0]
    me.is_ruined = True
    for place in range(me.open_orders):
        order = orders[working[place]]
        if order.status in (_WAITING, _WORKING):
            end_order(account, orders, working, order.order_id, _CANCELLED, _RUINED)
    if me.quantity != 0.0:
        add_order(account, orders, working, _MARKET, 0, _STOP_REASON)
