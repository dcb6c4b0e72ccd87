"""An account between two bars, and where inside the next one its position would be closed."""

from __future__ import annotations

import math
from typing import NamedTuple

from numba import njit

from crypto_bot.core.orders import ExitReason
from crypto_bot.engine.financing import liquidation_price
from crypto_bot.engine.rules import UNASKED, Known, MatchingRules

NO_REASON = int(ExitReason.OPEN)
_STOP = int(ExitReason.STOP)
_TRAILING = int(ExitReason.TRAILING)
_TARGET = int(ExitReason.TARGET)
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
def is_known(known: Known, rules: MatchingRules) -> bool:
    """Whether all that the rules ask about a bar has a value, so that an entry may be sized."""
    if rules.uses_atr and not known.atr > 0.0:
        return False
    if rules.uses_volatility and not known.volatility > 0.0:
        return False
    return not rules.uses_volume or known.mean_volume > 0.0
