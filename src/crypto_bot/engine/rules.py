"""Costs, exits and sizing as scalars for compiled code, and what they need to know about a bar."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from crypto_bot.core.arrays import PerBar
from crypto_bot.core.bars import Bars
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.funding import FundingRates
from crypto_bot.engine.financing import YEAR_NS, borrow_due, funding_due
from crypto_bot.engine.options import (
    CostOptions,
    ExitOptions,
    Reentry,
    SignalExit,
    SizingMethod,
    SizingOptions,
)

FLAT, OPPOSITE, NEVER = range(3)
PERCENT, FIXED_QUOTE, RISK, FIXED_QUANTITY, HALF_KELLY, VOLATILITY_TARGET = range(6)
VOLUME_BARS = 20
"""Window of the mean volume that volume-aware slippage compares an order with."""
_MAINTENANCE = 0.05
_SIGNAL_EXITS = {SignalExit.FLAT: FLAT, SignalExit.OPPOSITE: OPPOSITE, SignalExit.NEVER: NEVER}
_METHODS = {
    SizingMethod.PERCENT_OF_EQUITY: PERCENT,
    SizingMethod.FIXED_QUOTE: FIXED_QUOTE,
    SizingMethod.RISK_TO_STOP: RISK,
    SizingMethod.FIXED_QUANTITY: FIXED_QUANTITY,
    SizingMethod.HALF_KELLY: HALF_KELLY,
    SizingMethod.VOLATILITY_TARGET: VOLATILITY_TARGET,
}


class MatchingRules(NamedTuple):
    """Costs, exits and sizing as scalars for compiled code; absent distances are infinite."""

    taker_fee_frac: float
    maker_fee_frac: float
    slippage_frac: float
    slippage_atr_mult: float
    slippage_volume_mult: float
    borrow_rate_annual_frac: float
    quantity_step: float
    minimum_quantity: float
    minimum_notional_quote: float
    stop_loss_frac: float
    take_profit_frac: float
    trailing_stop_frac: float
    stop_loss_atr: float
    take_profit_atr: float
    trailing_stop_atr: float
    max_holding_bars: int  # 0: unlimited
    cooldown_bars: int
    signal_exit: int
    needs_new_signal: bool
    method: int
    fraction: float
    quote: float
    quantity: float
    risk_frac: float
    kelly_cap_frac: float
    kelly_floor_frac: float
    kelly_minimum_trades: int
    target_volatility_annual_frac: float
    leverage: float
    maintenance_margin_frac: float  # 0: never liquidated
    allow_short: bool
    uses_atr: bool
    uses_volatility: bool
    uses_volume: bool
    uses_finance: bool  # funding or borrowing is charged


class Known(NamedTuple):
    """What sizing, exits and slippage may know at a close; 0 where no rule asks, NaN in warm-up."""

    close: float
    atr: float  # quote
    volatility: float  # deviation of returns a year
    mean_volume: float  # base


UNASKED = Known(0.0, 0.0, 0.0, 0.0)


class Conditions(NamedTuple):
    """Per bar, float64 (bars,): what is due at its open, and what is known at its close."""

    funding_due: PerBar
    borrow_due: PerBar
    atr: PerBar
    volatility: PerBar
    mean_volume: PerBar


def matching_rules(
    costs: CostOptions, exits: ExitOptions, sizing: SizingOptions, *, has_funding: bool = False
) -> MatchingRules:
    """The options as scalars.

    Raises ConfigError when sizing is risk_to_stop and exits have no stop.
    """
    has_stop = exits.stop_loss_frac is not None or exits.stop_loss_atr is not None
    if sizing.method is SizingMethod.RISK_TO_STOP and not has_stop:
        raise ConfigError(
            "exits.stop_loss_frac must be set when sizing.method is risk_to_stop, was None; "
            "set it (or stop_loss_atr) or choose another sizing.method"
        )
    atr_exits = (exits.stop_loss_atr, exits.take_profit_atr, exits.trailing_stop_atr)
    return MatchingRules(
        **costs.model_dump(),
        stop_loss_frac=_distance(exits.stop_loss_frac),
        take_profit_frac=_distance(exits.take_profit_frac),
        trailing_stop_frac=_distance(exits.trailing_stop_frac),
        stop_loss_atr=_distance(exits.stop_loss_atr),
        take_profit_atr=_distance(exits.take_profit_atr),
        trailing_stop_atr=_distance(exits.trailing_stop_atr),
        max_holding_bars=exits.max_holding_bars or 0,
        cooldown_bars=exits.cooldown_bars,
        signal_exit=_SIGNAL_EXITS[exits.signal_exit or SignalExit.FLAT],
        needs_new_signal=exits.reentry is Reentry.NEW_SIGNAL,
        method=_METHODS[sizing.method],
        fraction=sizing.fraction,
        quote=sizing.quote,
        quantity=sizing.quantity,
        risk_frac=sizing.risk_frac,
        kelly_cap_frac=sizing.kelly_cap_frac,
        kelly_floor_frac=sizing.kelly_floor_frac,
        kelly_minimum_trades=sizing.kelly_minimum_trades,
        target_volatility_annual_frac=sizing.target_volatility_annual_frac,
        leverage=sizing.leverage,
        maintenance_margin_frac=maintenance_margin(sizing),
        allow_short=sizing.allow_short,
        uses_atr=any(each is not None for each in atr_exits) or costs.slippage_atr_mult > 0,
        uses_volatility=sizing.method is SizingMethod.VOLATILITY_TARGET,
        uses_volume=costs.slippage_volume_mult > 0,
        uses_finance=has_funding or costs.borrow_rate_annual_frac > 0,
    )


def _distance(value: float | None) -> float:
    return math.inf if value is None else value


def maintenance_margin(sizing: SizingOptions) -> float:
    """The share of the notional at which a position is liquidated; 0 where none ever is.

    Unset: half of what an entry of full leverage puts up, 0.05 at most.
    """
    if sizing.maintenance_margin_frac is not None:
        return sizing.maintenance_margin_frac
    return min(_MAINTENANCE, 0.5 / sizing.leverage) if sizing.leverage > 1.0 else 0.0


def is_plain(rules: MatchingRules) -> bool:
    """Whether nothing but the candle itself moves the account, so that bars may be skipped.

    True unless the rules use ATR, volatility or volume, financing, liquidation, or sizes that
    remember earlier trades.
    """
    return not (
        rules.uses_atr
        or rules.uses_volatility
        or rules.uses_volume
        or rules.uses_finance
        or rules.maintenance_margin_frac > 0.0
        or rules.method == HALF_KELLY
    )


def known_features(
    costs: CostOptions, exits: ExitOptions, sizing: SizingOptions
) -> tuple[str, ...]:
    """Features that these options read beside the strategy's, in the order of `Known`'s fields."""
    rules = matching_rules(costs, exits, sizing)
    asked = (
        (rules.uses_atr, f"atr_{exits.atr_bars}"),
        (rules.uses_volatility, f"return_std_{sizing.volatility_bars}"),
        (rules.uses_volume, f"volume_sma_{VOLUME_BARS}"),
    )
    return tuple(name for is_used, name in asked if is_used)


def annual_scale(interval_ns: int) -> float:
    """What turns a deviation per bar into one a year."""
    return math.sqrt(YEAR_NS / interval_ns)


def conditions_of(
    bars: Bars,
    costs: CostOptions,
    exits: ExitOptions,
    sizing: SizingOptions,
    *,
    funding: FundingRates | None = None,
    history: Bars | None = None,
) -> Conditions:
    """What `advance` and `decide` need beside the candle, for every bar.

    Parameters
    ----------
    bars : Bars
    costs, exits, sizing
    funding : FundingRates or None    of the traded symbol
    history : Bars or None            bars just before, on which averages settle

    Returns
    -------
    Conditions    columns no option asks for are 0; NaN where an average has too few bars

    Raises
    ------
    DataError    if history does not precede the bars, or the funding does not fit them
    """
    names = known_features(costs, exits, sizing)
    columns = _feature_columns(bars, names, history)
    zeros = np.zeros(len(bars))
    atr = columns.get(f"atr_{exits.atr_bars}", zeros)
    deviation = columns.get(f"return_std_{sizing.volatility_bars}", zeros)
    return Conditions(
        funding_due(bars, funding),
        borrow_due(bars, costs.borrow_rate_annual_frac),
        atr,
        deviation * annual_scale(bars.interval_ns),
        columns.get(f"volume_sma_{VOLUME_BARS}", zeros),
    )


def _feature_columns(bars: Bars, names: tuple[str, ...], history: Bars | None) -> dict[str, PerBar]:
    if not names:
        return {}
    from crypto_bot.features import compute_features

    first = 0 if history is None else len(history)
    whole = bars if history is None else _joined(history, bars)
    table = compute_features(whole, names)
    return {name: np.ascontiguousarray(table.column(name)[first:]) for name in names}


def _joined(history: Bars, bars: Bars) -> Bars:
    if len(history) and history.open_time[-1] >= bars.open_time[0]:
        raise DataError(
            f"{bars.symbol} history must end before the bars begin, its last open_time was "
            f"{history.open_time[-1]}, theirs {bars.open_time[0]}"
        )
    arrays = {
        name: np.concatenate([getattr(history, name), getattr(bars, name)])
        for name in ("open_time", "open", "high", "low", "close", "volume")
    }
    return Bars(bars.symbol, bars.timeframe, **arrays, is_simulated=bars.is_simulated)
