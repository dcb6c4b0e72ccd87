"""What trading costs, when a position ends, how large it is: the engine's options."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from crypto_bot.core.options import Options


class SignalExit(StrEnum):
    """What the strategy's direction does to an open position."""

    FLAT = "flat"
    """Direction 0 or the opposite direction ends it."""
    OPPOSITE = "opposite"
    """Only the opposite direction ends it; 0 means hold."""
    NEVER = "never"
    """Signals only enter; stops, targets and time end it."""


class Reentry(StrEnum):
    """Which direction may enter while flat."""

    NEW_SIGNAL = "new_signal"
    """One that differs from the bar before: a stopped-out trend is not entered again."""
    WHILE_SIGNAL = "while_signal"
    """Any that is not 0."""


class SizingMethod(StrEnum):
    """How the quantity of an entry follows from the account."""

    PERCENT_OF_EQUITY = "percent_of_equity"
    FIXED_QUOTE = "fixed_quote"
    RISK_TO_STOP = "risk_to_stop"
    FIXED_QUANTITY = "fixed_quantity"
    HALF_KELLY = "half_kelly"
    VOLATILITY_TARGET = "volatility_target"


class CostOptions(Options):
    """What a fill costs and what the venue accepts.

    >>> CostOptions(taker_fee_frac=2)
    Traceback (most recent call last):
        ...
    crypto_bot.core.errors.ConfigError: taker_fee_frac must be less than or equal to 1, was 2
    """

    taker_fee_frac: float = Field(
        default=0.001, ge=0, le=1, description="fee of market and stop fills, fraction of notional"
    )
    maker_fee_frac: float = Field(
        default=0.001, ge=0, le=1, description="fee of target (limit) fills, fraction of notional"
    )
    slippage_frac: float = Field(
        default=0.001,
        ge=0,
        lt=1,
        description="market and stop fills are worse by this fraction of price",
    )
    slippage_atr_mult: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="more slippage: this many ATRs (exits.atr_bars) of the deciding bar, over price",
    )
    slippage_volume_mult: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="more slippage: this times sqrt(order / mean volume of the last 20 bars)",
    )
    borrow_rate_annual_frac: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="interest a year on what a short or a leveraged long borrows",
    )
    quantity_step: float = Field(
        default=0.0, ge=0, description="quantities are floored to multiples of this, base; 0 = any"
    )
    minimum_quantity: float = Field(
        default=0.0, ge=0, description="smaller entries are refused, base currency"
    )
    minimum_notional_quote: float = Field(
        default=0.0, ge=0, description="smaller entries are refused, quote currency"
    )


class ExitOptions(Options):
    """When a position ends; distances are fractions of the real fill price (trailing: the peak)."""

    stop_loss_frac: float | None = Field(
        default=None, gt=0, lt=1, description="stop distance; None = none"
    )
    take_profit_frac: float | None = Field(
        default=None, gt=0, description="target distance; None = none"
    )
    trailing_stop_frac: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="stop distance from the best price so far; None = none",
    )
    stop_loss_atr: float | None = Field(
        default=None,
        gt=0,
        le=1000,
        description="stop distance in ATRs at the decision; None = none",
    )
    take_profit_atr: float | None = Field(
        default=None,
        gt=0,
        le=1000,
        description="target distance in ATRs at the decision; None = none",
    )
    trailing_stop_atr: float | None = Field(
        default=None,
        gt=0,
        le=1000,
        description="stop distance from the best price so far, ATRs at the decision; None = none",
    )
    atr_bars: int = Field(default=14, ge=2, le=1000, description="window of the ATR, bars")
    max_holding_bars: int | None = Field(
        default=None, ge=1, description="closes after which the position is sold; None = unlimited"
    )
    cooldown_bars: int = Field(
        default=0, ge=0, description="closes after an exit that may not enter"
    )
    signal_exit: SignalExit | None = Field(
        default=None,
        description="what direction 0 or opposite does; None = as the strategy declares, "
        "flat for bare signals",
    )
    reentry: Reentry = Field(
        default=Reentry.NEW_SIGNAL, description="which direction enters while flat"
    )


class SizingOptions(Options):
    """How large a position is; its notional never exceeds `leverage` times equity."""

    method: SizingMethod = Field(default=SizingMethod.PERCENT_OF_EQUITY, description="sizing rule")
    fraction: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="percent_of_equity: share of equity (times leverage) spent, fee included",
    )
    quantity: float = Field(default=1.0, gt=0, description="fixed_quantity: base currency")
    quote: float = Field(default=1_000.0, gt=0, description="fixed_quote: notional, quote currency")
    risk_frac: float = Field(
        default=0.01,
        gt=0,
        le=1,
        description="risk_to_stop: share of equity lost at the stop, before costs",
    )
    kelly_cap_frac: float = Field(
        default=0.10, gt=0, le=1, description="half_kelly: never more of equity than this"
    )
    kelly_floor_frac: float = Field(
        default=0.01, ge=0, le=1, description="half_kelly: never less, so that it goes on learning"
    )
    kelly_minimum_trades: int = Field(
        default=20, ge=2, description="half_kelly: the floor until so many trades are closed"
    )
    target_volatility_annual_frac: float = Field(
        default=0.2, gt=0, le=10, description="volatility_target: wanted deviation of equity a year"
    )
    volatility_bars: int = Field(
        default=20, ge=2, le=10_000, description="volatility_target: window of the returns, bars"
    )
    leverage: float = Field(
        default=1.0, ge=1, le=125, description="largest notional as a multiple of equity"
    )
    maintenance_margin_frac: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="liquidated where equity falls to this share of the notional; "
        "None = half of 1 / leverage, 0.05 at most; never without leverage",
    )
    allow_short: bool = Field(default=True, description="False: direction -1 only closes longs")
    initial_cash: float = Field(default=100_000.0, gt=0, description="quote currency at the start")
