"""The one fill rule: what a bar does to an account, and what its close decides.

Backtest and paper broker call exactly these two steps, once a bar: `advance` when the bar has
closed, then `decide` with the strategy's direction. All state is in `AccountState`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from numba import njit

from crypto_bot.core.errors import ConfigError
from crypto_bot.core.orders import ExitReason
from crypto_bot.engine.options import (
    CostOptions,
    ExitOptions,
    Reentry,
    SignalExit,
    SizingMethod,
    SizingOptions,
)

NO_REASON = int(ExitReason.OPEN)
_SIGNAL = int(ExitReason.SIGNAL)
_REVERSE = int(ExitReason.REVERSE)
_STOP = int(ExitReason.STOP)
_TRAILING = int(ExitReason.TRAILING)
_TARGET = int(ExitReason.TARGET)
_TIME = int(ExitReason.TIME)

FLAT, OPPOSITE, NEVER = range(3)
_PERCENT, _FIXED, _RISK = range(3)
_SIGNAL_EXITS = {SignalExit.FLAT: FLAT, SignalExit.OPPOSITE: OPPOSITE, SignalExit.NEVER: NEVER}
_METHODS = {
    SizingMethod.PERCENT_OF_EQUITY: _PERCENT,
    SizingMethod.FIXED_QUOTE: _FIXED,
    SizingMethod.RISK_TO_STOP: _RISK,
}


class MatchingRules(NamedTuple):
    """Costs, exits and sizing as scalars for compiled code; absent distances are infinite."""

    taker_fee_frac: float
    maker_fee_frac: float
    slippage_frac: float
    quantity_step: float
    minimum_quantity: float
    minimum_notional_quote: float
    stop_loss_frac: float
    take_profit_frac: float
    trailing_stop_frac: float
    max_holding_bars: int  # 0: unlimited
    cooldown_bars: int
    signal_exit: int
    needs_new_signal: bool
    method: int
    fraction: float
    quote: float
    risk_frac: float
    allow_short: bool


class AccountState(NamedTuple):
    """One symbol's account between two bars."""

    cash: float  # quote; includes the proceeds of a short sale
    quantity: float  # base, signed; 0 when flat
    entry_price: float
    entry_bar: int
    peak: float  # best price since entry, of bars already closed
    bars_held: int  # closes since entry, the entry bar's included
    cooldown_left: int
    previous_direction: int
    pending_exit: int  # ExitReason of the market order for the next open, 0 = none
    pending_entry: int  # direction of the market order for the next open, 0 = none
    equity: float  # cash + quantity * close
    refused_entries: int
    is_ruined: bool


class FillEvent(NamedTuple):
    """One fill; quantity is signed (bought > 0) and 0 where nothing was filled."""

    quantity: float
    price: float
    fee: float
    reason: int  # ExitReason of an exit, 0 for an entry


class BarEvents(NamedTuple):
    """What was filled during a bar, in this order."""

    exit_open: FillEvent
    entry_open: FillEvent
    exit_inside: FillEvent


def matching_rules(costs: CostOptions, exits: ExitOptions, sizing: SizingOptions) -> MatchingRules:
    """The options as scalars.

    Raises ConfigError when sizing is risk_to_stop and exits have no stop.
    """
    if sizing.method is SizingMethod.RISK_TO_STOP and exits.stop_loss_frac is None:
        raise ConfigError(
            "exits.stop_loss_frac must be set when sizing.method is risk_to_stop, was None; "
            "set it or choose another sizing.method"
        )
    return MatchingRules(
        **costs.model_dump(),
        stop_loss_frac=_distance(exits.stop_loss_frac),
        take_profit_frac=_distance(exits.take_profit_frac),
        trailing_stop_frac=_distance(exits.trailing_stop_frac),
        max_holding_bars=exits.max_holding_bars or 0,
        cooldown_bars=exits.cooldown_bars,
        signal_exit=_SIGNAL_EXITS[exits.signal_exit or SignalExit.FLAT],
        needs_new_signal=exits.reentry is Reentry.NEW_SIGNAL,
        method=_METHODS[sizing.method],
        fraction=sizing.fraction,
        quote=sizing.quote,
        risk_frac=sizing.risk_frac,
        allow_short=sizing.allow_short,
    )


def _distance(value: float | None) -> float:
    return math.inf if value is None else value


def open_account(cash: float) -> AccountState:
    """A flat account that has seen no bar."""
    return AccountState(
        cash=float(cash),
        quantity=0.0,
        entry_price=0.0,
        entry_bar=-1,
        peak=0.0,
        bars_held=0,
        cooldown_left=0,
        previous_direction=0,
        pending_exit=0,
        pending_entry=0,
        equity=float(cash),
        refused_entries=0,
        is_ruined=False,
    )


