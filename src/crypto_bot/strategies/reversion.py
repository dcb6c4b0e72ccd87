"""Mean reversion: an exaggerated move comes back, within a limited time.

Both strategies want a side from the bar that triggers until the move is undone or `hold_bars` have
passed, whichever comes first. That memory is finite, so any tail longer than it gives the same
signals as the whole.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numba import njit
from pydantic import Field

from crypto_bot.core import Signals
from crypto_bot.core.arrays import PerBar
from crypto_bot.strategies.base import Columns, StrategyParameters, strategy


class MeanBotParameters(StrategyParameters):
    """Parameters of `mean_bot`."""

    below: ClassVar[tuple[tuple[str, str], ...]] = (("exit_deviation", "entry_deviation"),)

    window: int = Field(
        default=20, ge=5, le=100, description="window of bands, VWAP and z-scores, bars"
    )
    rsi_bars: int = Field(default=14, ge=5, le=50, description="window of the RSI's z-score, bars")
    adx_bars: int = Field(default=14, ge=5, le=50, description="window of ADX and ATR, bars")
    adx_max: float = Field(default=20.0, ge=5, le=60, description="no entry in a stronger trend")
    narrow_ratio: float = Field(
        default=1.2, ge=0.2, le=3, description="Bollinger over Keltner width, at most"
    )
    entry_deviation: float = Field(
        default=1.5,
        ge=0.5,
        le=3,
        description="mean deviation to enter at, about standard deviations",
    )
    exit_deviation: float = Field(
        default=0.0, ge=-1, le=1, description="mean deviation at which the move is undone"
    )
    hold_bars: int = Field(default=24, ge=1, le=500, description="bars the side is wanted, at most")

    def features(self) -> tuple[str, ...]:
        """Four deviations, the bands' edges, and ADX."""
        n = self.window
        return (
            f"rsi_z_{self.rsi_bars}",
            f"zscore_{n}",
            f"vwap_{n}",
            f"bb_upper_{n}",
            f"bb_lower_{n}",
            f"keltner_upper_{n}",
            f"keltner_lower_{n}",
            f"atr_{self.adx_bars}",
            f"adx_{self.adx_bars}",
        )

    def lookback_bars(self) -> int:
        """The longest time a side can be wanted."""
        return self.hold_bars


@strategy(
    "mean_bot",
    parameters=MeanBotParameters,
    regime=("mean-reverting", "sideways"),
    signal_exit="flat",
    prices=("close",),
)
def mean_bot(columns: Columns, parameters: MeanBotParameters) -> Signals:
    """Fade a stretched price in a quiet market until it is back at its mean.

    The deviation is the mean of four, each cut at 3: z-score of the RSI, z-score of the close,
    distance from the middle of the Keltner channel in halves of its half-width, distance from the
    VWAP in ATR. Enter against it where it reaches `entry_deviation`, the Bollinger bands are at
    most `narrow_ratio` times as wide as the Keltner channel and ADX is at most `adx_max`; wanted
    until it passes `exit_deviation` or `hold_bars` are over. Score: size of the deviation / 3.

    Data: open to close, volume.

    Mended: the originals filled NaN with the mean of the whole column, which reads the future; here
    a NaN has no side. Their ewm over a short slice is replaced by features with a declared history.
    """
    p = parameters
    read = tuple(columns[name] for name in p.features())
    limits = (p.adx_max, p.narrow_ratio, p.entry_deviation, p.exit_deviation, p.hold_bars)
    arguments: tuple[Any, ...] = (columns["close"], *read, *limits)
    return Signals(*_mean(*arguments))


@njit(cache=True, nogil=True)
def _cut(value: float) -> float:
    return min(max(value, -3.0), 3.0)


@njit(cache=True, nogil=True)
def _mean(  # type: ignore[no-untyped-def]
    close: PerBar,
    rsi_z: PerBar,
    zscore: PerBar,
    vwap: PerBar,
    bb_upper: PerBar,
    bb_lower: PerBar,
    keltner_upper: PerBar,
    keltner_lower: PerBar,
    atr: PerBar,
    adx: PerBar,
    adx_max: float,
    narrow_ratio: float,
    entry: float,
    leave: float,
    hold_bars: int,
):
    direction = np.zeros(len(close), np.int8)
    score = np.zeros(len(close))
    side, left = 0, 0
    for i in range(len(close)):
        left -= 1
        width = keltner_upper[i] - keltner_lower[i]
        band = bb_upper[i] - bb_lower[i]
        total = rsi_z[i] + zscore[i] + vwap[i] + band + adx[i]
        if not (width > 0.0 and atr[i] > 0.0 and total == total):
            left = 0
            continue
        middle = 0.5 * (keltner_upper[i] + keltner_lower[i])
        deviation = 0.25 * (
            _cut(rsi_z[i])
            + _cut(zscore[i])
            + _cut(4.0 * (close[i] - middle) / width)
            + _cut((close[i] - vwap[i]) / atr[i])
        )
        size = abs(deviation)
        if size >= entry and adx[i] <= adx_max and band <= narrow_ratio * width:
            side, left = (-1 if deviation > 0.0 else 1), hold_bars
        elif left > 0 and -side * deviation <= leave:
            left = 0
        if left > 0:
            direction[i] = side
            score[i] = size / 3.0
    return direction, score


