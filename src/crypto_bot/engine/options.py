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
    """How large a position is. No leverage: the notional never exceeds equity."""

    method: SizingMethod = Field(default=SizingMethod.PERCENT_OF_EQUITY, description="sizing rule")
    fraction: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="percent_of_equity: share of equity spent, fee included",
    )
    quote: float = Field(default=1_000.0, gt=0, description="fixed_quote: notional, quote currency")
    risk_frac: float = Field(
        default=0.01,
        gt=0,
        le=1,
        description="risk_to_stop: share of equity lost at the stop, before costs",
    )
    allow_short: bool = Field(default=True, description="False: direction -1 only closes longs")
    initial_cash: float = Field(default=100_000.0, gt=0, description="quote currency at the start")
