"""The one fill rule: what a bar does to an account, and what its close decides.

Backtest and paper broker call exactly these two steps, once a bar: `advance` when the bar has
closed, then `decide` with the strategy's direction. All state is in `AccountState`. `advance` is
five smaller steps in a row; a portfolio of many positions calls the same five.
"""

from __future__ import annotations

import math

from numba import njit

from crypto_bot.core.orders import ExitReason
from crypto_bot.engine.account import (
    NO_REASON,
    AccountState,
    BarEvents,
    FillEvent,
    Levels,
    exit_levels,
    is_known,
    market_slippage,
    open_account,
    touched_exit,
)
from crypto_bot.engine.financing import financing
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
    "market_slippage",
    "matching_rules",
    "open_account",
]

_SIGNAL = int(ExitReason.SIGNAL)
_REVERSE = int(ExitReason.REVERSE)
_STOP = int(ExitReason.STOP)
_TIME = int(ExitReason.TIME)


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
