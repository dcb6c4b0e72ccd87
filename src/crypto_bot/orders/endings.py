"""How orders end, and what ends or begins with them."""

from __future__ import annotations

import math

from numba import njit

from crypto_bot.orders.levels import Places, Rows, inner_njit
from crypto_bot.orders.records import (
    DISTANCE_AWAY,
    FRACTION_AWAY,
    OrderKind,
    OrderStatus,
    SizeBy,
    Why,
)

_LIMIT = int(OrderKind.LIMIT)
_MARKET = int(OrderKind.MARKET)
_WAITING = int(OrderStatus.WAITING)
_WORKING = int(OrderStatus.WORKING)
_FILLED = int(OrderStatus.FILLED)
_CANCELLED = int(OrderStatus.CANCELLED)
_REJECTED = int(OrderStatus.REJECTED)
_QUANTITY = int(SizeBy.QUANTITY)
_OTHER_FILLED = int(Why.OTHER_FILLED)
_POSITION_CLOSED = int(Why.POSITION_CLOSED)
_ENTRY_ENDED = int(Why.ENTRY_ENDED)
_LIQUIDATED = int(Why.LIQUIDATED)


@njit(cache=True, nogil=True)
def end_order(
    account: Rows, orders: Rows, working: Places, row: int, status: int, why: int
) -> None:
    """Finish an order; what protects an entry that never filled ends with it."""
    order = orders[row]
    order.status, order.why, order.ended_bar = status, why, account[0].bar
    if status != _FILLED:
        end_waiting(account, orders, working, row)


@inner_njit
def end_waiting(account: Rows, orders: Rows, working: Places, row: int) -> None:
    """Cancel what waits to protect an entry that opened nothing."""
    for place in range(account[0].open_orders):
        other = orders[working[place]]
        if other.status == _WAITING and other.entry_id == row:
            other.status, other.why = _CANCELLED, _ENTRY_ENDED
            other.ended_bar = account[0].bar


@inner_njit
def cancel_others(
    account: Rows, orders: Rows, working: Places, row: int, closed_side: int, why: int
) -> None:
    """After a fill: the other of a pair, and what can only reduce the position just closed.

    closed_side : of the position that ended, 0 where none did.
    """
    pair = orders[row].pair_id
    for place in range(account[0].open_orders):
        other = orders[working[place]]
        if other.order_id == row or other.status not in (_WAITING, _WORKING):
            continue
        if why == _LIQUIDATED:
            end_order(account, orders, working, other.order_id, _CANCELLED, why)
        elif pair >= 0 and other.pair_id == pair:
            end_order(account, orders, working, other.order_id, _CANCELLED, _OTHER_FILLED)
        elif (
            closed_side != 0
            and other.status == _WORKING
            and other.reduce_only
            and other.kind != _MARKET
            and other.side == -closed_side
        ):
            end_order(account, orders, working, other.order_id, _CANCELLED, _POSITION_CLOSED)


@inner_njit
def protect_entry(
    account: Rows,
    orders: Rows,
    working: Places,
    row: int,
    opened: float,
    market: float,
    part: int,
) -> None:
    """Hang the stops and targets of an entry on the price it was really filled at."""
    price = orders[row].price
    for place in range(account[0].open_orders):
        order = orders[working[place]]
        if order.status != _WAITING or order.entry_id != row:
            continue
        order.status, order.size, order.size_by = _WORKING, opened, _QUANTITY
        order.active_bar, order.active_part = account[0].bar, part
        order.active_price, order.best_price = market, price
        # A stop lies on its order's side of the fill, a target on the other.
        away = -order.side if order.kind == _LIMIT else order.side
        level = math.nan
        if order.hang_by == FRACTION_AWAY:
            level = price * (1.0 + away * order.hang)
        elif order.hang_by == DISTANCE_AWAY:
            level = price + away * order.hang
        if order.hang_by != 0 and order.kind == _LIMIT:
            order.limit_price = level
        elif order.hang_by != 0:
            order.stop_price = level


@inner_njit
def settle_order(
    account: Rows, orders: Rows, working: Places, row: int, reduced: float, opened: float,
    price: float, fee_frac: float, why: int,
) -> None:  # fmt: skip
    """Write into the order what became of it."""
    order = orders[row]
    quantity = reduced + opened
    if quantity == 0.0:
        end_order(account, orders, working, row, _REJECTED, why)
        return
    order.quantity, order.price = quantity, price
    order.fee = quantity * price * fee_frac
    end_order(account, orders, working, row, _FILLED, why)
    if opened == 0.0:
        end_waiting(account, orders, working, row)
