"""A moving-average cross that stands aside when the market is too wild or the long trend disagrees."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from crypto_bot.core import Signals
from crypto_bot.strategies.base import Columns, StrategyParameters, strategy


class DualMaAtrParameters(StrategyParameters):
    """Parameters of `dual_ma_atr`."""

    below: ClassVar[tuple[tuple[str, str], ...]] = (("fast", "slow"),)
    data_choices: ClassVar[tuple[str, ...]] = ("trend_timeframe",)

    fast: int = Field(default=10, ge=2, le=200, description="window of the fast average, bars")
    slow: int = Field(default=30, ge=3, le=400, description="window of the slow average, bars")
    atr_bars: int = Field(default=14, ge=3, le=50, description="window of the ATR, bars")
    atr_mean_bars: int = Field(default=50, ge=5, le=200, description="window of its mean, bars")
    atr_threshold: float = Field(
        default=1.5, ge=0.5, le=5, description="ATR over its mean, at most; wilder stands aside"
    )
    trend_timeframe: Literal["none", "1h", "4h", "1d", "1w"] = Field(
        default="1d", description="longer bars whose trend must agree; 'none': no such filter"
    )
    trend_bars: int = Field(
        default=50, ge=2, le=200, description="average that tells the trend, longer bars"
    )

    def features(self) -> tuple[str, ...]:
        """Averages, ATR and its mean, and the longer bars' close and average if they are asked for."""
        names = (
            f"sma_{self.fast}",
            f"sma_{self.slow}",
            f"atr_{self.atr_bars}",
            f"atr_sma_{self.atr_bars}_{self.atr_mean_bars}",
        )
        longer = self.trend_timeframe
        if longer == "none":
            return names
        return (*names, f"close@{longer}", f"sma_{self.trend_bars}@{longer}")

    def recommended_exits(self) -> dict[str, float]:
        """Options for `ExitOptions`: the guide's stop of 1 ATR and target of 2 ATR."""
        return {"stop_loss_atr": 1.0, "take_profit_atr": 2.0, "atr_bars": self.atr_bars}


@strategy(
    "dual_ma_atr",
    parameters=DualMaAtrParameters,
    regime=("trending",),
    signal_exit="opposite",
)
def dual_ma_atr(columns: Columns, parameters: DualMaAtrParameters) -> Signals:
    """Follow the cross of two averages in a market that is not too wild and trends the same way.

    Long while the fast average is above the slow one, the ATR is at most `atr_threshold` times its
    mean of `atr_mean_bars` and the last closed longer bar ended above its average; short mirrors
    it. A position is kept until the other side: the guide's stop and target are
    `recommended_exits()`, its risk of 1 % the sizing `risk_to_stop`. Score: how far the ATR is
    below its limit.

    Data: open to close, enough bars for `trend_bars` closed longer ones.

    Mended: the guide's daily trend was read from the day under way; a day counts once it has
    closed. Its threshold is read as a limit: taken as a minimum it would trade only in the wildest
    twentieth of all bars.
    """
    p = parameters
    fast, slow, atr, usual, *longer = (columns[name] for name in p.features())
    limit = p.atr_threshold * usual
    up, down = (atr <= limit) & (fast > slow), (atr <= limit) & (fast < slow)
    if longer:
        up, down = up & (longer[0] > longer[1]), down & (longer[0] < longer[1])
    direction = np.subtract(up, down, dtype=np.int8)
    room = 1.0 - np.divide(
        atr, limit, out=np.ones(len(atr)), where=(direction != 0) & (limit > 0.0)
    )
    return Signals(direction, room)
