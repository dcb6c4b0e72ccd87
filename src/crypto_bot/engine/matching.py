"""The one fill rule: what a bar does to an account, and what its close decides.

Backtest and paper broker call exactly these two steps, once a bar: `advance` when the bar has
closed, then `decide` with the strategy's direction. All state is in `AccountState`. `advance` is
five smaller steps in a row; a portfolio of many positions calls the same five.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from numba import njit

from crypto_bot.core.orders import ExitReason
from crypto_bot.engine.financing import financing, liquidation_price
from crypto_bot.engine.rules import (
    FLAT,
    NEVER,
    OPPOSITE,
    UNASKED,
    Known,
    MatchingRules,
    is_plain,
    matching_rules,
)
from crypto_bot.engine.sizing import entry_quantity, kelly_fraction, sized_quantity

__all__ = [
    "FLAT",
    "NEVER",
    "NO_REASON",
    "OPPOSITE",
    "UNASKED",
    "AccountState",
    "BarEvents",
    "FillEvent",
    "Known",
    "MatchingRules",
    "advance",
    "decide",
    "entry_quantity",
    "is_plain",
    "matching_rules",
    "open_account",
    "protective_exit",
]

NO_REASON = int(ExitReason.OPEN)
_SIGNAL = int(ExitReason.SIGNAL)
_REVERSE = int(ExitReason.REVERSE)
_STOP = int(ExitReason.STOP)
_TRAILING = int(ExitReason.TRAILING)
_TARGET = int(ExitReason.TARGET)
_TIME = int(ExitReason.TIME)
_LIQUIDATION = int(ExitReason.LIQUIDATION)
_WORST_IMPACT = 0.5
"""No order is filled worse than half the price by its own size, however thin the market."""


class AccountState(NamedTuple):
    """One symbol's account between two bars."""

    cash: float  # quote; includes the proceeds of a short sale
    quantity: float  # base, signed; 0 when flat
    entry_price: float
    entry_bar: int
    entry_fee: float
    entry_atr: float  # quote, at the decision to enter
    financing: float  # quote paid so far for holding this position
    peak: float  # best price since entry, of bars already closed
    bars_held: int  # closes since entry, the entry bar's included
    cooldown_left: int
    previous_direction: int
    pending_exit: int  # ExitReason of the market order for the next open, 0 = none
    pending_entry: int  # direction of the market order for the next open, 0 = none
    known: Known  # at the last close
    equity: float  # cash + quantity * close
    refused_entries: int
    is_ruined: bool
    trades: int  # closed; with the three sums below what half-Kelly sizing remembers
    wins: int
    win_sum: float
    loss_sum: float


class FillEvent(NamedTuple):
    """One fill; quantity is signed (bought > 0) and 0 where nothing was filled."""

    quantity: float
    price: float
    fee: float
    reason: int  # ExitReason of an exit, 0 for an entry
    financing: float  # paid while held, told at the exit


class Levels(NamedTuple):
    """Where a position is closed inside a bar; infinitely far where nowhere."""

    stop: float
    reason: int  # STOP, TRAILING or LIQUIDATION: which of them the stop is
    target: float


class BarEvents(NamedTuple):
    """What was filled during a bar, in this order."""

    exit_open: FillEvent
    entry_open: FillEvent
    exit_inside: FillEvent
    levels: Levels
    is_ambiguous: bool  # stop and target were both touched inside the bar


def open_account(cash: float) -> AccountState:
    """A flat account that has seen no bar."""
    return AccountState(
        cash=float(cash),
        quantity=0.0,
        entry_price=0.0,
        entry_bar=-1,
        entry_fee=0.0,
        entry_atr=0.0,
        financing=0.0,
        peak=0.0,
        bars_held=0,
        cooldown_left=0,
        previous_direction=0,
        pending_exit=0,
        pending_entry=0,
        known=UNASKED,
        equity=float(cash),
        refused_entries=0,
        is_ruined=False,
        trades=0,
        wins=0,
        win_sum=0.0,
        loss_sum=0.0,
    )


