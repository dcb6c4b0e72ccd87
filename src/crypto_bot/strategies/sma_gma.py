"""The difference between a Gaussian and a simple moving average."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from crypto_bot.core import Signals
from crypto_bot.strategies.base import Columns, StrategyParameters, strategy, whole_score


class SmaGmaParameters(StrategyParameters):
    """Parameters of `sma_gma`."""

    sma_bars: int = Field(
        default=30, ge=2, le=300, description="window of the simple average, bars"
    )
    gma_bars: int = Field(
        default=30, ge=2, le=300, description="window of the Gaussian average, bars"
    )
    minimum_frac: float = Field(
        default=0.0005, ge=0, le=0.02, description="difference must exceed, fraction of price"
    )

    def features(self) -> tuple[str, ...]:
        """The two averages."""
        return (f"sma_{self.sma_bars}", f"gma_{self.gma_bars}")


@strategy(
    "sma_gma",
    parameters=SmaGmaParameters,
    regime=("trending",),
    signal_exit="opposite",
    prices=("close",),
)
def sma_gma(columns: Columns, parameters: SmaGmaParameters) -> Signals:
    """Long while the Gaussian average is above the simple one, short while below.

    The Gaussian average weighs the newest closes most, so over the same window it is ahead of the
    simple one while the price moves one way. The difference must exceed `minimum_frac` of the
    price; within that a position is kept. Score is 1.

    Data: closes.

    Mended: a Gaussian filter centred on a bar reads as many later bars as earlier ones; this one's
    peak is the present bar and it reads none.
    """
    simple, gaussian = (columns[name] for name in parameters.features())
    difference, least = gaussian - simple, parameters.minimum_frac * columns["close"]
    direction = np.greater(difference, least).view(np.int8)
    direction -= np.less(difference, -least).view(np.int8)
    return whole_score(direction)
