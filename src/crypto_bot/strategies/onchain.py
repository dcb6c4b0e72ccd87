"""Trading on a chain: what gas leaves of a move."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numba import njit
from pydantic import Field

from crypto_bot.core import Signals
from crypto_bot.core.arrays import PerBar
from crypto_bot.strategies.base import REGIMES, Columns, StrategyParameters, strategy
from crypto_bot.strategies.needs import GAS, Need


class DexScalperParameters(StrategyParameters):
    """Parameters of `dex_scalper`."""

    below: ClassVar[tuple[tuple[str, str], ...]] = (("fast", "slow"),)

    fast: int = Field(default=3, ge=2, le=100, description="span of the fast average, bars")
    slow: int = Field(default=10, ge=3, le=200, description="span of the slow average, bars")
    divergence_frac: float = Field(
        default=0.001, ge=0.00005, le=0.05, description="averages apart, fraction of price, above"
    )
    gas_max_gwei: float = Field(
        default=10.0, ge=0.01, le=1000, description="no trade while gas costs more, gwei"
    )

    def features(self) -> tuple[str, ...]:
        """The two averages."""
        return (f"ema_{self.fast}", f"ema_{self.slow}")

    def needs(self) -> tuple[Need, ...]:
        """The price of gas."""
        return (GAS,)

    def lookback_bars(self) -> int:
        """Divergence compares with the bar before."""
        return 2


@strategy(
    "dex_scalper",
    parameters=DexScalperParameters,
    regime=REGIMES,
    signal_exit="opposite",
    prices=("close",),
)
def dex_scalper(columns: Columns, parameters: DexScalperParameters) -> Signals:
    """Go with two averages that are drifting apart, while gas is cheap.

    Long where the fast average is above the slow one by more than `divergence_frac` of the price
    and by more than at the bar before; short mirrors it. While gas costs more than `gas_max_gwei`
    nothing is wanted and a position is kept: leaving costs gas too. Score: the distance over four
    times `divergence_frac`, at most 1.

    Data: closes; the price of gas at the close of each bar.

    Mended: where the gas price was missing the original took it for cheap; here a bar without it
    has no side. Averages come from the feature stage, not from an ewm over a short slice.
    """
    p = parameters
    fast, slow = (columns[name] for name in p.features())
    limits = (p.divergence_frac, p.gas_max_gwei)
    arguments: tuple[Any, ...] = (columns["close"], fast, slow, columns["gas_gwei"], *limits)
    return Signals(*_drift(*arguments))


@njit(cache=True, nogil=True)
def _drift(  # type: ignore[no-untyped-def]
    close: PerBar,
    fast: PerBar,
    slow: PerBar,
    gas_gwei: PerBar,
    divergence_frac: float,
    gas_max_gwei: float,
):
    direction = np.zeros(len(close), np.int8)
    score = np.zeros(len(close))
    for i in range(1, len(close)):
        apart = (fast[i] - slow[i]) / close[i]
        before = (fast[i - 1] - slow[i - 1]) / close[i - 1]
        side = 1 if apart > 0.0 else -1
        if not (0.0 <= gas_gwei[i] <= gas_max_gwei and abs(apart) > divergence_frac):
            continue
        if side * (apart - before) > 0.0:
            direction[i] = side
            score[i] = min(0.25 * abs(apart) / divergence_frac, 1.0)
    return direction, score
