"""What is touched inside a bar, finer bar by finer bar, and what then came first."""

from __future__ import annotations

import math

from crypto_bot.core.arrays import PerBar
from crypto_bot.engine.finer import FinerPrices
from crypto_bot.engine.rules import Known, MatchingRules
from crypto_bot.orders.fills import fill_order
from crypto_bot.orders.levels import (
    Places,
    Row,
    Rows,
    Table,
    acts_as_stop,
    inner_njit,
    is_beyond,
    level_of,
    must_be_passed,
    way_of,
)
from crypto_bot.orders.records import CLOSE, HIGH, LOW, OPEN, OrderKind, OrderStatus
from crypto_bot.orders.venue import NONE, THE_VENUE, liquidation_level, liquidation_order

_STOP_LIMIT = int(OrderKind.STOP_LIMIT)
_MARKET = int(OrderKind.MARKET)
_WORKING = int(OrderStatus.WORKING)


@inner_njit
def match_inside(
    account: Rows,
    orders: Rows,
    working: Places,
    fills: Rows,
    market: Table,
    finer: FinerPrices,
    at: int,
    known: Known,
    rules: MatchingRules,
) -> None:
    """What is touched inside the bar: finer bar by finer bar, then in the bar as a whole."""
    start, stop = finer.first[at], finer.first[at + 1]
    for part in range(start, stop + 1):
        is_whole = part == stop
        high = market[at, HIGH] if is_whole else finer.high[part]
        low = market[at, LOW] if is_whole else finer.low[part]
        while True:
            found = _next_inside(
                account, orders, working, market[at], high, low, part - start, is_whole, rules
            )
            if found == NONE:
                break
            count_doubt(
                account,
                orders,
                working,
                market[at],
                high,
                low,
                part - start,
                is_whole,
                found,
                rules,
            )
            _fill_inside(account, orders, working, fills, found, part - start, known, rules)


@inner_njit
def can_fill_inside(
    order: Row, bar: int, row: PerBar, high: float, low: float, part: int, is_whole: bool
) -> bool:
    """Whether a stretch with this high and low fills a resting order."""
    if order.status != _WORKING or order.kind == _MARKET or order.active_bar > bar:
        return False
    level, way = level_of(order), way_of(order)
    if not is_beyond(low if way < 0 else high, level, way):
        return False
    if acts_as_stop(order) or order.active_bar < bar or not order.active_price > 0.0:
        return True
    return _is_passed_since(order, row, part, is_whole)


@inner_njit
def _is_passed_since(order: Row, row: PerBar, part: int, is_whole: bool) -> bool:
    """Whether a level the stretch touched was surely touched after the order became active in it."""
    level, way, since = level_of(order), way_of(order), order.active_price
    if is_beyond(since, level, way):
        return True
    if not is_whole:
        is_earlier: bool = order.active_part < part
        return is_earlier
    return must_be_passed(level, way, since, row[OPEN], row[CLOSE])


@inner_njit
def _next_inside(
    account: Rows,
    orders: Rows,
    working: Places,
    row: PerBar,
    high: float,
    low: float,
    part: int,
    is_whole: bool,
    rules: MatchingRules,
) -> int:
    """Row of the order to fill next: against the position first, nearest the open first."""
    me = account[0]
    held = me.quantity
    chosen, is_chosen_with, is_chosen_limit, nearest = NONE, False, False, math.inf
    for place in range(me.open_orders):
        order = orders[working[place]]
        if not can_fill_inside(order, me.bar, row, high, low, part, is_whole):
            continue
        way = way_of(order)
        away = (level_of(order) - row[OPEN]) * way
        is_with, is_limit = way * held > 0.0, not acts_as_stop(order)
        is_first = chosen == NONE or (is_chosen_with and not is_with)
        is_nearer = away < nearest or (away == nearest and is_chosen_limit and not is_limit)
        if is_first or (is_with == is_chosen_with and is_nearer):
            chosen, is_chosen_with, is_chosen_limit = order.order_id, is_with, is_limit
            nearest = away
    level, way = liquidation_level(account, rules)
    is_hit = way != 0 and is_beyond(low if way < 0 else high, level, way)
    if is_hit and (chosen == NONE or is_chosen_with or (level - row[OPEN]) * way < nearest):
        return THE_VENUE
    return chosen


@inner_njit
def _fill_inside(
    account: Rows,
    orders: Rows,
    working: Places,
    fills: Rows,
    found: int,
    part: int,
    known: Known,
    rules: MatchingRules,
) -> None:
    """Fill at the level, or at the price traded when the order became active beyond it."""
    me = account[0]
    if found == THE_VENUE:
        level, way = liquidation_level(account, rules)
        if me.last_entry_bar == me.bar:
            level = _no_better(level, me.last_entry_market, way)
        found = liquidation_order(account, orders, working)
        fill_order(
            account, orders, working, fills, found, level, True, True, False, part, known, rules
        )
        return
    order = orders[found]
    level, way, slips = level_of(order), way_of(order), acts_as_stop(order)
    is_new = order.active_bar == me.bar and order.active_price > 0.0
    is_taker = slips
    if is_new and is_beyond(order.active_price, level, way):
        level, is_taker = order.active_price, True
    if order.kind == _STOP_LIMIT and not order.is_triggered:
        order.is_triggered = True
        order.active_bar, order.active_part, order.active_price = me.bar, part, level
        if not is_beyond(level, order.limit_price, -order.side):
            return
        slips = False
    fill_order(
        account, orders, working, fills, found, level, slips, is_taker, False, part, known, rules
    )


@inner_njit
def _no_better(level: float, traded: float, way: int) -> float:
    """The level, or the price traded where that was already beyond it."""
    return traded if is_beyond(traded, level, way) else level


@inner_njit
def _is_surely_hit(order: Row, bar: int, row: PerBar, part: int, is_whole: bool) -> bool:
    """Whether a touched stop was touched after it became active, not perhaps before."""
    if order.active_bar < bar or not order.active_price > 0.0:
        return True
    return order.active_part < 0 or _is_passed_since(order, row, part, is_whole)


@inner_njit
def count_doubt(
    account: Rows,
    orders: Rows,
    working: Places,
    row: PerBar,
    high: float,
    low: float,
    part: int,
    is_whole: bool,
    found: int,
    rules: MatchingRules,
) -> None:
    """Count an exit that hangs on the rule (the other kind of exit was touched too), or on finer bars.

    In doubt: stop and target touched in one stretch; a stop whose touch may have come before it
    was active.
    """
    me = account[0]
    stops = found == THE_VENUE
    if not stops:
        order = orders[found]
        if order.side * me.quantity >= 0.0:
            return
        stops = acts_as_stop(order)
        if stops and not _is_surely_hit(order, me.bar, row, part, is_whole):
            me.ambiguous_exits += 1
            return
    for place in range(me.open_orders):
        other = orders[working[place]]
        if other.order_id == found or other.side * me.quantity >= 0.0:
            continue
        if acts_as_stop(other) == stops:
            continue
        if can_fill_inside(other, me.bar, row, high, low, part, is_whole):
            me.ambiguous_exits += 1
            return
        if not is_whole and can_fill_inside(other, me.bar, row, row[HIGH], row[LOW], part, True):
            me.resolved_exits += 1
            return
    level, way = liquidation_level(account, rules)
    if not (is_whole or stops or way == 0) and is_beyond(
        row[LOW] if way < 0 else row[HIGH], level, way
    ):
        me.resolved_exits += 1
