"""One order filled at one price: first what it closes, then what it opens."""

from __future__ import annotations

import math

from crypto_bot.core.orders import ExitReason
from crypto_bot.engine.rules import Known, MatchingRules
from crypto_bot.orders.endings import cancel_others, end_order, protect_entry, settle_order
from crypto_bot.orders.levels import Places, Rows, inner_njit
from crypto_bot.orders.records import OrderKind, OrderStatus, Why
from crypto_bot.orders.sizes import floor_to_step, priced_quantity, refusal_of

_SIGNAL = int(ExitReason.SIGNAL)
_REVERSE = int(ExitReason.REVERSE)
_LIQUIDATION = int(OrderKind.LIQUIDATION)
_REJECTED = int(OrderStatus.REJECTED)
_NOTHING = int(Why.NOTHING)
_SMALL = int(Why.BELOW_MINIMUM_QUANTITY)
_NOTHING_HELD = int(Why.NOTHING_TO_REDUCE)
_DUST = 1e-12
_LIQUIDATED = int(Why.LIQUIDATED)


@inner_njit
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


@inner_njit
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


@inner_njit
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


@inner_njit
def fill_order(
    account: Rows,
    orders: Rows,
    working: Places,
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