@njit(cache=True, nogil=True, forceinline=True)
def market_slippage(quantity: float, known: Known, rules: MatchingRules) -> float:
    """How much worse than the quoted price a market or stop order is filled, fraction.

    slippage_frac + slippage_atr_mult * atr / close + slippage_volume_mult * sqrt(quantity / mean
    volume), the last at most 0.5: the square-root law of market impact.
    """
    slippage = rules.slippage_frac
    if rules.slippage_atr_mult > 0.0:
        slippage += rules.slippage_atr_mult * known.atr / known.close
    if rules.slippage_volume_mult > 0.0:
        share = quantity / known.mean_volume if known.mean_volume > 0.0 else math.inf
        slippage += min(rules.slippage_volume_mult * math.sqrt(share), _WORST_IMPACT)
    return min(slippage, 0.99)


@njit(cache=True, nogil=True, forceinline=True)
def touched_exit(
    side: int,
    is_entry_bar: bool,
    levels: Levels,
    slippage: float,
    open_: float,
    high: float,
    low: float,
    is_target_first: bool,
    rules: MatchingRules,
) -> tuple[int, float, float, bool, bool]:
    """Reason (0 = none), price, fee rate, 'at the open' and 'both touched' of a level hit in a bar."""
    stop, reason, target = levels
    best, worst = (high, low) if side > 0 else (low, high)
    market = 1.0 - side * slippage
    if not is_entry_bar:
        if (open_ - stop) * side <= 0.0:
            return reason, open_ * market, rules.taker_fee_frac, True, False
        if (open_ - target) * side >= 0.0:
            return _TARGET, open_, rules.maker_fee_frac, True, False
    is_stopped = (worst - stop) * side <= 0.0
    is_reached = (best - target) * side >= 0.0
    if is_stopped and not (is_reached and is_target_first):
        # A stop nearer than the slippage lies beyond the entry bar's open: no better than the open.
        level = min(open_, stop) if side > 0 else max(open_, stop)
        return reason, level * market, rules.taker_fee_frac, False, is_reached
    if is_reached:
        return _TARGET, target, rules.maker_fee_frac, False, is_stopped
    return NO_REASON, 0.0, 0.0, False, False


@njit(cache=True, nogil=True, forceinline=True)
def plain_levels(side: int, entry_price: float, peak: float, rules: MatchingRules) -> Levels:
    """Stop and target of a position whose distances are fractions."""
    stop = entry_price * (1.0 - side * rules.stop_loss_frac)
    trailing = peak * (1.0 - side * rules.trailing_stop_frac)
    target = entry_price * (1.0 + side * rules.take_profit_frac)
    if (trailing - stop) * side > 0.0:
        return Levels(trailing, _TRAILING, target)
    return Levels(stop, _STOP, target)


@njit(cache=True, nogil=True, forceinline=True)
def protective_exit(
    side: int,
    is_entry_bar: bool,
    entry_price: float,
    peak: float,
    open_: float,
    high: float,
    low: float,
    rules: MatchingRules,
) -> tuple[int, float, float, bool]:
    """Reason (0 = none), price, fee rate and 'at the open' of a plain stop or target hit in a bar."""
    levels = plain_levels(side, entry_price, peak, rules)
    reason, price, fee_frac, is_at_open, _ = touched_exit(
        side, is_entry_bar, levels, rules.slippage_frac, open_, high, low, False, rules
    )
    return reason, price, fee_frac, is_at_open


