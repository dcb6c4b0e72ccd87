"""Single events: a new listing that runs, an outsized body, a crash within one bar."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numba import njit
from pydantic import Field

from crypto_bot.core import Signals
from crypto_bot.core.arrays import PerBar
from crypto_bot.strategies.base import Columns, StrategyParameters, strategy
from crypto_bot.strategies.needs import LISTING, Need


class SniperBotParameters(StrategyParameters):
    """Parameters of `sniper_bot`."""

    data_choices: ClassVar[tuple[str, ...]] = ("mode",)

    mode: Literal["body", "listing"] = Field(
        default="body", description="'listing': new listings, by their age in bars"
    )
    body_atr: float = Field(
        default=1.5, ge=0.5, le=10, description="body: open to close, ATR of the bar before, above"
    )
    atr_bars: int = Field(default=14, ge=5, le=50, description="body: window of the ATR, bars")
    volume_bars: int = Field(
        default=20, ge=5, le=100, description="body: window of mean volume, bars"
    )
    listing_bars: int = Field(
        default=30, ge=5, le=200, description="listing: oldest age that is new, bars"
    )
    base_bars: int = Field(
        default=3, ge=1, le=20, description="listing: first bars, whose mean volume is the base"
    )
    move_frac: float = Field(
        default=0.05, ge=0.005, le=1, description="listing: move since the first close, at least"
    )
    volume_ratio_min: float = Field(
        default=1.5, ge=0, le=10, description="volume over its mean or base, at least"
    )
    hold_bars: int = Field(default=12, ge=1, le=500, description="bars the side is wanted")

    def features(self) -> tuple[str, ...]:
        """ATR and volume for bodies; a new listing is too young for any."""
        if self.mode == "listing":
            return ()
        return (f"atr_{self.atr_bars}", f"volume_ratio_{self.volume_bars}")

    def needs(self) -> tuple[Need, ...]:
        """The listing's age, if listings are traded."""
        return (LISTING,) if self.mode == "listing" else ()

    def lookback_bars(self) -> int:
        """The bars since the listing, or the bar before, and the time a side is wanted."""
        reach = self.listing_bars + 1 if self.mode == "listing" else 2
        return reach + self.hold_bars - 1


@strategy(
    "sniper_bot",
    parameters=SniperBotParameters,
    regime=("breakout", "volatile"),
    signal_exit="flat",
    prices=("open", "close", "volume"),
)
def sniper_bot(columns: Columns, parameters: SniperBotParameters) -> Signals:
    """Jump on a bar with an outsized body, or on a new listing that runs.

    mode='body': go with a bar whose body exceeds `body_atr` ATR of the bar before on volume of at
    least `volume_ratio_min` times its mean. mode='listing': from `base_bars` to `listing_bars`
    after the listing, go with a move of at least `move_frac` since the first close on volume of at
    least `volume_ratio_min` times the mean of the first `base_bars`. The side is wanted for
    `hold_bars`. Score: half at the limit, 1 at twice it.

    Data: open to close, volume; mode='listing' needs the age of the listing in bars, and its first
    bars among the columns.

    Mended: the original took the first candle it was given for the listing, so any short slice of
    an old market was new; the age must be given. Its ATR held the very bar that was measured by it.
    """
    p = parameters
    start, close, volume = columns["open"], columns["close"], columns["volume"]
    if p.mode == "listing":
        age = columns["listing_age_bars"]
        ages = (p.base_bars, p.listing_bars, p.move_frac, p.volume_ratio_min, p.hold_bars)
        return Signals(*_listing(close, volume, age, *ages))
    atr, volume_ratio = (columns[name] for name in p.features())
    limits = (p.body_atr, p.volume_ratio_min, p.hold_bars)
    return Signals(*_body(start, close, atr, volume_ratio, *limits))


@njit(cache=True, nogil=True)
def _body(  # type: ignore[no-untyped-def]
    start: PerBar,
    close: PerBar,
    atr: PerBar,
    volume_ratio: PerBar,
    body_atr: float,
    volume_ratio_min: float,
    hold_bars: int,
):
    direction = np.zeros(len(close), np.int8)
    score = np.zeros(len(close))
    side, left, strength = 0, 0, 0.0
    for i in range(len(close)):
        left -= 1
        total = atr[i] + volume_ratio[i]
        if total != total:
            left = 0
            continue
        body = close[i] - start[i]
        limit = body_atr * atr[i - 1] if i > 0 else np.nan
        if limit > 0.0 and volume_ratio[i] >= volume_ratio_min and abs(body) > limit:
            side, left = (1 if body > 0.0 else -1), hold_bars
            strength = min(0.5 * abs(body) / limit, 1.0)
        if left > 0:
            direction[i] = side
            score[i] = strength
    return direction, score


