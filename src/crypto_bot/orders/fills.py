"""One order against one price: where it acts, how much is traded, what that does to the account."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numpy.typing as npt
from numba import njit

from crypto_bot.core.orders import ExitReason
from crypto_bot.engine.account import is_known, market_slippage
from crypto_bot.engine.rules import RISK, Known, MatchingRules
from crypto_bot.engine.sizing import affordable_quantity, kelly_fraction, sized_quantity
from crypto_bot.orders.records import (
    DISTANCE_AWAY,
    FRACTION_AWAY,
    OrderKind,
    OrderStatus,
    SizeBy,
    Why,
)

_SIGNAL, _REVERSE = int(ExitReason.SIGNAL), int(ExitReason.REVERSE)
_LIMIT, _STOP_LIMIT = int(OrderKind.LIMIT), int(OrderKind.STOP_LIMIT)
_MARKET, _TRAILING = int(OrderKind.MARKET), int(OrderKind.TRAILING)
_LIQUIDATION = int(OrderKind.LIQUIDATION)
_WAITING, _WORKING = int(OrderStatus.WAITING), int(OrderStatus.WORKING)
_FILLED, _CANCELLED = int(OrderStatus.FILLED), int(OrderStatus.CANCELLED)
_REJECTED = int(OrderStatus.REJECTED)
_QUANTITY, _QUOTE, _FRACTION = int(SizeBy.QUANTITY), int(SizeBy.QUOTE), int(SizeBy.FRACTION)
_HELD = int(SizeBy.HELD)
_NOTHING, _OTHER_FILLED = int(Why.NOTHING), int(Why.OTHER_FILLED)
_POSITION_CLOSED, _ENTRY_ENDED = int(Why.POSITION_CLOSED), int(Why.ENTRY_ENDED)
_NO_EQUITY, _SMALL = int(Why.INSUFFICIENT_EQUITY), int(Why.BELOW_MINIMUM_QUANTITY)
_CHEAP, _NO_SHORT = int(Why.BELOW_MINIMUM_NOTIONAL), int(Why.SHORT_NOT_ALLOWED)
_NOTHING_HELD, _RUINED = int(Why.NOTHING_TO_REDUCE), int(Why.RUINED)
_LIQUIDATED, _UNKNOWN = int(Why.LIQUIDATED), int(Why.NOT_KNOWN_YET)
_DUST = 1e-12
_ROUNDING = 1e-9

Rows: TypeAlias = npt.NDArray[Any]
"""ACCOUNT, ORDER or ORDER_FILL (rows,)"""
Row: TypeAlias = Any
"""One row of them, a view"""

_COMPILED_ONLY: dict[str, Any] = {
    "nogil": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
_Function = TypeVar("_Function", bound=Callable[..., Any])


def inner(function: _Function) -> _Function:
    """Compile what compiled code alone calls: a door for Python would cost half the compiling."""
    compiled: _Function = njit(**_COMPILED_ONLY)(function)
    return compiled


@inner
def acts_as_stop(order: Row) -> bool:
    """Whether it waits for a worse price (stop, trailing, untriggered stop-limit), not a better."""
    is_limit = order.kind == _LIMIT or (order.kind == _STOP_LIMIT and order.is_triggered)
    return not is_limit


@inner
def level_of(order: Row) -> float:
    """The price a resting order waits for."""
    level: float = order.stop_price
    if not acts_as_stop(order):
        level = order.limit_price
    elif order.kind == _TRAILING and order.trail_frac > 0.0:
        level = order.best_price * (1.0 + order.side * order.trail_frac)
    elif order.kind == _TRAILING:
        level = order.best_price + order.side * order.trail_distance
    return level


@inner
def way_of(order: Row) -> int:
    """-1 where a falling price reaches its level (buy limit, sell stop), +1 where a rising does."""
    side: int = order.side
    return side if acts_as_stop(order) else -side


@inner
def is_beyond(price: float, level: float, way: int) -> bool:
    """Whether a price moving this way has reached the level."""
    return (price - level) * way >= 0.0


@inner
def must_be_passed(level: float, way: int, since: float, open_: float, close: float) -> bool:
    """Whether a level the bar touched was surely touched after the price `since` was first traded.

    Moving from the open to `since` against the level's side comes before anything beyond
    `since`; else only a close beyond the level proves it.
    """
    return (since - open_) * way >= 0.0 or is_beyond(close, level, way)


@njit(cache=True, nogil=True)
def end_order(account: Rows, orders: Rows, working: Rows, row: int, status: int, why: int) -> None:
    """Finish an order; what protects an entry that never filled ends with it."""
    order = orders[row]
    order.status, order.why, order.ended_bar = status, why, account[0].bar
    if status != _FILLED:
        end_waiting(account, orders, working, row)


@inner
def end_waiting(account: Rows, orders: Rows, working: Rows, row: int) -> None:
    """Cancel what waits to protect an entry that opened nothing."""
    for place in range(account[0].open_orders):
        other = orders[working[place]]
        if other.status == _WAITING and other.entry_id == row:
            other.status, other.why = _CANCELLED, _ENTRY_ENDED
            other.ended_bar = account[0].bar


@inner
def cancel_others(
    account: Rows, orders: Rows, working: Rows, row: int, closed_side: int, why: int
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


@inner
def protect_entry(
    account: Rows,
    orders: Rows,
    working: Rows,
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


@inner
def stop_distance(orders: Rows, working: Rows, account: Rows, row: int, price: float) -> float:
    """From the price to the nearest stop of this entry, else to its trailing stop."""
    nearest = trailing = math.inf
    for place in range(account[0].open_orders):
        order = orders[working[place]]
        if order.status != _WAITING or order.entry_id != row or order.kind == _LIMIT:
            continue
        if order.kind == _TRAILING:
            away = price * order.trail_frac if order.trail_frac > 0.0 else order.trail_distance
            trailing = min(trailing, away)
            continue
        if order.hang_by == FRACTION_AWAY:
            distance = price * order.hang
        elif order.hang_by == DISTANCE_AWAY:
            distance = order.hang
        else:
            distance = abs(price - order.stop_price)
        nearest = min(nearest, distance)
    return nearest if nearest < math.inf else trailing


@inner
def room_for(equity: float, held: float, price: float, rules: MatchingRules) -> float:
    """Base quantity that may still be added to what is held, fee included."""
    if held == 0.0:
        affordable: float = affordable_quantity(equity, price, rules)
        return affordable
    room = rules.leverage * equity - held * price
    return max(room / (price * (1.0 + rules.leverage * rules.taker_fee_frac)), 0.0)


@inner
def wanted_quantity(
    account: Rows,
    orders: Rows,
    working: Rows,
    row: int,
    side: int,
    price: float,
    known: Known,
    rules: MatchingRules,
) -> float:
    """Base quantity an order asks for at this price, before what is held is looked at."""
    order, me = orders[row], account[0]
    wanted: float = order.size + 0.0
    if order.size_by == _QUANTITY:
        return wanted
    if order.size_by == _QUOTE:
        return wanted / price
    if order.size_by == _HELD:
        return wanted * abs(float(me.quantity))
    equity: float = me.cash + me.quantity * price
    held: float = abs(me.quantity) if me.quantity * side > 0.0 else 0.0
    if order.size_by == _FRACTION:
        wanted *= affordable_quantity(equity, price, rules)
    elif rules.method == RISK:
        wanted = rules.risk_frac * equity / stop_distance(orders, working, account, row, price)
        wanted = min(wanted, affordable_quantity(equity, price, rules))
        if rules.quantity_step > 0.0:
            wanted = math.floor(wanted / rules.quantity_step) * rules.quantity_step
    else:
        kelly = kelly_fraction(me.trades, me.wins, me.win_sum, me.loss_sum, rules)
        wanted = sized_quantity(equity, price, known.atr, known.volatility, kelly, math.inf, rules)
    if held != 0.0:
        wanted = min(wanted, room_for(equity, held, price, rules))
    # A share of what is lost already is nothing.
    return 0.0 if wanted < 0.0 else wanted


@inner
def floor_to_step(quantity: float, step: float) -> float:
    """The largest multiple of the step not above the quantity; a hair below one counts as it."""
    if step <= 0.0:
        return quantity
    return math.floor(quantity / step + _ROUNDING) * step


@inner
def refusal_of(
    account: Rows,
    opening: float,
    wanted: float,
    side: int,
    price: float,
    known: Known,
    rules: MatchingRules,
) -> int:
    """Why the opening part of an order is refused; 0 where it is not."""
    me = account[0]
    equity = me.cash + me.quantity * price
    held = abs(me.quantity) if me.quantity * side > 0.0 else 0.0
    if me.is_ruined:
        return _RUINED
    if side < 0 and not rules.allow_short:
        return _NO_SHORT
    if not is_known(known, rules):
        return _UNKNOWN
    if equity <= 0.0 or opening > room_for(equity, held, price, rules) * (1.0 + _ROUNDING):
        return _NO_EQUITY
    if not wanted > 0.0 or wanted < rules.minimum_quantity:
        return _SMALL
    if wanted * price < rules.minimum_notional_quote:
        return _CHEAP
    return _NOTHING


@inner
def write_fill(
    account: Rows,
    fills: Rows,
    row: int,
    quantity: float,
    price: float,
    fee: float,
    reason: int,
    is_at_open: bool,
) -> None:
    """Note a fill; an exit tells the financing paid since the last one."""
    me, fill = account[0], fills[account[0].fills]
    fill.bar, fill.is_at_open, fill.order_id = me.bar, is_at_open, row
    fill.quantity, fill.price, fill.fee, fill.reason = quantity, price, fee, reason
    fill.financing = me.owed if reason != 0 else 0.0
    if reason != 0:
        me.trip_financing += me.owed
        me.owed = 0.0
    me.fees += fee
    me.trip_fees += fee
    me.fills += 1


@inner
def reduce_position(
    account: Rows, fills: Rows, row: int, size: float, price: float, fee_frac: float,
    reason: int, is_at_open: bool,
) -> None:  # fmt: skip
    """Close `size` of what is held; the average entry price stays."""
    me = account[0]
    closed = math.copysign(size, me.quantity)
    fee = size * price * fee_frac
    gained = (price - me.entry_price) * closed
    me.cash += closed * price - fee
    me.quantity = 0.0 if size == abs(me.quantity) else me.quantity - closed
    me.realised += gained
    me.trip_realised += gained
    write_fill(account, fills, row, -closed, price, fee, reason, is_at_open)
    if me.quantity != 0.0:
        return
    profit = me.trip_realised - me.trip_fees - me.trip_financing
    share = profit / (me.trip_largest * me.entry_price)
    me.trades += 1
    me.wins += 1 if profit > 0.0 else 0
    me.win_sum += max(share, 0.0)
    me.loss_sum += max(-share, 0.0)
    me.trip_largest = me.trip_realised = me.trip_fees = me.trip_financing = 0.0


@inner
def open_position(
    account: Rows, fills: Rows, row: int, opened: float, price: float, market: float,
    fee_frac: float, is_at_open: bool,
) -> None:  # fmt: skip
    """Add `opened`, signed, to what is held at an average price."""
    me = account[0]
    fee = abs(opened) * price * fee_frac
    if me.quantity == 0.0:
        me.entry_price, me.entry_bar, me.quantity = price, me.bar, opened
    else:
        whole = me.quantity + opened
        me.entry_price = (me.entry_price * me.quantity + price * opened) / whole
        me.quantity = whole
    me.cash -= opened * price + fee
    me.last_entry_bar, me.last_entry_market = me.bar, market
    me.trip_largest = max(me.trip_largest, abs(me.quantity))
    write_fill(account, fills, row, opened, price, fee, 0, is_at_open)


@inner
def priced_quantity(
    account: Rows, orders: Rows, working: Rows, row: int, side: int, market: float,
    slips: bool, known: Known, rules: MatchingRules,
) -> tuple[float, float]:  # fmt: skip
    """Quantity asked for and price of the fill; slippage may depend on the quantity."""
    price = market
    if slips:
        price = market * (1.0 + side * market_slippage(0.0, known, rules))
    wanted = wanted_quantity(account, orders, working, row, side, price, known, rules)
    if slips and rules.slippage_volume_mult > 0.0:
        # The impact of the size first wanted; at the worse price it may be a little less.
        price = market * (1.0 + side * market_slippage(wanted, known, rules))
        wanted = wanted_quantity(account, orders, working, row, side, price, known, rules)
    return wanted, price


@inner
def fill_order(
    account: Rows,
    orders: Rows,
    working: Rows,
    fills: Rows,
    row: int,
    market: float,
    slips: bool,
    is_taker: bool,
    is_at_open: bool,
    part: int,
    known: Known,
    rules: MatchingRules,
) -> None:
    """Fill or refuse an order at this market price: first what it closes, then what it opens.

    market : quoted price; `slips` makes a market or stop order's fill worse. part : the finer bar
    it happens in, -1 at the open.
    """
    order, me = orders[row], account[0]
    held = me.quantity
    side = order.side + 0
    if side == 0:
        side = -1 if held > 0.0 else 1
    fee_frac = rules.taker_fee_frac if is_taker else rules.maker_fee_frac
    wanted, price = priced_quantity(
        account, orders, working, row, side, market, slips, known, rules
    )
    reducing = 0.0
    if held * side < 0.0:
        if wanted >= abs(held) * (1.0 - _DUST):
            reducing = abs(held)
        else:
            reducing = floor_to_step(wanted, rules.quantity_step)
    if order.reduce_only and reducing == 0.0:
        why = _NOTHING_HELD if held * side >= 0.0 else _SMALL
        me.refused += 1
        end_order(account, orders, working, row, _REJECTED, why)
        return
    opening = 0.0 if order.reduce_only or 0.0 < reducing < abs(held) else wanted - reducing
    opening = max(opening, 0.0)
    if reducing == 0.0 or opening > _DUST * wanted:
        opening = floor_to_step(opening, rules.quantity_step)
    else:
        opening = 0.0
    reason = order.exit_reason + 0
    if reducing > 0.0:
        if opening > 0.0 and reason == _SIGNAL:
            reason = _REVERSE
        reduce_position(account, fills, row, reducing, price, fee_frac, reason, is_at_open)
    why = _NOTHING
    if opening > 0.0 or reducing == 0.0:
        why = refusal_of(account, opening, opening + reducing, side, price, known, rules)
        if why == _NOTHING:
            open_position(account, fills, row, side * opening, price, market, fee_frac, is_at_open)
        else:
            opening = 0.0
            me.refused += 1
    settle_order(account, orders, working, row, reducing, opening, price, fee_frac, why)
    if opening > 0.0:
        protect_entry(account, orders, working, row, opening, market, part)
    if reducing + opening > 0.0:
        ended = 0
        if held != 0.0 and me.quantity * held <= 0.0:
            ended = 1 if held > 0.0 else -1
        cause = _LIQUIDATED if order.kind == _LIQUIDATION else _NOTHING
        cancel_others(account, orders, working, row, ended, cause)


@inner
def settle_order(
    account: Rows, orders: Rows, working: Rows, row: int, reduced: float, opened: float,
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