@njit(cache=True, nogil=True, forceinline=True)
def entry_quantity(equity: float, price: float, rules: MatchingRules) -> float:
    """Base quantity of an entry at `price`; 0 where the venue or an empty account refuses it."""
    affordable = equity / (price * (1.0 + rules.taker_fee_frac))
    if rules.method == _FIXED:
        quantity = min(rules.quote / price, affordable)
    elif rules.method == _RISK:
        quantity = min(rules.risk_frac * equity / (price * rules.stop_loss_frac), affordable)
    else:
        quantity = rules.fraction * affordable
    if rules.quantity_step > 0.0:
        quantity = math.floor(quantity / rules.quantity_step) * rules.quantity_step
    if quantity < rules.minimum_quantity or quantity * price < rules.minimum_notional_quote:
        return 0.0
    return max(quantity, 0.0)


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
    """Reason (0 = none), price, fee rate and 'at the open' of a stop or target hit in this bar."""
    stop = entry_price * (1.0 - side * rules.stop_loss_frac)
    trailing = peak * (1.0 - side * rules.trailing_stop_frac)
    target = entry_price * (1.0 + side * rules.take_profit_frac)
    reason = _STOP
    if (trailing - stop) * side > 0.0:
        stop, reason = trailing, _TRAILING
    best, worst = (high, low) if side > 0 else (low, high)
    market = 1.0 - side * rules.slippage_frac
    if not is_entry_bar:
        if (open_ - stop) * side <= 0.0:
            return reason, open_ * market, rules.taker_fee_frac, True
        if (open_ - target) * side >= 0.0:
            return _TARGET, open_, rules.maker_fee_frac, True
    if (worst - stop) * side <= 0.0:
        # A stop nearer than the slippage lies beyond the entry bar's open: no better than the open.
        level = min(open_, stop) if side > 0 else max(open_, stop)
        return reason, level * market, rules.taker_fee_frac, False
    if (best - target) * side >= 0.0:
        return _TARGET, target, rules.maker_fee_frac, False
    return NO_REASON, 0.0, 0.0, False


@njit(cache=True, nogil=True, forceinline=True)
def advance(
    state: AccountState,
    index: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    rules: MatchingRules,
) -> tuple[AccountState, BarEvents]:
    """Carry the account through one closed bar.

    Parameters
    ----------
    state : AccountState      after `decide` of the bar before
    index : int               this bar's number, kept as `entry_bar`
    open_, high, low, close   this bar's prices, finite, > 0
    rules : MatchingRules

    Returns
    -------
    AccountState    with equity marked at this close and no pending order
    BarEvents       the fills, in order

    Notes
    -----
    Pending market orders fill at the open, before any stop or target is looked at.
    """
    cash, quantity = state.cash, state.quantity
    entry_price, entry_bar, peak = state.entry_price, state.entry_bar, state.peak
    bars_held, cooldown_left = state.bars_held, state.cooldown_left
    refused_entries = state.refused_entries
    nothing = FillEvent(0.0, 0.0, 0.0, NO_REASON)
    exit_open, entry_open, exit_inside = nothing, nothing, nothing

    if state.pending_exit != NO_REASON and quantity != 0.0:
        price = open_ * (1.0 - math.copysign(rules.slippage_frac, quantity))
        fee = abs(quantity) * price * rules.taker_fee_frac
        exit_open = FillEvent(-quantity, price, fee, state.pending_exit)
        cash += quantity * price - fee
        quantity = 0.0
    if state.pending_entry != 0 and quantity == 0.0:
        price = open_ * (1.0 + state.pending_entry * rules.slippage_frac)
        size = entry_quantity(cash, price, rules)
        if size > 0.0:
            quantity = state.pending_entry * size
            fee = size * price * rules.taker_fee_frac
            entry_open = FillEvent(quantity, price, fee, NO_REASON)
            cash -= quantity * price + fee
            entry_price, entry_bar, peak, bars_held = price, index, price, 0
        else:
            refused_entries += 1
    if quantity != 0.0:
        side = 1 if quantity > 0.0 else -1
        is_entry_bar = entry_open.quantity != 0.0
        reason, price, fee_rate, is_at_open = protective_exit(
            side, is_entry_bar, entry_price, peak, open_, high, low, rules
        )
        if reason != NO_REASON:
            fee = abs(quantity) * price * fee_rate
            fill = FillEvent(-quantity, price, fee, reason)
            if is_at_open:
                exit_open = fill
            else:
                exit_inside = fill
            cash += quantity * price - fee
            quantity = 0.0
        else:
            peak = max(peak, high) if side > 0 else min(peak, low)
            bars_held += 1
    if quantity == 0.0 and (exit_open.quantity != 0.0 or exit_inside.quantity != 0.0):
        cooldown_left = rules.cooldown_bars
    equity = cash + quantity * close
    after = AccountState(
        cash,
        quantity,
        entry_price,
        entry_bar,
        peak,
        bars_held,
        cooldown_left,
        state.previous_direction,
        NO_REASON,
        0,
        equity,
        refused_entries,
        state.is_ruined or equity <= 0.0,
    )
    return after, BarEvents(exit_open, entry_open, exit_inside)


@njit(cache=True, nogil=True, forceinline=True)
def decide(
    state: AccountState,
    direction: int,
    score: float,  # noqa: ARG001
    rules: MatchingRules,
) -> AccountState:
    """Set the orders for the next open from the strategy's direction at this close.

    Parameters
    ----------
    state : AccountState      after `advance` of this bar
    direction : int           wanted side, -1, 0 or +1
    score : float             strength of the intent; no sizing method reads it
    rules : MatchingRules

    Notes
    -----
    Precedence: ruin, then the signal, then the time exit. A reversal is one decision: neither
    cooldown nor `reentry` holds it back.
    """
    wanted = direction + 0  # widens the signals' int8 to the state's int64
    can_enter = wanted > 0 or (wanted < 0 and rules.allow_short)
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
        state.peak,
        state.bars_held,
        cooldown_left,
        wanted,
        pending_exit,
        pending_entry,
        state.equity,
        state.refused_entries,
        state.is_ruined,
    )