@njit(cache=True, nogil=True, forceinline=True)
def exit_levels(state: AccountState, rules: MatchingRules) -> Levels:
    """Where the position held is closed inside the coming bar: the nearest stop counts."""
    side = 1 if state.quantity > 0.0 else -1
    levels = plain_levels(side, state.entry_price, state.peak, rules)
    stop, reason, target = levels
    if rules.stop_loss_atr < math.inf:
        level = state.entry_price - side * rules.stop_loss_atr * state.entry_atr
        if (level - stop) * side > 0.0:
            stop, reason = level, _STOP
    if rules.trailing_stop_atr < math.inf:
        level = state.peak - side * rules.trailing_stop_atr * state.entry_atr
        if (level - stop) * side > 0.0:
            stop, reason = level, _TRAILING
    if rules.take_profit_atr < math.inf:
        level = state.entry_price + side * rules.take_profit_atr * state.entry_atr
        if (target - level) * side > 0.0:
            target = level
    if rules.maintenance_margin_frac > 0.0:
        level = liquidation_price(state.cash, state.quantity, rules.maintenance_margin_frac)
        if (level - stop) * side > 0.0:
            stop, reason = level, _LIQUIDATION
    return Levels(stop, reason, target)


@njit(cache=True, nogil=True, forceinline=True)
def pay_financing(
    state: AccountState, open_: float, funding_due: float, borrow_due: float
) -> AccountState:
    """Charge funding and interest at this open to the position carried into the bar."""
    if state.quantity == 0.0:
        return state
    paid = financing(state.quantity, state.cash, open_, funding_due, borrow_due)
    return AccountState(
        state.cash - paid,
        state.quantity,
        state.entry_price,
        state.entry_bar,
        state.entry_fee,
        state.entry_atr,
        state.financing + paid,
        state.peak,
        state.bars_held,
        state.cooldown_left,
        state.previous_direction,
        state.pending_exit,
        state.pending_entry,
        state.known,
        state.equity,
        state.refused_entries,
        state.is_ruined,
        state.trades,
        state.wins,
        state.win_sum,
        state.loss_sum,
    )


@njit(cache=True, nogil=True, forceinline=True)
def close_position(
    state: AccountState, price: float, fee_frac: float, reason: int, rules: MatchingRules
) -> tuple[AccountState, FillEvent]:
    """Sell (or buy back) all that is held at this price."""
    quantity = state.quantity
    fee = abs(quantity) * price * fee_frac
    pnl = (price - state.entry_price) * quantity - (state.entry_fee + fee) - state.financing
    gained = pnl / (abs(quantity) * state.entry_price)
    after = AccountState(
        state.cash + (quantity * price - fee),
        0.0,
        state.entry_price,
        state.entry_bar,
        0.0,
        0.0,
        0.0,
        state.peak,
        state.bars_held,
        rules.cooldown_bars,
        state.previous_direction,
        state.pending_exit,
        state.pending_entry,
        state.known,
        state.equity,
        state.refused_entries,
        state.is_ruined,
        state.trades + 1,
        state.wins + (1 if pnl > 0.0 else 0),
        state.win_sum + max(gained, 0.0),
        state.loss_sum + max(-gained, 0.0),
    )
    return after, FillEvent(-quantity, price, fee, reason, state.financing)


@njit(cache=True, nogil=True, forceinline=True)
def exit_at_open(
    state: AccountState, open_: float, rules: MatchingRules
) -> tuple[AccountState, FillEvent]:
    """Fill the pending market exit."""
    if state.pending_exit == NO_REASON or state.quantity == 0.0:
        return state, FillEvent(0.0, 0.0, 0.0, NO_REASON, 0.0)
    slippage = market_slippage(abs(state.quantity), state.known, rules)
    price = open_ * (1.0 - math.copysign(slippage, state.quantity))
    return close_position(state, price, rules.taker_fee_frac, state.pending_exit, rules)


