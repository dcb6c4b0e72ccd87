"""Further bots of the originals that fade a move: averaging down, plain reversion, harvesting."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from crypto_bot.core import Signals
from crypto_bot.core.arrays import Mask, PerBar, PerBarDirection
from crypto_bot.strategies.base import Columns, StrategyParameters, strategy
from crypto_bot.strategies.holding import held


class DcaBotParameters(StrategyParameters):
    """Parameters of `dca_bot`."""

    window: int = Field(default=20, ge=2, le=200, description="window of the average, bars")
    discount_frac: float = Field(
        default=0.1, ge=0.001, le=0.5, description="close below the average by more than this"
    )
    recovered_frac: float = Field(
        default=0.0, ge=0, le=0.5, description="done at a close within this of the average"
    )
    hold_bars: int = Field(default=96, ge=1, le=500, description="bars the side is wanted, at most")

    below: ClassVar[tuple[tuple[str, str], ...]] = (("recovered_frac", "discount_frac"),)

    def features(self) -> tuple[str, ...]:
        """The average."""
        return (f"sma_{self.window}",)

    def lookback_bars(self) -> int:
        """The longest time a side can be wanted."""
        return self.hold_bars


@strategy(
    "dca_bot",
    parameters=DcaBotParameters,
    regime=("mean-reverting", "volatile"),
    signal_exit="flat",
    prices=("close",),
)
def dca_bot(columns: Columns, parameters: DcaBotParameters) -> Signals:
    """Buy far below the average and wait until the price is back. Long only.

    Enter at a close more than `discount_frac` below the average; wanted until a close within
    `recovered_frac` of it or until `hold_bars` after the last such close. Score .8. To buy in
    portions, as dollar-cost averaging does, write it as an `on_bar` strategy that buys again.

    Data: closes. On short bars a discount of 10 % is rare: lower `discount_frac` for more.

    Mended: the original had no exit of its own, so what became of a purchase hung on the runner.
    """
    p, close = parameters, columns["close"]
    average = columns[p.features()[0]]
    cheap = np.less(close, (1.0 - p.discount_frac) * average).view(np.int8)
    back = close >= (1.0 - p.recovered_frac) * average
    direction = held(cheap, back, back, ~np.isnan(average), p.hold_bars)
    return Signals(direction, np.multiply(0.8, direction, dtype=np.float64))


class MeanRevertParameters(StrategyParameters):
    """Parameters of `mean_revert`."""

    below: ClassVar[tuple[tuple[str, str], ...]] = (("exit_z", "entry_z"),)

    window: int = Field(default=30, ge=5, le=300, description="window of the z-score, bars")
    entry_z: float = Field(
        default=2.0, ge=0.5, le=5, description="enter this many standard deviations away"
    )
    exit_z: float = Field(
        default=0.5, ge=-1, le=4, description="done at this many, on the same side of the mean"
    )
    hold_bars: int = Field(default=48, ge=1, le=500, description="bars the side is wanted, at most")

    def features(self) -> tuple[str, ...]:
        """The z-score of the close."""
        return (f"zscore_{self.window}",)

    def lookback_bars(self) -> int:
        """The longest time a side can be wanted."""
        return self.hold_bars


@strategy(
    "mean_revert",
    parameters=MeanRevertParameters,
    regime=("mean-reverting", "sideways"),
    signal_exit="flat",
)
def mean_revert(columns: Columns, parameters: MeanRevertParameters) -> Signals:
    """Fade a close that is far from its mean, until it is nearly back.

    Long at a z-score of -`entry_z` or less, short at `entry_z` or more; wanted until the z-score is
    within `exit_z` of the mean or `hold_bars` are over. Nothing else is asked: `mean_bot` is the
    one that demands a quiet market. Score: size of the z-score over twice `entry_z`, at most 1.

    Data: closes.

    Mended: the original's runner gave every strategy one fixed exit; this one leaves where its
    reason ends.
    """
    p = parameters
    z = columns[p.features()[0]]
    trigger = _sides(z <= -p.entry_z, z >= p.entry_z)
    direction = held(trigger, z >= -p.exit_z, z <= p.exit_z, ~np.isnan(z), p.hold_bars)
    return Signals(direction, _strength(direction, np.abs(z) / (2.0 * p.entry_z)))


class VolatilityHarvesterParameters(StrategyParameters):
    """Parameters of `volatility_harvester`."""

    below: ClassVar[tuple[tuple[str, str], ...]] = (("fast", "slow"),)

    fast: int = Field(default=14, ge=3, le=50, description="window of the present ATR, bars")
    slow: int = Field(default=50, ge=10, le=200, description="window of the usual ATR, bars")
    ratio_min: float = Field(
        default=1.2, ge=0.5, le=4, description="present over usual ATR must exceed"
    )
    average_bars: int = Field(default=20, ge=3, le=200, description="span of the average, bars")
    stretch_atr: float = Field(
        default=2.0, ge=0.2, le=8, description="distance from the average to enter at, ATR"
    )
    hold_bars: int = Field(default=12, ge=1, le=500, description="bars the side is wanted, at most")

    def features(self) -> tuple[str, ...]:
        """Two ATRs and the average."""
        return (f"atr_{self.fast}", f"atr_{self.slow}", f"ema_{self.average_bars}")

    def lookback_bars(self) -> int:
        """The longest time a side can be wanted."""
        return self.hold_bars


@strategy(
    "volatility_harvester",
    parameters=VolatilityHarvesterParameters,
    regime=("volatile",),
    signal_exit="flat",
    prices=("close",),
)
def volatility_harvester(columns: Columns, parameters: VolatilityHarvesterParameters) -> Signals:
    """Fade swings away from the average while the market swings more than usual.

    Where the ATR exceeds `ratio_min` times its usual value, a close at least `stretch_atr` ATR
    below its average is a long, above it a short; wanted until the close is back at the average or
    `hold_bars` are over. Score: the ATR's ratio over twice `ratio_min`, at most 1.

    Data: open to close.

    Mended: the originals' volatility came from an ewm over a short slice, so it depended on the
    slice; here both ATRs come from the feature stage with a declared history.
    """
    p, close = parameters, columns["close"]
    present, usual, average = (columns[name] for name in p.features())
    distance = close - average
    reach = p.stretch_atr * present
    is_wild = present > p.ratio_min * usual
    trigger = _sides(is_wild & (distance <= -reach), is_wild & (distance >= reach))
    is_known = ~np.isnan(present + usual + average)
    direction = held(trigger, distance >= 0.0, distance <= 0.0, is_known, p.hold_bars)
    ratio = np.divide(present, usual, out=np.zeros(len(close)), where=usual > 0.0)
    return Signals(direction, _strength(direction, ratio / (2.0 * p.ratio_min)))


def _sides(is_long: Mask, is_short: Mask) -> PerBarDirection:
    return np.subtract(is_long, is_short, dtype=np.int8)


def _strength(direction: PerBarDirection, size: PerBar) -> PerBar:
    """Score: `size` up to 1 where there is a side."""
    return np.where(direction != 0, np.minimum(size, 1.0), 0.0)
