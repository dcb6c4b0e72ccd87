"""Breakouts: a quiet market that leaves its channel on volume."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from pydantic import Field

from crypto_bot.core import Signals
from crypto_bot.core.arrays import PerBar
from crypto_bot.strategies.base import Columns, StrategyParameters, strategy


class BreakoutBotParameters(StrategyParameters):
    """Parameters of `breakout_bot`."""

    squeeze_bars: int = Field(
        default=12, ge=5, le=100, description="window of Bollinger, Keltner and ATR, bars"
    )
    keltner_atr: float = Field(
        default=1.5, ge=0.5, le=4, description="half-width of the Keltner channel, ATR"
    )
    squeeze_memory_bars: int = Field(
        default=5, ge=1, le=100, description="a squeeze counts for this many bars, its own included"
    )
    channel_bars: int = Field(default=30, ge=5, le=200, description="channel that is left, bars")
    buffer_atr: float = Field(
        default=0.05, ge=0, le=2, description="close beyond the channel by more than this, ATR"
    )
    volume_bars: int = Field(default=20, ge=5, le=100, description="window of mean volume, bars")
    volume_ratio_min: float = Field(
        default=1.2, ge=0, le=5, description="volume over its mean must exceed"
    )

    def features(self) -> tuple[str, ...]:
        """Bands, channel middle, ATR, channel edges and volume."""
        n = self.squeeze_bars
        return (
            f"bb_upper_{n}",
            f"bb_lower_{n}",
            f"keltner_upper_{n}",
            f"keltner_lower_{n}",
            f"atr_{n}",
            f"donchian_high_{self.channel_bars}",
            f"donchian_low_{self.channel_bars}",
            f"volume_ratio_{self.volume_bars}",
        )

    def lookback_bars(self) -> int:
        """How long a squeeze is remembered."""
        return self.squeeze_memory_bars


@strategy(
    "breakout_bot",
    parameters=BreakoutBotParameters,
    regime=("breakout", "volatile"),
    signal_exit="opposite",
    prices=("close",),
)
def breakout_bot(columns: Columns, parameters: BreakoutBotParameters) -> Signals:
    """Go with a close outside the channel that follows a squeeze, on volume.

    A squeeze: the Bollinger bands lie inside a Keltner channel of `keltner_atr` ATR either side.
    Long where, at most `squeeze_memory_bars` after one, the close is above the highest high of the
    previous `channel_bars` by more than `buffer_atr` ATR and volume is above `volume_ratio_min`
    times its mean. Short mirrors it. A position is kept until the other side breaks. Score: way
    beyond the channel in ATR, at most 1.

    Data: open to close, volume.

    Mended: the channel is that of the bars before; a channel that contains the present bar can
    never be left. Columns are passed in, not cached by the id() of a frame that may be another.
    """
    p = parameters
    read = tuple(columns[name] for name in p.features())
    limits = (p.keltner_atr, p.squeeze_memory_bars, p.buffer_atr, p.volume_ratio_min)
    arguments: tuple[Any, ...] = (columns["close"], *read, *limits)
    return Signals(*_breakout(*arguments))


@njit(cache=True, nogil=True)
def _breakout(  # type: ignore[no-untyped-def]
    close: PerBar,
    bb_upper: PerBar,
    bb_lower: PerBar,
    keltner_upper: PerBar,
    keltner_lower: PerBar,
    atr: PerBar,
    channel_high: PerBar,
    channel_low: PerBar,
    volume_ratio: PerBar,
    keltner_atr: float,
    squeeze_memory_bars: int,
    buffer_atr: float,
    volume_ratio_min: float,
):
    direction = np.zeros(len(close), np.int8)
    score = np.zeros(len(close))
    left = 0
    for i in range(len(close)):
        left -= 1
        middle = 0.5 * (keltner_upper[i] + keltner_lower[i])
        half = keltner_atr * atr[i]
        if bb_upper[i] <= middle + half and bb_lower[i] >= middle - half:
            left = squeeze_memory_bars
        total = middle + half + bb_upper[i] + bb_lower[i] + channel_high[i] + channel_low[i]
        if not (
            left > 0 and atr[i] > 0.0 and volume_ratio[i] > volume_ratio_min and total == total
        ):
            continue
        above = (close[i] - channel_high[i]) / atr[i]
        below = (channel_low[i] - close[i]) / atr[i]
        if above > buffer_atr:
            direction[i] = 1
            score[i] = min(above, 1.0)
        elif below > buffer_atr:
            direction[i] = -1
            score[i] = min(below, 1.0)
    return direction, score
