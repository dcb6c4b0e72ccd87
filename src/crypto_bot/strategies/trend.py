"""Trend and momentum: what moves keeps moving."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numba import njit
from pydantic import Field

from crypto_bot.core import Signals
from crypto_bot.core.arrays import PerBar
from crypto_bot.strategies.base import Columns, StrategyParameters, strategy

_NO_COLUMN = np.empty(0)


class TrendBotParameters(StrategyParameters):
    """Parameters of `trend_bot`."""

    below: ClassVar[tuple[tuple[str, str], ...]] = (("fast", "slow"), ("oversold", "overbought"))

    fast: int = Field(default=3, ge=2, le=50, description="span of the fast average, bars")
    slow: int = Field(default=10, ge=3, le=200, description="span of the slow average, bars")
    window: int = Field(default=14, ge=5, le=50, description="window of RSI, ADX and ATR, bars")
    oversold: float = Field(default=30.0, ge=5, le=45, description="no shorts below this RSI")
    overbought: float = Field(default=70.0, ge=55, le=95, description="no longs above this RSI")
    rsi_shift: float = Field(
        default=2.0, ge=0, le=10, description="RSI points both limits widen per 1 % of ATR"
    )
    adx_min: float = Field(default=15.0, ge=0, le=50, description="a trend has at least this ADX")
    volume_bars: int = Field(default=20, ge=5, le=100, description="window of mean volume, bars")
    volume_ratio_min: float = Field(
        default=1.0, ge=0, le=3, description="volume over its mean must reach this"
    )
    channel: Literal["none", "donchian"] = Field(
        default="none", description="'donchian': the close must also leave the channel"
    )
    channel_bars: int = Field(default=20, ge=5, le=100, description="window of the channel, bars")

    def features(self) -> tuple[str, ...]:
        """Averages, RSI, ADX, ATR, volume, and the channel if it is asked for."""
        n = self.window
        names = (
            f"ema_{self.fast}",
            f"ema_{self.slow}",
            f"rsi_{n}",
            f"adx_{n}",
            f"atr_frac_{n}",
            f"volume_ratio_{self.volume_bars}",
        )
        if self.channel == "none":
            return names
        return (*names, f"donchian_high_{self.channel_bars}", f"donchian_low_{self.channel_bars}")

    def lookback_bars(self) -> int:
        """A fresh cross compares with the bar before."""
        return 2


@strategy(
    "trend_bot",
    parameters=TrendBotParameters,
    regime=("trending",),
    signal_exit="opposite",
    prices=("close",),
)
def trend_bot(columns: Columns, parameters: TrendBotParameters) -> Signals:
    """Follow aligned averages that RSI, ADX and volume confirm.

    Long: fast average above slow, RSI between 50 and the overbought limit, ADX at least `adx_min`
    or the averages crossed on this very bar (ADX lags at a turn), volume at least its mean, and
    with channel='donchian' a close above the previous `channel_bars` highs. Short mirrors it. The
    RSI limits widen with volatility: `rsi_shift` points per 1 % of ATR. A position is kept until
    the other side. Score: mean of the RSI's way from 50 to its limit and of ADX / 50.

    Data: open to close, volume.

    Mended: the original's longs needed an oversold RSI while their score was (RSI - 50) / 50, which
    is negative there and clipped to 0, so no long ever scored; here RSI confirms the trend it is
    scored by. Averages come from the feature stage, not from an ewm over a short slice.
    """
    p = parameters
    fast, slow, rsi, adx, atr, volume, *channel = (columns[name] for name in p.features())
    high, low = channel or (_NO_COLUMN, _NO_COLUMN)
    limits = (p.oversold, p.overbought, p.rsi_shift, p.adx_min, p.volume_ratio_min)
    return Signals(*_trend(columns["close"], fast, slow, rsi, adx, atr, volume, high, low, *limits))


@njit(cache=True, nogil=True)
def _trend(  # type: ignore[no-untyped-def]
    close: PerBar,
    fast: PerBar,
    slow: PerBar,
    rsi: PerBar,
    adx: PerBar,
    atr_frac: PerBar,
    volume_ratio: PerBar,
    channel_high: PerBar,
    channel_low: PerBar,
    oversold: float,
    overbought: float,
    rsi_shift: float,
    adx_min: float,
    volume_ratio_min: float,
):
    direction = np.zeros(len(close), np.int8)
    score = np.zeros(len(close))
    has_channel = len(channel_high) > 0
    for i in range(len(close)):
        gap = fast[i] - slow[i]
        total = gap + rsi[i] + adx[i] + atr_frac[i] + volume_ratio[i]
        if has_channel:
            total += channel_high[i] + channel_low[i]
        if total != total or gap == 0.0:
            continue
        side = 1 if gap > 0.0 else -1
        lean = side * (rsi[i] - 50.0)
        limit = side * ((overbought if side > 0 else oversold) - 50.0)
        limit = min(limit + rsi_shift * 100.0 * atr_frac[i], 49.0)
        if lean <= 0.0 or lean >= limit or volume_ratio[i] < volume_ratio_min:
            continue
        is_fresh = i > 0 and side * (fast[i - 1] - slow[i - 1]) <= 0.0
        if adx[i] < adx_min and not is_fresh:
            continue
        if has_channel and not (
            close[i] > channel_high[i] if side > 0 else close[i] < channel_low[i]
        ):
            continue
        direction[i] = side
        score[i] = 0.5 * (lean / limit) + 0.5 * min(adx[i] / 50.0, 1.0)
    return direction, score


class MomentumBotParameters(StrategyParameters):
    """Parameters of `momentum_bot`."""

    below: ClassVar[tuple[tuple[str, str], ...]] = (
        ("fast", "slow"),
        ("rsi_short_max", "rsi_long_min"),
    )

    fast: int = Field(default=12, ge=2, le=50, description="fast span of the MACD, bars")
    slow: int = Field(default=26, ge=5, le=200, description="slow span of the MACD, bars")
    window: int = Field(default=14, ge=5, le=50, description="window of the RSI, bars")
    rsi_long_min: float = Field(default=50.0, ge=40, le=80, description="longs need a higher RSI")
    rsi_short_max: float = Field(default=45.0, ge=20, le=60, description="shorts need a lower RSI")
    channel_bars: int = Field(default=20, ge=5, le=100, description="low that a short breaks, bars")
    volume_bars: int = Field(default=20, ge=5, le=100, description="window of the volume z, bars")
    volume_z_min: float = Field(
        default=0.5, ge=-1, le=4, description="volume z that a breakdown must exceed"
    )

    def features(self) -> tuple[str, ...]:
        """MACD, RSI, the channel's low and the volume's z-score."""
        return (
            f"macd_line_{self.fast}_{self.slow}",
            f"rsi_{self.window}",
            f"donchian_low_{self.channel_bars}",
            f"volume_z_{self.volume_bars}",
        )


@strategy(
    "momentum_bot",
    parameters=MomentumBotParameters,
    regime=("trending", "volatile"),
    signal_exit="opposite",
    prices=("close",),
)
def momentum_bot(columns: Columns, parameters: MomentumBotParameters) -> Signals:
    """Ride upward momentum until the market breaks down on volume.

    Long: MACD above 0 and RSI above `rsi_long_min`. Short: close below the lowest low of the
    previous `channel_bars`, RSI below `rsi_short_max`, volume z-score above `volume_z_min`. A
    position is kept until the other side. Score: 0.5 at the RSI limit, 1 at an RSI of 100 or 0.

    Data: closes, lows, volume.

    Mended: the original was long when either the MACD or the RSI agreed, which is almost every
    bar, always with score 0.8; here both must agree, and the score is a measurement.
    """
    p = parameters
    macd, rsi, low, volume_z = (columns[name] for name in p.features())
    limits = (p.rsi_long_min, p.rsi_short_max, p.volume_z_min)
    return Signals(*_momentum(columns["close"], macd, rsi, low, volume_z, *limits))


@njit(cache=True, nogil=True)
def _momentum(  # type: ignore[no-untyped-def]
    close: PerBar,
    macd: PerBar,
    rsi: PerBar,
    channel_low: PerBar,
    volume_z: PerBar,
    rsi_long_min: float,
    rsi_short_max: float,
    volume_z_min: float,
):
    direction = np.zeros(len(close), np.int8)
    score = np.zeros(len(close))
    for i in range(len(close)):
        total = macd[i] + rsi[i] + channel_low[i] + volume_z[i]
        if total != total:
            continue
        if macd[i] > 0.0 and rsi[i] > rsi_long_min:
            direction[i] = 1
            score[i] = 0.5 + 0.5 * (rsi[i] - rsi_long_min) / (100.0 - rsi_long_min)
        elif close[i] < channel_low[i] and rsi[i] < rsi_short_max and volume_z[i] > volume_z_min:
            direction[i] = -1
            score[i] = 0.5 + 0.5 * (rsi_short_max - rsi[i]) / rsi_short_max
    return direction, score
