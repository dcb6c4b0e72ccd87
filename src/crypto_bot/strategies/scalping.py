"""Scalping: short moves taken quickly, with every filter that keeps noise out."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numba import njit
from pydantic import Field

from crypto_bot.core import Signals
from crypto_bot.core.arrays import PerBar
from crypto_bot.strategies.base import Columns, StrategyParameters, strategy
from crypto_bot.strategies.needs import BOOK_SIZES, Need

_NO_COLUMN = np.empty(0)


class MicroScalpBotParameters(StrategyParameters):
    """Parameters of `micro_scalp_bot`."""

    below: ClassVar[tuple[tuple[str, str], ...]] = (("fast", "slow"), ("slow", "trend_bars"))
    data_choices: ClassVar[tuple[str, ...]] = ("book",)

    fast: int = Field(default=2, ge=2, le=50, description="span of the fast average, bars")
    slow: int = Field(default=5, ge=3, le=100, description="span of the slow average, bars")
    trend_bars: int = Field(
        default=60, ge=10, le=1000, description="average that stands for the higher timeframe, bars"
    )
    momentum_atr: float = Field(
        default=0.1, ge=0.01, le=3, description="averages are apart by this, ATR, at least"
    )
    atr_bars: int = Field(default=14, ge=5, le=50, description="window of the ATR, bars")
    atr_frac_min: float = Field(
        default=0.001, ge=0, le=0.02, description="ATR, fraction of price, at least"
    )
    volume_bars: int = Field(default=20, ge=5, le=100, description="window of the volume z, bars")
    volume_z_min: float = Field(default=-0.5, ge=-2, le=3, description="volume z, at least")
    wick_frac_max: float = Field(
        default=0.5, ge=0, le=1, description="wick ahead of the move, part of the bar, at most"
    )
    book: Literal["none", "imbalance"] = Field(
        default="none", description="'imbalance': the order book must lean the same way"
    )
    imbalance_min: float = Field(
        default=0.1, ge=0, le=1, description="book: its lean -1..1 towards the side, at least"
    )

    def features(self) -> tuple[str, ...]:
        """Three averages, ATR and volume."""
        averages = tuple(f"ema_{span}" for span in (self.fast, self.slow, self.trend_bars))
        return (*averages, f"atr_frac_{self.atr_bars}", f"volume_z_{self.volume_bars}")

    def needs(self) -> tuple[Need, ...]:
        """Sizes at the best bid and ask, if the book must agree."""
        return (BOOK_SIZES,) if self.book == "imbalance" else ()


@strategy(
    "micro_scalp_bot",
    parameters=MicroScalpBotParameters,
    regime=("trending", "volatile"),
    signal_exit="flat",
    prices=("open", "high", "low", "close"),
)
def micro_scalp_bot(columns: Columns, parameters: MicroScalpBotParameters) -> Signals:
    """Ride a short move that the longer trend, volume and the bar itself agree with.

    Long while the fast average is above the slow one by at least `momentum_atr` ATR, the close is
    above the `trend_bars` average, ATR is at least `atr_frac_min` of the price, the volume z at
    least `volume_z_min`, and the upper wick at most `wick_frac_max` of the bar; with
    book='imbalance' also the order book must lean that way. Short mirrors it, with the lower wick.
    Score: distance of the averages in ATR, at most 1.

    Data: open to close, volume; meant for 1-minute bars. book='imbalance' needs the order book.

    Mended: the original left a filter out when its data were missing; here the book is asked for or
    not used, never half. Its higher timeframe came from a bar that had not closed: here it is a
    longer average of closed bars.
    """
    p = parameters
    read = tuple(columns[name] for name in (*p.features(), "open", "high", "low", "close"))
    sizes = tuple(columns[name] for need in p.needs() for name in need.columns)
    bid_size, ask_size = sizes or (_NO_COLUMN, _NO_COLUMN)
    limits = (p.momentum_atr, p.atr_frac_min, p.volume_z_min, p.wick_frac_max, p.imbalance_min)
    arguments: tuple[Any, ...] = (*read, bid_size, ask_size, *limits)
    return Signals(*_scalp(*arguments))


@njit(cache=True, nogil=True)
def _scalp(  # type: ignore[no-untyped-def]
    fast: PerBar,
    slow: PerBar,
    trend: PerBar,
    atr_frac: PerBar,
    volume_z: PerBar,
    start: PerBar,
    high: PerBar,
    low: PerBar,
    close: PerBar,
    bid_size: PerBar,
    ask_size: PerBar,
    momentum_atr: float,
    atr_frac_min: float,
    volume_z_min: float,
    wick_frac_max: float,
    imbalance_min: float,
):
    direction = np.zeros(len(close), np.int8)
    score = np.zeros(len(close))
    for i in range(len(close)):
        gap = fast[i] - slow[i]
        side = 1 if gap > 0.0 else -1
        atr = atr_frac[i] * close[i]
        total = gap + trend[i] + atr_frac[i] + volume_z[i]
        if not (total == total and atr > 0.0 and side * gap >= momentum_atr * atr):
            continue
        if atr_frac[i] < atr_frac_min or volume_z[i] < volume_z_min:
            continue
        top, bottom = max(start[i], close[i]), min(start[i], close[i])
        wick = high[i] - top if side > 0 else bottom - low[i]
        if side * (close[i] - trend[i]) <= 0.0 or wick > wick_frac_max * (high[i] - low[i]):
            continue
        if len(bid_size) > 0:
            both = bid_size[i] + ask_size[i]
            if not (both > 0.0 and side * (bid_size[i] - ask_size[i]) >= imbalance_min * both):
                continue
        direction[i] = side
        score[i] = min(side * gap / atr, 1.0)
    return direction, score


class BounceScalperParameters(StrategyParameters):
    """Parameters of `bounce_scalper`."""

    down_bars: int = Field(
        default=2, ge=1, le=10, description="closes in a row against the side before the turn"
    )
    rsi_bars: int = Field(default=14, ge=5, le=50, description="window of the RSI's z-score, bars")
    rsi_z_min: float = Field(
        default=1.0, ge=0, le=3, description="RSI z of the bar before the turn, at least this far"
    )
    volume_bars: int = Field(default=20, ge=5, le=100, description="window of the volume z, bars")
    volume_z_min: float = Field(default=1.5, ge=-1, le=4, description="volume z must exceed")
    pattern: Literal["either", "engulfing", "hammer", "none"] = Field(
        default="either", description="shape of the turning bar"
    )
    higher_low: bool = Field(default=True, description="the turning bar has the higher low")
    hold_bars: int = Field(default=12, ge=1, le=500, description="bars the side is wanted, at most")

    def features(self) -> tuple[str, ...]:
        """The z-scores of RSI and volume."""
        return (f"rsi_z_{self.rsi_bars}", f"volume_z_{self.volume_bars}")

    def lookback_bars(self) -> int:
        """The closes before the turn, and the time a side is wanted."""
        return self.down_bars + 2 + self.hold_bars - 1


@strategy(
    "bounce_scalper",
    parameters=BounceScalperParameters,
    regime=("mean-reverting", "volatile"),
    signal_exit="flat",
    prices=("open", "high", "low", "close"),
)
def bounce_scalper(columns: Columns, parameters: BounceScalperParameters) -> Signals:
    """Buy the bar that turns after falling closes, on volume, while its low holds.

    Long: after `down_bars` falling closes that end at an RSI z of -`rsi_z_min` or less, a bar
    closes higher, on a volume z above `volume_z_min`, with a higher low than the bar before, and
    shaped as a hammer (a lower wick of twice the body, an upper one of no more than the body) or
    engulfing (up, and closing at or above the open of the falling bar before). Short mirrors it.
    Wanted for `hold_bars`, or until a close passes the lower low of the last two bars. Score: mean
    of both z over 3, each at most 1.

    Data: open to close, volume.

    Mended: the original measured RSI at the turning bar, where it has already left its extreme; here
    at the bar before. Engulfing asks nothing of the open, which in a market without pauses is the
    last close.
    """
    p = parameters
    read = tuple(columns[name] for name in (*p.features(), "open", "high", "low", "close"))
    shape = {"none": 0, "engulfing": 1, "hammer": 2, "either": 3}[p.pattern]
    limits = (p.down_bars, p.rsi_z_min, p.volume_z_min, shape, p.higher_low, p.hold_bars)
    arguments: tuple[Any, ...] = (*read, *limits)
    return Signals(*_bounce(*arguments))


@njit(cache=True, nogil=True)
def _is_turn(  # type: ignore[no-untyped-def]
    start: PerBar,
    high: PerBar,
    low: PerBar,
    close: PerBar,
    i: int,
    side: int,
    down_bars: int,
    shape: int,
    higher_low: bool,
):
    """Whether bar i turns to this side after `down_bars` closes against it."""
    if not side * (close[i] - close[i - 1]) > 0.0:
        return False
    for back in range(1, down_bars + 1):
        if not side * (close[i - back] - close[i - back - 1]) < 0.0:
            return False
    if higher_low and not (low[i] > low[i - 1] if side > 0 else high[i] < high[i - 1]):
        return False
    body = side * (close[i] - start[i])
    is_against = side * (close[i - 1] - start[i - 1]) < 0.0
    is_engulfing = body > 0.0 and is_against and side * (close[i] - start[i - 1]) >= 0.0
    lower, upper = min(start[i], close[i]) - low[i], high[i] - max(start[i], close[i])
    behind, ahead = (lower, upper) if side > 0 else (upper, lower)
    is_hammer = behind >= 2.0 * abs(body) and ahead <= abs(body) and behind > 0.0
    return shape == 0 or (shape & 1 and is_engulfing) or (shape & 2 and is_hammer)


@njit(cache=True, nogil=True)
def _bounce(  # type: ignore[no-untyped-def]
    rsi_z: PerBar,
    volume_z: PerBar,
    start: PerBar,
    high: PerBar,
    low: PerBar,
    close: PerBar,
    down_bars: int,
    rsi_z_min: float,
    volume_z_min: float,
    shape: int,
    higher_low: bool,
    hold_bars: int,
):
    direction = np.zeros(len(close), np.int8)
    score = np.zeros(len(close))
    side, left, strength, floor = 0, 0, 0.0, 0.0
    for i in range(len(close)):
        left -= 1
        total = rsi_z[i] + volume_z[i]
        if total != total:
            left = 0
            continue
        if left > 0 and side * (close[i] - floor) < 0.0:
            left = 0
        if i > down_bars and volume_z[i] > volume_z_min and abs(rsi_z[i - 1]) >= rsi_z_min:
            turn = 1 if rsi_z[i - 1] < 0.0 else -1
            if _is_turn(start, high, low, close, i, turn, down_bars, shape, higher_low):
                side, left = turn, hold_bars
                floor = min(low[i], low[i - 1]) if turn > 0 else max(high[i], high[i - 1])
                stretch = min(abs(rsi_z[i - 1]) / 3.0, 1.0)
                strength = 0.5 * (stretch + min(max(volume_z[i], 0.0) / 3.0, 1.0))
        if left > 0:
            direction[i] = side
            score[i] = strength
    return direction, score