@njit(cache=True, nogil=True)
def _listing(  # type: ignore[no-untyped-def]
    close: PerBar,
    volume: PerBar,
    age: PerBar,
    base_bars: int,
    listing_bars: int,
    move_frac: float,
    volume_ratio_min: float,
    hold_bars: int,
):
    direction = np.zeros(len(close), np.int8)
    score = np.zeros(len(close))
    side, left, strength = 0, 0, 0.0
    for i in range(len(close)):
        left -= 1
        if not age[i] >= 0.0:
            left = 0
            continue
        if base_bars <= age[i] <= listing_bars and i >= int(age[i]):
            first = i - int(age[i])
            base = np.mean(volume[first : first + base_bars])
            move = close[i] / close[first] - 1.0
            if abs(move) >= move_frac and volume[i] >= volume_ratio_min * base:
                side, left = (1 if move > 0.0 else -1), hold_bars
                strength = min(0.5 * abs(move) / move_frac, 1.0)
        if left > 0:
            direction[i] = side
            score[i] = strength
    return direction, score


class FlashCrashBotParameters(StrategyParameters):
    """Parameters of `flash_crash_bot`."""

    drop_frac: float = Field(
        default=0.1, ge=0.005, le=0.5, description="fall within one bar, fraction, at least"
    )
    volume_bars: int = Field(default=20, ge=5, le=100, description="window of mean volume, bars")
    volume_ratio_min: float = Field(
        default=5.0, ge=0, le=15, description="volume over its mean, at least"
    )
    trend_bars: int = Field(
        default=200, ge=20, le=1000, description="close is below this average, bars"
    )
    recovery_frac: float = Field(
        default=0.5, ge=0.05, le=1, description="part of the fall after which it is over"
    )
    hold_bars: int = Field(default=48, ge=1, le=500, description="bars the side is wanted, at most")

    def features(self) -> tuple[str, ...]:
        """The fall, volume and the long average."""
        return ("return_1", f"volume_ratio_{self.volume_bars}", f"ema_{self.trend_bars}")

    def lookback_bars(self) -> int:
        """The longest time a side can be wanted."""
        return self.hold_bars


@strategy(
    "flash_crash_bot",
    parameters=FlashCrashBotParameters,
    regime=("volatile",),
    signal_exit="flat",
    prices=("close",),
)
def flash_crash_bot(columns: Columns, parameters: FlashCrashBotParameters) -> Signals:
    """Buy a crash within one bar until part of it is regained. Long only.

    Enter where one bar falls by at least `drop_frac` on volume of at least `volume_ratio_min`
    times its mean to a close below the `trend_bars` average. Wanted until `recovery_frac` of that
    fall is regained at a close, or `hold_bars` are over. Score: the fall over twice `drop_frac`, at
    most 1.

    Data: closes, volume. A bar that falls by a tenth is rare: lower `drop_frac` for more.

    Mended: the original had no end but the exits of its wallet; here the recovery ends it. The mean
    volume holds the crash itself, so over 20 bars no ratio can exceed 20.
    """
    p = parameters
    drop, volume_ratio, average = (columns[name] for name in p.features())
    limits = (p.drop_frac, p.volume_ratio_min, p.recovery_frac, p.hold_bars)
    return Signals(*_crash(columns["close"], drop, volume_ratio, average, *limits))


@njit(cache=True, nogil=True)
def _crash(  # type: ignore[no-untyped-def]
    close: PerBar,
    change: PerBar,
    volume_ratio: PerBar,
    average: PerBar,
    drop_frac: float,
    volume_ratio_min: float,
    recovery_frac: float,
    hold_bars: int,
):
    direction = np.zeros(len(close), np.int8)
    score = np.zeros(len(close))
    left, strength, goal = 0, 0.0, 0.0
    for i in range(len(close)):
        left -= 1
        total = change[i] + volume_ratio[i] + average[i]
        if total != total:
            left = 0
            continue
        is_heavy = volume_ratio[i] >= volume_ratio_min
        if change[i] <= -drop_frac and is_heavy and close[i] < average[i]:
            left, strength = hold_bars, min(-0.5 * change[i] / drop_frac, 1.0)
            goal = close[i] + recovery_frac * (close[i] / (1.0 + change[i]) - close[i])
        elif close[i] >= goal:
            left = 0
        if left > 0:
            direction[i] = 1
            score[i] = strength
    return direction, score
