"""The one compiled step: what a closed bar does to every order and to the account.

`match_orders` is a bar; `carry` runs it over bars and says how long nothing can happen after them.
Backtest and live stepping call `carry` alone.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit
from numba.np.unsafe.ndarray import to_fixed_tuple

from crypto_bot.core.arrays import PerBar, PerBarTime
from crypto_bot.core.orders import ExitReason
from crypto_bot.engine.financing import financing, liquidation_price
from crypto_bot.engine.finer import FinerPrices
from crypto_bot.engine.rules import Known, MatchingRules
from crypto_bot.orders.fills import (
    Row,
    Rows,
    acts_as_stop,
    end_order,
    fill_order,
    inner,
    is_beyond,
    level_of,
    must_be_passed,
    way_of,
)
from crypto_bot.orders.records import (
    ATR,
    BORROW,
    CASH,
    CLOSE,
    EQUITY,
    FINANCING,
    FUNDING,
    HIGH,
    LOW,
    NEVER_BAR,
    NEVER_NS,
    OPEN,
    POSITION,
    VOLATILITY,
    VOLUME,
    OrderKind,
    OrderStatus,
    SizeBy,
    Why,
)

_FIELDS = len(MatchingRules._fields)
_MARKET, _LIMIT = int(OrderKind.MARKET), int(OrderKind.LIMIT)
_STOP_LIMIT, _TRAILING = int(OrderKind.STOP_LIMIT), int(OrderKind.TRAILING)
_LIQUIDATION = int(OrderKind.LIQUIDATION)
_WAITING, _WORKING = int(OrderStatus.WAITING), int(OrderStatus.WORKING)
_CANCELLED, _EXPIRED = int(OrderStatus.CANCELLED), int(OrderStatus.EXPIRED)
_HELD = int(SizeBy.HELD)
_TIME_IS_UP, _RUINED = int(Why.TIME_IS_UP), int(Why.RUINED)
_STOP_REASON, _LIQUIDATED = int(ExitReason.STOP), int(ExitReason.LIQUIDATION)
_NONE, _THE_VENUE = -1, -2

Table = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


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
    for bar in range(account[0].bar + 1, last + 1):
        match_orders(
            account, orders, working, fills, curve, market, close_time, finer, rules, bar - first
        )
    return _quiet_until(account, orders, working, market, close_time, rules, first, horizon)


@inner
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
        _pay(account, market, at)
        _expire(account, orders, working, close_time[at])
        if me.open_orders > 0 or rules.maintenance_margin_frac > 0.0:
            _at_open(account, orders, working, fills, market[at, OPEN], known, rules)
            _inside(account, orders, working, fills, market, finer, at, known, rules)
        _follow(account, orders, working, market, at)
    me.equity = me.cash + me.quantity * market[at, CLOSE]
    if me.equity <= 0.0 and not me.is_ruined:
        _ruin(account, orders, working)
    _forget_ended(account, orders, working)
    curve[EQUITY, at], curve[POSITION, at] = me.equity, me.quantity
    curve[CASH, at], curve[FINANCING, at] = me.cash, me.financing


@inner
def _pay(account: Rows, market: Table, at: int) -> None:
    me = account[0]
    if me.quantity == 0.0:
        return
    row = market[at]
    paid = financing(me.quantity, me.cash, row[OPEN], row[FUNDING], row[BORROW])
    me.cash -= paid
    me.financing += paid
    me.owed += paid


@inner
def _expire(account: Rows, orders: Rows, working: Places, closes_ns: int) -> None:
    for place in range(account[0].open_orders):
        order = orders[working[place]]
        if order.status in (_WAITING, _WORKING) and (
            account[0].bar > order.good_till_bar or closes_ns > order.good_till_ns
        ):
            end_order(account, orders, working, order.order_id, _EXPIRED, _TIME_IS_UP)


@inner
def _at_open(
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


@inner
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
        if found == _NONE:
            return
        if found == _THE_VENUE:
            found = _liquidation_order(account, orders, working)
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


@inner
def _next_at_open(
    account: Rows,
    orders: Rows,
    working: Places,
    open_: float,
    only_closing: bool,
    rules: MatchingRules,
) -> int:
    """Row of the order to fill next, _THE_VENUE for a liquidation, _NONE."""
    me = account[0]
    chosen, chosen_stops, reach = _NONE, False, 0.0
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
        is_first = chosen == _NONE or (stops and not chosen_stops)
        if is_first or (stops == chosen_stops and gap > reach):
            chosen, chosen_stops, reach = order.order_id, stops, gap
    level, way = _liquidation_level(account, rules)
    is_carried = me.last_entry_bar < me.bar
    is_hit = way != 0 and is_carried and only_closing and is_beyond(open_, level, way)
    if is_hit and (chosen == _NONE or not chosen_stops or abs(open_ - level) > reach):
        return _THE_VENUE
    return chosen


@inner
def _liquidation_level(account: Rows, rules: MatchingRules) -> tuple[float, int]:
    """Price of a liquidation and the way the price moves to it; way 0 where none can be."""
    me = account[0]
    if rules.maintenance_margin_frac <= 0.0 or me.quantity == 0.0:
        return 0.0, 0
    level = liquidation_price(me.cash, me.quantity, rules.maintenance_margin_frac)
    return level, -1 if me.quantity > 0.0 else 1


@inner
def _liquidation_order(account: Rows, orders: Rows, working: Places) -> int:
    """The venue's own order; it is in the log like any other."""
    side = -1 if account[0].quantity > 0.0 else 1
    return _add_order(account, orders, working, _LIQUIDATION, side, _LIQUIDATED)


