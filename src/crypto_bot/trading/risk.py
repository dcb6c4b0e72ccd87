"""What may be risked: limits that are on by default, and the guard that holds every entry to them.

Limits judge the whole account, all symbols together. They block entries only: an exit always goes.
Drawdown is measured from the highest equity seen, a day's loss from the equity at UTC midnight.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from crypto_bot.core.options import Options
from crypto_bot.core.timeframes import DAY_NS, Clock


class RiskLimits(Options):
    """Limits on new risk; each blocks entries, never exits."""

    max_daily_loss_frac: float = Field(
        default=0.05, gt=0, le=1, description="loss since UTC midnight, fraction of that equity"
    )
    max_drawdown_frac: float = Field(
        default=0.20, gt=0, le=1, description="fall from the highest equity, fraction of it"
    )
    max_exposure_frac: float = Field(
        default=1.25,
        gt=0,
        description="sum of position values, the new one included, fraction of equity; "
        "above 1 to leave room for shorts that moved against us",
    )
    max_open_positions: int = Field(default=20, ge=1, description="positions held at once")
    stale_data_bars: float = Field(
        default=3.0, gt=0, description="greatest age of a symbol's last closed bar, in bars"
    )
    max_model_age_days: float = Field(
        default=30.0, gt=0, description="days since the last candle the model was trained on"
    )
    kill_switch_file: str = Field(
        default="KILL_SWITCH",
        min_length=1,
        description="while this file exists, positions are closed and nothing is opened",
    )


class EntryIntent(NamedTuple):
    """A position about to be asked for.

    symbol : str
    direction : int                      +1 long, -1 short
    notional_quote : float               estimated value at the last close
    last_close_ns : int                  close of the newest bar the decision saw
    interval_ns : int                    length of one bar
    model_trained_until_ns : int | None  last candle the model learned from; None: no model
    """

    symbol: str
    direction: int
    notional_quote: float
    last_close_ns: int
    interval_ns: int
    model_trained_until_ns: int | None = None


class RiskState(NamedTuple):
    """The whole account as the limits see it, quote currency."""

    equity_quote: float
    peak_equity_quote: float
    day_start_equity_quote: float
    day: int
    exposure_quote: float = 0.0
    open_positions: int = 0


@dataclass(frozen=True)
class Allowed:
    """No limit objects."""


@dataclass(frozen=True)
class Blocked:
    """A limit objects: never retry this intent.

    limit : str     name of the option that bites
    reason : str    limit, its value, the value met, and what to do
    """

    limit: str
    reason: str


def open_risk_state(equity_quote: float, now_ns: int) -> RiskState:
    """State of an account that has just been opened."""
    return RiskState(equity_quote, equity_quote, equity_quote, _day(now_ns))


def mark_risk_state(
    state: RiskState,
    *,
    equity_quote: float,
    exposure_quote: float,
    open_positions: int,
    now_ns: int,
) -> RiskState:
    """State after the account was valued at `now_ns`; a new UTC day starts from the last value."""
    day = _day(now_ns)
    return RiskState(
        equity_quote=equity_quote,
        peak_equity_quote=max(state.peak_equity_quote, equity_quote),
        day_start_equity_quote=(
            state.day_start_equity_quote if day == state.day else state.equity_quote
        ),
        day=day,
        exposure_quote=exposure_quote,
        open_positions=open_positions,
    )


class RiskGuard:
    """Holds entries to `RiskLimits` and carries the kill switch.

    Parameters
    ----------
    limits : RiskLimits

    Notes
    -----
    The switch is on while `limits.kill_switch_file` exists, and for good after `kill`.
    """

    def __init__(self, limits: RiskLimits | None = None) -> None:
        self.limits = RiskLimits() if limits is None else limits
        self._kill_file = Path(self.limits.kill_switch_file)
        self._killed_because: str | None = None

    def kill(self, reason: str) -> None:
        """Pull the switch: close what is open, open nothing more."""
        self._killed_because = reason

    def killed_because(self) -> str | None:
        """Why the kill switch is on; None while it is off."""
        if self._killed_because is not None:
            return self._killed_because
        return f"file {self._kill_file} exists" if self._kill_file.exists() else None

    def check(self, intent: EntryIntent, state: RiskState, clock: Clock) -> Allowed | Blocked:
        """Allowed, or Blocked by the first limit that objects."""
        because = self.killed_because()
        if because is not None:
            return Blocked(
                "kill_switch",
                f"{intent.symbol} entry must wait until the kill switch is off, was on: "
                f"{because}; remove the file or start a new session to trade again",
            )
        return next(_objections(self.limits, intent, state, clock.now_ns()), Allowed())


def _objections(
    limits: RiskLimits, intent: EntryIntent, state: RiskState, now_ns: int
) -> Iterator[Blocked]:
    yield from _data_objections(limits, intent, now_ns)
    yield from _loss_objections(limits, intent.symbol, state)
    yield from _size_objections(limits, intent, state)


def _data_objections(limits: RiskLimits, intent: EntryIntent, now_ns: int) -> Iterator[Blocked]:
    age_bars = (now_ns - intent.last_close_ns) / intent.interval_ns
    if age_bars > limits.stale_data_bars:
        yield Blocked(
            "stale_data_bars",
            f"{intent.symbol} last bar must be at most stale_data_bars {limits.stale_data_bars:g} "
            f"bars old, was {age_bars:.4g}; check the candle source",
        )
    trained_until_ns = intent.model_trained_until_ns
    if trained_until_ns is None:
        return
    age_days = (now_ns - trained_until_ns) / DAY_NS
    if age_days > limits.max_model_age_days:
        yield Blocked(
            "max_model_age_days",
            f"{intent.symbol} model must be at most max_model_age_days "
            f"{limits.max_model_age_days:g} days old, was {age_days:.4g}; retrain it",
        )


def _loss_objections(limits: RiskLimits, symbol: str, state: RiskState) -> Iterator[Blocked]:
    if not state.equity_quote > 0:
        yield Blocked(
            "max_drawdown_frac",
            f"{symbol} entry must have equity > 0 behind it, was {state.equity_quote:.8g}",
        )
        return
    fall = 1 - state.equity_quote / state.peak_equity_quote
    if fall >= limits.max_drawdown_frac:
        yield Blocked(
            "max_drawdown_frac",
            f"{symbol} entry must keep drawdown below max_drawdown_frac "
            f"{limits.max_drawdown_frac:g}, was {fall:.4g}; "
            "review the strategy, then start a new session",
        )
    loss = 1 - state.equity_quote / state.day_start_equity_quote
    if loss >= limits.max_daily_loss_frac:
        yield Blocked(
            "max_daily_loss_frac",
            f"{symbol} entry must keep the day's loss below max_daily_loss_frac "
            f"{limits.max_daily_loss_frac:g}, was {loss:.4g}; entries resume at UTC midnight",
        )


def _size_objections(
    limits: RiskLimits, intent: EntryIntent, state: RiskState
) -> Iterator[Blocked]:
    if state.open_positions >= limits.max_open_positions:
        yield Blocked(
            "max_open_positions",
            f"{intent.symbol} entry must find fewer than max_open_positions "
            f"{limits.max_open_positions} positions open, was {state.open_positions}",
        )
    exposure = (state.exposure_quote + intent.notional_quote) / state.equity_quote
    if exposure > limits.max_exposure_frac:
        yield Blocked(
            "max_exposure_frac",
            f"{intent.symbol} entry must keep exposure within max_exposure_frac "
            f"{limits.max_exposure_frac:g} of equity, was {exposure:.4g}",
        )


def _day(now_ns: int) -> int:
    """UTC day a moment ends; midnight closes the day before it."""
    return (now_ns - 1) // DAY_NS