@njit(cache=True, nogil=True, forceinline=True)
def enter_at_open(
    state: AccountState,
    index: int,
    open_: float,
    equity: float,
    most_quote: float,
    rules: MatchingRules,
) -> tuple[AccountState, FillEvent]:
    """Fill the pending market entry of a flat account, or count it as refused.

    equity : what sizing takes its share of; most_quote : the notional may not be larger
    """
    side = state.pending_entry
    nothing = FillEvent(0.0, 0.0, 0.0, NO_REASON, 0.0)
    if side == 0 or state.quantity != 0.0:
        return state, nothing
    known = state.known
    kelly = kelly_fraction(state.trades, state.wins, state.win_sum, state.loss_sum, rules)
    slippage = market_slippage(0.0, known, rules)
    price = open_ * (1.0 + side * slippage)
    size = sized_quantity(equity, price, known.atr, known.volatility, kelly, most_quote, rules)
    if rules.slippage_volume_mult > 0.0:
        # The impact of the size first wanted; at the worse price a little less is affordable.
        price = open_ * (1.0 + side * market_slippage(size, known, rules))
        size = sized_quantity(equity, price, known.atr, known.volatility, kelly, most_quote, rules)
    is_filled = size > 0.0
    fee = size * price * rules.taker_fee_frac if is_filled else 0.0
    quantity = side * size if is_filled else 0.0
    after = AccountState(
        state.cash - (quantity * price + fee),
        quantity,
        price if is_filled else state.entry_price,
        index if is_filled else state.entry_bar,
        fee,
        known.atr,
        0.0,
        price if is_filled else state.peak,
        0 if is_filled else state.bars_held,
        state.cooldown_left,
        state.previous_direction,
        state.pending_exit,
        state.pending_entry,
        state.known,
        state.equity,
        state.refused_entries + (0 if is_filled else 1),
        state.is_ruined,
        state.trades,
        state.wins,
        state.win_sum,
        state.loss_sum,
    )
    return after, FillEvent(quantity, price, fee, NO_REASON, 0.0)


@njit(cache=True, nogil=True, forceinline=True)
def protect(
    state: AccountState,
    index: int,
    open_: float,
    high: float,
    low: float,
    is_target_first: bool,
    rules: MatchingRules,
) -> tuple[AccountState, FillEvent, bool, Levels, bool]:
    """Close the position where its stop or target is hit in this bar, else let its peak follow.

    Returns the state, the fill, whether it was at the open, the levels, and whether both were
    touched.
    """
    nothing = FillEvent(0.0, 0.0, 0.0, NO_REASON, 0.0)
    nowhere = Levels(0.0, NO_REASON, 0.0)
    if state.quantity == 0.0:
        return state, nothing, False, nowhere, False
    side = 1 if state.quantity > 0.0 else -1
    levels = exit_levels(state, rules)
    slippage = market_slippage(abs(state.quantity), state.known, rules)
    reason, price, fee_frac, is_at_open, is_ambiguous = touched_exit(
        side,
        state.entry_bar == index,
        levels,
        slippage,
        open_,
        high,
        low,
        is_target_first,
        rules,
    )
    if reason != NO_REASON:
        after, fill = close_position(state, price, fee_frac, reason, rules)
        return after, fill, is_at_open, levels, is_ambiguous
    after = AccountState(
        state.cash,
        state.quantity,
        state.entry_price,
        state.entry_bar,
        state.entry_fee,
        state.entry_atr,
        state.financing,
        max(state.peak, high) if side > 0 else min(state.peak, low),
        state.bars_held + 1,
        state.cooldown_left,
        state.previous_direction,
        state.pending_exit,
        state.pending_entry,
        state.known,
        state.equity,
        state.refused_entries,
        state.is_ruined,
        state.trades,
        state.wins,
        state.win_sum,
        state.loss_sum,
    )
    return after, nothing, False, levels, False


@njit(cache=True, nogil=True, forceinline=True)
def mark_account(state: AccountState, close: float) -> AccountState:
    """Value the account at the close; what was pending has been filled or refused."""
    equity = state.cash + state.quantity * close
    return AccountState(
        state.cash,
        state.quantity,
        state.entry_price,
        state.entry_bar,
        state.entry_fee,
        state.entry_atr,
        state.financing,
        state.peak,
        state.bars_held,
        state.cooldown_left,
        state.previous_direction,
        NO_REASON,
        0,
        state.known,
        equity,
        state.refused_entries,
        state.is_ruined or equity <= 0.0,
        state.trades,
        state.wins,
        state.win_sum,
        state.loss_sum,
    )


