"""What the open of a bar fills: market orders, and levels that it has passed."""

from __future__ import annotations

from crypto_bot.engine.rules import Known, MatchingRules
from crypto_bot.orders.fills import fill_order
from crypto_bot.orders.levels import (
    Places,
    Rows,
    acts_as_stop,
    inner_njit,
    is_beyond,
    level_of,
    way_of,
)
from crypto_bot.orders.records import OrderKind, OrderStatus
from crypto_bot.orders.venue import NONE, THE_VENUE, liquidation_level, liquidation_order

_STOP_LIMIT = int(OrderKind.STOP_LIMIT)
_MARKET = int(OrderKind.MARKET)
_WORKING = int(OrderStatus.WORKING)


@inner_njit
def match_at_open(
    account: Rows,
    orders: Rows,
    working: Places,
    fills: Rows,
    open_: float,
    known: Known,
    rules: MatchingRules,
) -> None:
    """Market orders that close; what the open has passed and closes; market entries; the rest."""
    bar = account[0].bar
    for is_entry in (False, True):
        for place in range(account[0].open_orders):
            order = orders[working[place]]
            if order.status != _WORKING or order.kind != _MARKET or order.active_bar > bar:
                continue
            closes = order.reduce_only or order.side * account[0].quantity < 0.0
            if is_entry or closes:
                row = order.order_id
                fill_order(
                    account, orders, working, fills, row, open_, True, True, True, -1, known, rules
                )
        if not is_entry:
            _passed_at_open(account, orders, working, fills, open_, True, known, rules)
    _passed_at_open(account, orders, working, fills, open_, False, known, rules)


@inner_njit
def _passed_at_open(
    account: Rows,
    orders: Rows,
    working: Places,
    fills: Rows,
    open_: float,
    only_closing: bool,
    known: Known,
    rules: MatchingRules,
) -> None:
    """Fill resting orders whose level the open has reached, the nearest to the last price first."""
    while True:
        found = _next_at_open(account, orders, working, open_, only_closing, rules)
        if found == NONE:
            return
        if found == THE_VENUE:
            found = liquidation_order(account, orders, working)
        order = orders[found]
        if order.kind == _STOP_LIMIT and not order.is_triggered:
            order.is_triggered = True
            order.active_bar, order.active_part = account[0].bar, -1
            order.active_price = open_
            if not is_beyond(open_, order.limit_price, -order.side):
                continue
        slips = acts_as_stop(order)
        is_taker = slips or order.active_bar == account[0].bar
        fill_order(
            account, orders, working, fills, found, open_, slips, is_taker, True, -1, known, rules
        )


@inner_njit
def _next_at_open(
    account: Rows,
    orders: Rows,
    working: Places,
    open_: float,
    only_closing: bool,
    rules: MatchingRules,
) -> int:
    """Row of the order to fill next, THE_VENUE for a liquidation, NONE."""
    me = account[0]
    chosen, chosen_stops, reach = NONE, False, 0.0
    for place in range(me.open_orders):
        order = orders[working[place]]
        if order.status != _WORKING or order.kind == _MARKET or order.active_bar > me.bar:
            continue
        if order.active_bar == me.bar and order.active_price > 0.0:
            continue
        if only_closing and order.side * me.quantity >= 0.0:
            continue
        level, way = level_of(order), way_of(order)
        if not is_beyond(open_, level, way):
            continue
        stops, gap = acts_as_stop(order), abs(open_ - level)
        is_first = chosen == NONE or (stops and not chosen_stops)
        if is_first or (stops == chosen_stops and gap > reach):
            chosen, chosen_stops, reach = order.order_id, stops, gap
    level, way = liquidation_level(account, rules)
    is_carried = me.last_entry_bar < me.bar
    is_hit = way != 0 and is_carried and only_closing and is_beyond(open_, level, way)
    if is_hit and (chosen == NONE or not chosen_stops or abs(open_ - level) > reach):
        return THE_VENUE
    return chosen
