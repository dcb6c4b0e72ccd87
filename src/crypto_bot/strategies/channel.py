"""A channel round the line that the last closes lie on."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numba import njit
from pydantic import Field

from crypto_bot.core import Signals
from crypto_bot.core.arrays import PerBar
from crypto_bot.strategies.base import Columns, StrategyParameters, strategy

_STILL = 1e-12
"""A deviation below this share of the price is rounding, not movement."""


class LinregChannelParameters(StrategyParameters):
    """Parameters of `linreg_channel`."""

    period: int = Field(default=100, ge=5, le=500, description="closes the line is fitted to, bars")
    deviations: float = Field(
        default=2.0, ge=0.5, le=5, description="half-width of the channel, standard deviations"
    )
    action: Literal["revert", "follow"] = Field(
        default="revert", description="'revert': back into the channel; 'follow': out of it"
    )

    def features(self) -> tuple[str, ...]:
        """The line and the deviation from it."""
        return (f"linreg_{self.period}", f"linreg_deviation_{self.period}")

    def recommended_exits(self) -> dict[str, float]:
        """Options for `ExitOptions`: the guide's 1 $ and 2 $ on a share of about 150 $."""
        return {"stop_loss_frac": 0.0067, "take_profit_frac": 0.0133}


@strategy(
    "linreg_channel",
    parameters=LinregChannelParameters,
    regime=("mean-reverting", "sideways"),
    signal_exit="opposite",
    prices=("close",),
)
def linreg_channel(columns: Columns, parameters: LinregChannelParameters) -> Signals:
    """Trade a close outside the channel round its regression line, back towards the line.

    The line is the least-squares fit of the last `period` closes, this one included; the channel is
    `deviations` standard deviations of those closes from it. A close below the channel is a long,
    above it a short; `action='follow'` turns that round. A position is kept until the other edge
    is left: the guide's exits are a stop and a target, see `recommended_exits()`. Score is the
    distance from the line over twice the channel's half-width, at most 1.

    Data: closes.

    Mended: the original's target and stop were dollars a share whatever the price; here they are
    fractions. Flat prices have no channel and no side, where it divided by zero.
    """
    p = parameters
    line, deviation = (columns[name] for name in p.features())
    sign = -1 if p.action == "revert" else 1
    return Signals(*_outside(columns["close"], line, deviation, p.deviations, sign))


@njit(cache=True, nogil=True)
def _outside(close: PerBar, line: PerBar, deviation: PerBar, deviations: float, sign: int):  # type: ignore[no-untyped-def]
    direction = np.zeros(len(close), np.int8)
    score = np.zeros(len(close))
    for i in range(len(close)):
        distance, edge = close[i] - line[i], deviations * deviation[i]
        if abs(distance) > edge and deviation[i] > _STILL * close[i]:
            direction[i] = sign if distance > 0.0 else -sign
            score[i] = min(0.5 * abs(distance) / edge, 1.0)
    return direction, score