@njit(cache=True, nogil=True, forceinline=True)
def advance(
    state: AccountState,
    index: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    funding_due: float,
    borrow_due: float,
    is_target_first: bool,
    rules: MatchingRules,
) -> tuple[AccountState, BarEvents]:
    """Carry the account through one closed bar.

    Parameters
    ----------
    state : AccountState      after `decide` of the bar before
    index : int               of this bar
    open_, high, low, close : float    quote
    funding_due, borrow_due : float    rates due at this open, from `conditions_of`; 0: none
    is_target_first : bool    where stop and target are both touched inside the bar; False: the stop
    rules : MatchingRules

    Returns
    -------
    AccountState, BarEvents    marked at the close; what was filled, in order

    Notes
    -----
    Financing, then pending market orders, at the open, before any stop or target is looked at.
    """
    if rules.uses_finance:
        state = pay_financing(state, open_, funding_due, borrow_due)
    state, exit_open = exit_at_open(state, open_, rules)
    state, entry_open = enter_at_open(state, index, open_, state.cash, math.inf, rules)
    state, exit_inside, is_at_open, levels, is_ambiguous = protect(
        state, index, open_, high, low, is_target_first, rules
    )
    if is_at_open:
        exit_open, exit_inside = exit_inside, FillEvent(0.0, 0.0, 0.0, NO_REASON, 0.0)
    state = mark_account(state, close)
    return state, BarEvents(exit_open, entry_open, exit_inside, levels, is_ambiguous)


@njit(cache=True, nogil=True, forceinline=True)
def is_known(known: Known, rules: MatchingRules) -> bool:
    """Whether all that the rules ask about a bar has a value, so that an entry may be sized."""
    if rules.uses_atr and not known.atr > 0.0:
        return False
    if rules.uses_volatility and not known.volatility > 0.0:
        return False
    return not rules.uses_volume or known.mean_volume > 0.0


@njit(cache=True, nogil=True, forceinline=True)
def decide(
    state: AccountState,
    direction: int,
    score: float,  # noqa: ARG001
    known: Known,
    rules: MatchingRules,
) -> AccountState:
    """Set the orders for the next open from the strategy's direction at this close.

    Parameters
    ----------
    state : AccountState      after `advance` of this bar
    direction : int           wanted side, -1, 0 or +1
    score : float             strength of the intent; no sizing method reads it
    known : Known             of this bar; `UNASKED` for plain rules
    rules : MatchingRules

    Notes
    -----
    Precedence: ruin, then the signal, then the time exit. A reversal is one decision: neither
    cooldown nor `reentry` holds it back. Where an average the rules ask for is not known yet, or is
    0, nothing is entered.
    """
    wanted = direction + 0  # widens the signals' int8 to the state's int64
    can_enter = (wanted > 0 or (wanted < 0 and rules.allow_short)) and is_known(known, rules)
    pending_exit, pending_entry, cooldown_left = NO_REASON, 0, state.cooldown_left
    if state.quantity != 0.0:
        side = 1 if state.quantity > 0.0 else -1
        if state.is_ruined:
            pending_exit = _STOP
        elif wanted == -side and rules.signal_exit != NEVER:
            pending_exit = _REVERSE if can_enter else _SIGNAL
            pending_entry = wanted if can_enter else 0
        elif wanted == 0 and rules.signal_exit == FLAT:
            pending_exit = _SIGNAL
        elif 0 < rules.max_holding_bars <= state.bars_held:
            pending_exit = _TIME
    elif cooldown_left > 0:
        cooldown_left -= 1
    elif can_enter and not state.is_ruined:
        is_new = wanted != state.previous_direction
        pending_entry = wanted if is_new or not rules.needs_new_signal else 0
    return AccountState(
        state.cash,
        state.quantity,
        state.entry_price,
        state.entry_bar,
        state.entry_fee,
        state.entry_atr,
        state.financing,
        state.peak,
        state.bars_held,
        cooldown_left,
        wanted,
        pending_exit,
        pending_entry,
        known,
        state.equity,
        state.refused_entries,
        state.is_ruined,
        state.trades,
        state.wins,
        state.win_sum,
        state.loss_sum,
    )
