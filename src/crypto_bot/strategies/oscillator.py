"""Oscillators: too far, so back."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numba import njit
from pydantic import Field

from crypto_bot.core import Signals
from crypto_bot.core.arrays import PerBar
from crypto_bot.strategies.base import Columns, StrategyParameters, strategy


class RsiParameters(StrategyParameters):
    """Parameters of `rsi`."""

    below: ClassVar[tuple[tuple[str, str], ...]] = (("oversold", "overbought"),)

    window: int = Field(default=14, ge=2, le=100, description="window of the RSI, bars")
    oversold: float = Field(default=30.0, ge=5, le=50, description="long below this RSI")
    overbought: float = Field(default=70.0, ge=50, le=95, description="short above this RSI")

    def features(self) -> tuple[str, ...]:
        """Wilder's RSI."""
        return (f"rsi_{self.window}",)


@strategy(
    "rsi",
    parameters=RsiParameters,
    regime=("mean-reverting", "sideways"),
    signal_exit="opposite",
)
def rsi(columns: Columns, parameters: RsiParameters) -> Signals:
    """Long while the RSI is oversold, short while it is overbought.

    Data: closes. Between the two levels there is no new intent and a position is kept until the
    other extreme. Score is the depth beyond the level: 0 at the level, 1 at an RSI of 0 or 100.

    Mended: the originals had three RSI definitions; there is one, Wilder's, in the feature stage.
    """
    (name,) = parameters.features()
    return Signals(*_extremes(columns[name], parameters.oversold, parameters.overbought))


@njit(cache=True, nogil=True)
def _extremes(rsi: PerBar, oversold: float, overbought: float):  # type: ignore[no-untyped-def]
    direction = np.zeros(len(rsi), np.int8)
    score = np.zeros(len(rsi))
    for i in range(len(rsi)):
        if rsi[i] < oversold:
            direction[i] = 1
            score[i] = (oversold - rsi[i]) / oversold
        elif rsi[i] > overbought:
            direction[i] = -1
            score[i] = (rsi[i] - overbought) / (100.0 - overbought)
    return direction, score
