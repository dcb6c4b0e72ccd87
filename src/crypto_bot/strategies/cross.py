"""Two moving averages: which one is on top."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from crypto_bot.core import Signals
from crypto_bot.core.arrays import PerBar
from crypto_bot.strategies.base import Columns, StrategyParameters, strategy, whole_score


class CrossParameters(StrategyParameters):
    """Windows of a moving-average cross."""

    below: ClassVar[tuple[tuple[str, str], ...]] = (("fast", "slow"),)

    def compared(self) -> tuple[str, str]:
        """The fast average and the slow one."""
        fast, slow = self.features()
        return fast, slow


class SmaCrossParameters(CrossParameters):
    """Parameters of `sma_cross`."""

    fast: int = Field(default=10, ge=2, le=200, description="window of the fast average, bars")
    slow: int = Field(default=30, ge=3, le=400, description="window of the slow average, bars")

    def features(self) -> tuple[str, ...]:
        """The two averages."""
        return (f"sma_{self.fast}", f"sma_{self.slow}")


class EmaCrossParameters(CrossParameters):
    """Parameters of `ema_cross`."""

    fast: int = Field(default=12, ge=2, le=200, description="span of the fast average, bars")
    slow: int = Field(default=26, ge=3, le=400, description="span of the slow average, bars")

    def features(self) -> tuple[str, ...]:
        """The two averages."""
        return (f"ema_{self.fast}", f"ema_{self.slow}")


@strategy("sma_cross", parameters=SmaCrossParameters, regime=("trending",), signal_exit="opposite")
def sma_cross(columns: Columns, parameters: SmaCrossParameters) -> Signals:
    """Long while the fast simple average is above the slow one, short while below.

    Data: closes. Equal averages have no side, and a position is kept through them. Score is 1: the
    rule holds or it does not.

    Mended: the originals ran one strategy per market regime whatever its name, so every strategy
    had the same numbers; this one reads nothing but its two averages.
    """
    fast, slow = parameters.features()
    return _on_top(columns[fast], columns[slow])


@strategy("ema_cross", parameters=EmaCrossParameters, regime=("trending",), signal_exit="opposite")
def ema_cross(columns: Columns, parameters: EmaCrossParameters) -> Signals:
    """Long while the fast exponential average is above the slow one, short while below.

    Data: closes, enough of them: an exponential average remembers its first bar for many windows.

    Mended: the originals computed the average anew on a short tail of candles, so its value depended
    on the length of the tail; here it comes from the feature stage, and `history_bars()` says how
    many bars it needs to forget its start.
    """
    fast, slow = parameters.features()
    return _on_top(columns[fast], columns[slow])


def _on_top(fast: PerBar, slow: PerBar) -> Signals:
    direction = np.greater(fast, slow).view(np.int8)
    direction -= np.less(fast, slow).view(np.int8)
    return whole_score(direction)