class DipHunterParameters(StrategyParameters):
    """Parameters of `dip_hunter`."""

    below: ClassVar[tuple[tuple[str, str], ...]] = (("rsi_max", "rsi_exit"),)

    dip_bars: int = Field(default=3, ge=1, le=50, description="bars over which the price fell")
    dip_frac: float = Field(default=0.03, ge=0.001, le=0.3, description="fall, fraction of price")
    window: int = Field(default=14, ge=5, le=50, description="window of RSI and ADX, bars")
    rsi_max: float = Field(default=30.0, ge=5, le=50, description="RSI must be below")
    band_bars: int = Field(default=20, ge=5, le=100, description="window of %B and volume, bars")
    percent_b_max: float = Field(
        default=0.1, ge=-0.5, le=0.5, description="%B (0 lower, 1 upper band) must be below"
    )
    volume_ratio_min: float = Field(
        default=1.5, ge=0, le=5, description="volume over its mean must exceed"
    )
    adx_max: float = Field(default=25.0, ge=5, le=60, description="trend may be this strong ...")
    trend_bars: int = Field(
        default=200, ge=20, le=1000, description="... or the close is above this average, bars"
    )
    rsi_exit: float = Field(default=50.0, ge=30, le=90, description="recovered at this RSI")
    hold_bars: int = Field(default=24, ge=1, le=500, description="bars the side is wanted, at most")

    def features(self) -> tuple[str, ...]:
        """The fall, RSI, %B, volume, ADX and the long average."""
        return (
            f"return_{self.dip_bars}",
            f"rsi_{self.window}",
            f"bb_percent_{self.band_bars}",
            f"volume_ratio_{self.band_bars}",
            f"adx_{self.window}",
            f"ema_{self.trend_bars}",
        )

    def lookback_bars(self) -> int:
        """The longest time a side can be wanted."""
        return self.hold_bars


@strategy(
    "dip_hunter",
    parameters=DipHunterParameters,
    regime=("mean-reverting",),
    signal_exit="flat",
    prices=("close",),
)
def dip_hunter(columns: Columns, parameters: DipHunterParameters) -> Signals:
    """Buy a sharp fall on heavy volume, unless it is a strong trend down. Long only.

    Enter where the price fell at least `dip_frac` within `dip_bars`, RSI is below `rsi_max`, %B
    below `percent_b_max`, volume above `volume_ratio_min` times its mean, and either ADX is below
    `adx_max` or the close is above its `trend_bars` average. Wanted until RSI reaches `rsi_exit`
    or `hold_bars` are over. Score: the fall over twice `dip_frac`, at most 1, of the last trigger.

    Data: open to close, volume. On short bars a fall of 3 % is rare: lower `dip_frac` for more.

    Mended: the original took a higher timeframe's average from a bar that had not closed; here the
    long average is one of closed bars of the same timeframe.
    """
    p = parameters
    read = tuple(columns[name] for name in p.features())
    limits = (p.dip_frac, p.rsi_max, p.percent_b_max, p.volume_ratio_min, p.adx_max)
    arguments: tuple[Any, ...] = (columns["close"], *read, *limits, p.rsi_exit, p.hold_bars)
    return Signals(*_dip(*arguments))


@njit(cache=True, nogil=True)
def _dip(  # type: ignore[no-untyped-def]
    close: PerBar,
    fall: PerBar,
    rsi: PerBar,
    percent_b: PerBar,
    volume_ratio: PerBar,
    adx: PerBar,
    average: PerBar,
    dip_frac: float,
    rsi_max: float,
    percent_b_max: float,
    volume_ratio_min: float,
    adx_max: float,
    rsi_exit: float,
    hold_bars: int,
):
    direction = np.zeros(len(close), np.int8)
    score = np.zeros(len(close))
    left, strength = 0, 0.0
    for i in range(len(close)):
        left -= 1
        total = fall[i] + rsi[i] + percent_b[i] + volume_ratio[i] + adx[i] + average[i]
        if total != total:
            left = 0
            continue
        is_dip = fall[i] <= -dip_frac and rsi[i] < rsi_max and percent_b[i] < percent_b_max
        is_safe = adx[i] < adx_max or close[i] > average[i]
        if is_dip and is_safe and volume_ratio[i] > volume_ratio_min:
            left, strength = hold_bars, min(-fall[i] / (2.0 * dip_frac), 1.0)
        elif left > 0 and rsi[i] >= rsi_exit:
            left = 0
        if left > 0:
            direction[i] = 1
            score[i] = strength
    return direction, score
