"""How large an entry is: from the account, the price and what was known when it was decided."""

from __future__ import annotations

import math

from numba import njit

from crypto_bot.engine.rules import (
    FIXED_QUANTITY,
    FIXED_QUOTE,
    HALF_KELLY,
    RISK,
    VOLATILITY_TARGET,
    MatchingRules,
)


@njit(cache=True, nogil=True, forceinline=True)
def affordable_quantity(equity: float, price: float, rules: MatchingRules) -> float:
    """What leverage times equity pays for with its fee, base.

    notional <= leverage * (equity - fee), so quantity = leverage * equity / (price * (1 + leverage
    * fee rate)).
    """
    return rules.leverage * equity / (price * (1.0 + rules.leverage * rules.taker_fee_frac))


@njit(cache=True, nogil=True, forceinline=True)
def entry_quantity(equity: float, price: float, rules: MatchingRules) -> float:
    """Base quantity of a plain entry at `price`; 0 where the venue or an empty account refuses it."""
    return sized_quantity(equity, price, 0.0, 0.0, 0.0, math.inf, rules)


@njit(cache=True, nogil=True, forceinline=True)
def sized_quantity(
    equity: float,
    price: float,
    atr: float,
    volatility: float,
    kelly_frac: float,
    most_quote: float,
    rules: MatchingRules,
) -> float:
    """Base quantity of an entry; 0 where the venue or an empty account refuses it.

    Parameters
    ----------
    equity : float        what the method takes its share of, quote
    price : float         expected fill price, slippage included
    atr : float           at the decision, quote; read where exits hang on it
    volatility : float    a year, at the decision; read by volatility_target
    kelly_frac : float    share of equity, from `kelly_fraction`; read by half_kelly
    most_quote : float    the notional may not be larger
    rules : MatchingRules
    """
    affordable = affordable_quantity(equity, price, rules)
    if rules.method == FIXED_QUOTE:
        quantity = min(rules.quote / price, affordable)
    elif rules.method == RISK:
        distance = price * rules.stop_loss_frac
        if rules.stop_loss_atr < math.inf:
            distance = min(distance, rules.stop_loss_atr * atr)
        quantity = min(rules.risk_frac * equity / distance, affordable)
    elif rules.method == FIXED_QUANTITY:
        quantity = min(rules.quantity, affordable)
    elif rules.method == HALF_KELLY:
        quantity = min(kelly_frac * equity / price, affordable)
    elif rules.method == VOLATILITY_TARGET:
        share = rules.target_volatility_annual_frac / volatility if volatility > 0.0 else 0.0
        quantity = min(share * equity / price, affordable)
    else:
        quantity = rules.fraction * affordable
    if most_quote < math.inf:
        quantity = min(quantity, most_quote / price)
    if rules.quantity_step > 0.0:
        quantity = math.floor(quantity / rules.quantity_step) * rules.quantity_step
    if quantity < rules.minimum_quantity or quantity * price < rules.minimum_notional_quote:
        return 0.0
    return max(quantity, 0.0)


@njit(cache=True, nogil=True, forceinline=True)
def kelly_fraction(
    trades: int, wins: int, win_sum: float, loss_sum: float, rules: MatchingRules
) -> float:
    """Half of Kelly's share of equity, between its floor and cap.

    f = (W - (1 - W) / R) / 2 with W the share of winners among closed trades and R their mean
    return over the losers' mean loss. The floor until `kelly_minimum_trades` trades are closed.
    Source: Kelly 1956, for two outcomes.
    """
    if trades < rules.kelly_minimum_trades:
        return rules.kelly_floor_frac
    losses = trades - wins
    if wins == 0:
        return rules.kelly_floor_frac
    if losses == 0 or loss_sum <= 0.0:
        return max(rules.kelly_cap_frac, rules.kelly_floor_frac)
    won = wins / trades
    ratio = (win_sum / wins) / (loss_sum / losses)
    half = 0.5 * (won - (1.0 - won) / ratio)
    return max(min(half, rules.kelly_cap_frac), rules.kelly_floor_frac)
