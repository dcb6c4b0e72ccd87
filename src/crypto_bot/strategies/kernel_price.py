"""A smooth price by kernel regression: fade what leaves it while the market is quiet."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

import numpy as np
from numba import njit
from pydantic import Field

from crypto_bot.core import Signals
from crypto_bot.core.arrays import PerBar
from crypto_bot.strategies.base import Columns, StrategyParameters, strategy
from crypto_bot.strategies.moments import window_residual, window_z


class RangeArbBotParameters(StrategyParameters):
    """Parameters of `range_arb_bot`."""

    below: ClassVar[tuple[tuple[str, str], ...]] = (("exit_z", "entry_z"),)

    window: int = Field(default=40, ge=5, le=200, description="bars the kernel price is fitted to")
    length_bars: float = Field(
        default=10.0, ge=1, le=100, description="length scale of the kernel, bars"
    )
    noise: float = Field(
        default=0.5, ge=0.01, le=10, description="variance of noise over that of the price"
    )
    z_bars: int = Field(default=50, ge=5, le=200, description="window of the residual's z, bars")
    entry_z: float = Field(default=1.5, ge=0.5, le=5, description="residual z to enter at")
    exit_z: float = Field(default=0.0, ge=-1, le=1, description="residual z that undoes the move")
    atr_bars: int = Field(default=14, ge=5, le=50, description="window of the ATR, bars")
    atr_z_max: float = Field(default=1.0, ge=-1, le=4, description="ATR's z must be below")
    volume_bars: int = Field(default=20, ge=5, le=100, description="window of the volume z, bars")
    volume_z_max: float = Field(default=1.0, ge=-1, le=4, description="volume z must be below")
    hold_bars: int = Field(default=24, ge=1, le=500, description="bars the side is wanted, at most")

    def features(self) -> tuple[str, ...]:
        """ATR and the volume's z-score."""
        return (f"atr_frac_{self.atr_bars}", f"volume_z_{self.volume_bars}")

    def lookback_bars(self) -> int:
        """The residuals' windows, and the longest time a side can be wanted."""
        return self.window + self.z_bars + self.hold_bars - 2


@strategy(
    "range_arb_bot",
    parameters=RangeArbBotParameters,
    regime=("sideways", "mean-reverting"),
    signal_exit="flat",
    prices=("close",),
)
def range_arb_bot(columns: Columns, parameters: RangeArbBotParameters) -> Signals:
    """Fade a close that leaves its kernel price in a quiet market until it is back.

    The kernel price is the mean of a Gaussian process (squared exponential kernel of `length_bars`,
    `noise`) on the last `window` closes, read at the present bar. The residual, close less that
    price, is measured in standard deviations over `z_bars`. Enter against it where it reaches
    `entry_z`, while the z-scores of ATR (over `z_bars`) and of volume are below their limits.
    Wanted until the residual passes `exit_z` or `hold_bars` are over. Score: residual z over twice
    `entry_z`, at most 1.

    Data: open to close, volume.

    Mended: the original fitted its process to the whole series and read it in the middle, where
    later closes shape it; here every value ends at its own bar. Bars lie at even distances, so the
    fit is one fixed set of weights and needs no model at run time.
    """
    p = parameters
    atr_frac, volume_z = (columns[name] for name in p.features())
    residual = window_residual(columns["close"], kernel_weights(p.window, p.length_bars, p.noise))
    residual_z, atr_z = window_z(residual, p.z_bars), window_z(atr_frac, p.z_bars)
    limits = (p.entry_z, p.exit_z, p.atr_z_max, p.volume_z_max, p.hold_bars)
    arguments: tuple[Any, ...] = (residual_z, atr_z, volume_z, *limits)
    return Signals(*_fade(*arguments))


@cache
def kernel_weights(window: int, length_bars: float, noise: float) -> PerBar:
    """Weights of the closes of a window whose sum is the Gaussian process's mean at its last bar.

    Parameters
    ----------
    window : int            bars
    length_bars : float     length scale of the squared exponential kernel, bars
    noise : float           variance of the noise over that of the process

    Returns
    -------
    float64 (window,)    oldest bar first; their sum is 1

    Notes
    -----
    Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), equation 2.25, on closes
    less their mean.
    """
    place = np.arange(window)
    kernel = np.exp(-0.5 * ((place[:, None] - place) / length_bars) ** 2)
    pull = np.linalg.solve(kernel + noise * np.eye(window), kernel[-1])
    weights: PerBar = pull + (1.0 - pull.sum()) / window
    weights.flags.writeable = False
    return weights


@njit(cache=True, nogil=True)
def _fade(  # type: ignore[no-untyped-def]
    residual_z: PerBar,
    atr_z: PerBar,
    volume_z: PerBar,
    entry_z: float,
    exit_z: float,
    atr_z_max: float,
    volume_z_max: float,
    hold_bars: int,
):
    direction = np.zeros(len(residual_z), np.int8)
    score = np.zeros(len(residual_z))
    side, left = 0, 0
    for i in range(len(residual_z)):
        left -= 1
        z = residual_z[i]
        total = z + atr_z[i] + volume_z[i]
        if total != total:
            left = 0
            continue
        is_quiet = atr_z[i] < atr_z_max and volume_z[i] < volume_z_max
        if abs(z) >= entry_z and is_quiet:
            side, left = (-1 if z > 0.0 else 1), hold_bars
        elif left > 0 and -side * z <= exit_z:
            left = 0
        if left > 0:
            direction[i] = side
            score[i] = min(0.5 * abs(z) / entry_z, 1.0)
    return direction, score