@inner
def _add_order(
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


@inner
def _inside(
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
            if found == _NONE:
                break
            _count_doubt(
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


@inner
def _can_fill_inside(
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
    since = order.active_price
    if is_beyond(since, level, way):
        return True
    if not is_whole:
        is_earlier: bool = order.active_part < part
        return is_earlier
    return must_be_passed(level, way, since, row[OPEN], row[CLOSE])


@inner
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
    chosen, is_chosen_with, is_chosen_limit, nearest = _NONE, False, False, math.inf
    for place in range(me.open_orders):
        order = orders[working[place]]
        if not _can_fill_inside(order, me.bar, row, high, low, part, is_whole):
            continue
        way = way_of(order)
        away = (level_of(order) - row[OPEN]) * way
        is_with, is_limit = way * held > 0.0, not acts_as_stop(order)
        is_first = chosen == _NONE or (is_chosen_with and not is_with)
        is_nearer = away < nearest or (away == nearest and is_chosen_limit and not is_limit)
        if is_first or (is_with == is_chosen_with and is_nearer):
            chosen, is_chosen_with, is_chosen_limit = order.order_id, is_with, is_limit
            nearest = away
    level, way = _liquidation_level(account, rules)
    is_hit = way != 0 and is_beyond(low if way < 0 else high, level, way)
    if is_hit and (chosen == _NONE or is_chosen_with or (level - row[OPEN]) * way < nearest):
        return _THE_VENUE
    return chosen


@inner
def _is_surely_hit(order: Row, bar: int, row: PerBar, part: int, is_whole: bool) -> bool:
    """Whether a touched stop was touched after it became active, not perhaps before."""
    if order.active_bar < bar or not order.active_price > 0.0:
        return True
    level, way, since = level_of(order), way_of(order), order.active_price
    if order.active_part < 0 or is_beyond(since, level, way):
        return True
    if not is_whole:
        is_earlier: bool = order.active_part < part
        return is_earlier
    return must_be_passed(level, way, since, row[OPEN], row[CLOSE])


@inner
def _count_doubt(
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
    stops = found == _THE_VENUE
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
        if _can_fill_inside(other, me.bar, row, high, low, part, is_whole):
            me.ambiguous_exits += 1
            return
        if not is_whole and _can_fill_inside(other, me.bar, row, row[HIGH], row[LOW], part, True):
            me.resolved_exits += 1
            return
    level, way = _liquidation_level(account, rules)
    if not (is_whole or stops or way == 0) and is_beyond(
        row[LOW] if way < 0 else row[HIGH], level, way
    ):
        me.resolved_exits += 1


@inner
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
    if found == _THE_VENUE:
        level, way = _liquidation_level(account, rules)
        if me.last_entry_bar == me.bar:
            level = _no_better(level, me.last_entry_market, way)
        found = _liquidation_order(account, orders, working)
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


@inner
def _no_better(level: float, traded: float, way: int) -> float:
    """The level, or the price traded where that was already beyond it."""
    return traded if is_beyond(traded, level, way) else level


@inner
def _follow(account: Rows, orders: Rows, working: Places, market: Table, at: int) -> None:
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


@inner
def _ruin(account: Rows, orders: Rows, working: Places) -> None:
    """Equity is gone: every order is cancelled, what is held is closed at the next open."""
    me = account[0]
    me.is_ruined = True
    for place in range(me.open_orders):
        order = orders[working[place]]
        if order.status in (_WAITING, _WORKING):
            end_order(account, orders, working, order.order_id, _CANCELLED, _RUINED)
    if me.quantity != 0.0:
        _add_order(account, orders, working, _MARKET, 0, _STOP_REASON)


@inner
def _forget_ended(account: Rows, orders: Rows, working: Places) -> None:
    """Keep only open orders in `working`, in their order."""
    me, kept = account[0], 0
    for place in range(me.open_orders):
        row = working[place]
        if orders[row].status in (_WAITING, _WORKING):
            working[kept] = row
            kept += 1
    me.open_orders = kept


@inner
def _quiet_until(
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
    below, above, last_bar, last_ns = 0.0, math.inf, NEVER_BAR, NEVER_NS
    has_trailing = False
    for place in range(me.open_orders):
        order = orders[working[place]]
        last_bar, last_ns = min(last_bar, order.good_till_bar), min(last_ns, order.good_till_ns)
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
    level, way = _liquidation_level(account, rules)
    if way < 0:
        below = max(below, level)
    elif way > 0:
        above = min(above, level)
    is_held, borrows = me.quantity != 0.0, me.quantity < 0.0 or me.cash < 0.0
    for at in range(begin, end):
        row = market[at]
        is_due = row[FUNDING] != 0.0 or (borrows and row[BORROW] != 0.0)
        if (
            row[LOW] <= below
            or row[HIGH] >= above
            or (is_held and is_due)
            or at + first > last_bar
            or close_time[at] > last_ns
            or (is_held and me.cash + me.quantity * row[CLOSE] <= 0.0)
        ):
            end = at
            break
    if has_trailing:
        return _before_trailing(account, orders, working, market, begin, end) + first
    return end + first


@inner
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
