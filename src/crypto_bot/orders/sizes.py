"""How much an order trades at a price, and why an account may refuse it."""

from __future__ import annotations

import math

from crypto_bot.engine.account import is_known, market_slippage
from crypto_bot.engine.rules import RISK, Known, MatchingRules
from crypto_bot.engine.sizing import affordable_quantity, kelly_fraction, sized_quantity
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
_TRAILING = int(OrderKind.TRAILING)
_WAITING = int(OrderStatus.WAITING)
_QUANTITY = int(SizeBy.QUANTITY)
_QUOTE = int(SizeBy.QUOTE)
_FRACTION = int(SizeBy.FRACTION)
_HELD = int(SizeBy.HELD)
_NOTHING = int(Why.NOTHING)
_NO_EQUITY = int(Why.INSUFFICIENT_EQUITY)
_SMALL = int(Why.BELOW_MINIMUM_QUANTITY)
_CHEAP = int(Why.BELOW_MINIMUM_NOTIONAL)
_NO_SHORT = int(Why.SHORT_NOT_ALLOWED)
_RUINED = int(Why.RUINED)
_UNKNOWN = int(Why.NOT_KNOWN_YET)
_ROUNDING = 1e-9


@inner_njit
def stop_distance(orders: Rows, working: Places, account: Rows, row: int, price: float) -> float:
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


@inner_njit
def room_for(equity: float, held: float, price: float, rules: MatchingRules) -> float:
    """Base quantity that may still be added to what is held, fee included."""
    if held == 0.0:
        affordable: float = affordable_quantity(equity, price, rules)
        return affordable
    room = rules.leverage * equity - held * price
    return max(room / (price * (1.0 + rules.leverage * rules.taker_fee_frac)), 0.0)


@inner_njit
def wanted_quantity(
    account: Rows,
    orders: Rows,
    working: Places,
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


@inner_njit
def floor_to_step(quantity: float, step: float) -> float:
    """The largest multiple of the step not above the quantity; a hair below one counts as it."""
    if step <= 0.0:
        return quantity
    return math.floor(quantity / step + _ROUNDING) * step


@inner_njit
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


@inner_njit
def priced_quantity(
    account: Rows, orders: Rows, working: Places, row: int, side: int, market: float,
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
