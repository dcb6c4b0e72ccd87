"""A grid of levels round a mean: buy below, sell above, and step aside when the range breaks."""

from __future__ import annotations

import numpy as np
from numba import njit
from pydantic import Field

from crypto_bot.core import Signals
from crypto_bot.core.arrays import PerBar, PerBarDirection
from crypto_bot.strategies.base import Columns, StrategyParameters, strategy
from crypto_bot.strategies.breakout import BreakoutBotParameters, breakout_bot


class GridBotParameters(StrategyParameters):
    """Parameters of `grid_bot`."""

    vwap_bars: int = Field(default=20, ge=5, le=200, description="window of the VWAP, bars")
    atr_bars: int = Field(default=14, ge=5, le=50, description="window of the ATR, bars")
    side_levels: int = Field(default=3, ge=1, le=10, description="levels on each side of the VWAP")
    step_min_frac: float = Field(
        default=0.003, ge=0.0005, le=0.05, description="step between levels, fraction, at least"
    )
    step_atr: float = Field(default=1.2, ge=0.1, le=5, description="step between levels, ATR")
    edge_frac: float = Field(
        default=1.0, ge=0.1, le=1, description="trade from this part of the half-range on"
    )
    max_legs: int = Field(default=8, ge=1, le=10, description="legs that count, at most")
    breakout_ratio: float = Field(
        default=1.5, ge=1, le=5, description="half-ranges beyond which the range is broken"
    )
    breakout_memory_bars: int = Field(
        default=20, ge=1, le=100, description="a squeeze counts this long for a breakout, bars"
    )
    hold_bars: int = Field(
        default=48, ge=1, le=500, description="a leg or breakout is wanted, bars, at most"
    )

    def breakout(self) -> BreakoutBotParameters:
        """The rule that takes over where the range is broken."""
        return BreakoutBotParameters(squeeze_memory_bars=self.breakout_memory_bars)

    def features(self) -> tuple[str, ...]:
        """VWAP and ATR, and what the breakout rule reads."""
        own = (f"vwap_{self.vwap_bars}", f"atr_frac_{self.atr_bars}")
        return (*own, *self.breakout().features())

    def lookback_bars(self) -> int:
        """The longest time a leg can be wanted, and a squeeze before it."""
        return self.hold_bars + self.breakout_memory_bars - 1


@strategy(
    "grid_bot",
    parameters=GridBotParameters,
    regime=("sideways", "mean-reverting"),
    signal_exit="flat",
    prices=("close",),
)
def grid_bot(columns: Columns, parameters: GridBotParameters) -> Signals:
    """Trade the edges of a grid round the VWAP, or the breakout that leaves it.

    Levels lie `side_levels` steps either side of the VWAP; a step is `step_atr` ATR, at least
    `step_min_frac`. Each level that the price reaches below the VWAP opens a long leg, above it a
    short one; a leg closes when the price is back at the level before it. The side is wanted once
    the price reaches `edge_frac` of the half-range, until its last leg closes at the VWAP or
    `hold_bars` are over. Score: open legs, `max_legs` at most, over `side_levels`. Beyond
    `breakout_ratio` half-ranges all legs are dropped, and `breakout_bot`'s rule, with a squeeze
    remembered for `breakout_memory_bars`, may open a side that is wanted while the price stays
    beyond. Score there: the distance over twice that of the break, at most 1.

    Data: open to close, volume.

    Mended: legs, cool-down and time since the last trade lived in a process; here legs follow from
    at most `hold_bars` of columns and their number is the score, for the engine holds one position.
    The cool-down of 2 bars is the engine's `cooldown_bars`.
    """
    p = parameters
    vwap, atr_frac = columns[f"vwap_{p.vwap_bars}"], columns[f"atr_frac_{p.atr_bars}"]
    broken = breakout_bot(columns, p.breakout()).direction
    whole = _all_known(columns, p)
    steps = (p.side_levels, p.step_min_frac, p.step_atr, p.edge_frac, p.max_legs)
    limits = (p.breakout_ratio * p.side_levels, p.hold_bars)
    return Signals(*_legs(columns["close"], vwap, atr_frac, broken, whole, *steps, *limits))


def _all_known(columns: Columns, parameters: GridBotParameters) -> PerBar:
    total = np.zeros(len(columns["close"]))
    for name in parameters.breakout().features():
        total += columns[name]
    return total


@njit(cache=True, nogil=True)
def _legs(  # type: ignore[no-untyped-def]
    close: PerBar,
    vwap: PerBar,
    atr_frac: PerBar,
    broken: PerBarDirection,
    whole: PerBar,
    side_levels: int,
    step_min_frac: float,
    step_atr: float,
    edge_frac: float,
    max_legs: int,
    break_steps: float,
    hold_bars: int,
):
    direction = np.zeros(len(close), np.int8)
    score = np.zeros(len(close))
    left = np.zeros(side_levels, np.int64)
    side, edge_left, open_legs, out_side, out_left = 0, 0, 0, 0, 0
    for i in range(len(close)):
        offset = (close[i] / vwap[i] - 1.0) / max(step_min_frac, step_atr * atr_frac[i])
        total = offset + atr_frac[i] + whole[i]
        depth = abs(offset)
        edge_left -= 1
        out_left -= 1
        if total != total or depth > break_steps:
            left[:] = 0
            edge_left, open_legs = 0, 0
            sign = 1 if offset > 0.0 else -1
            if total != total or sign != out_side:
                out_left = 0
            if total == total and broken[i] == sign:
                out_side, out_left = sign, hold_bars
            if out_left > 0:
                direction[i] = out_side
                score[i] = min(0.5 * depth / break_steps, 1.0)
            continue
        out_left = 0
        sign = -1 if offset > 0.0 else 1
        if sign != side or depth == 0.0:
            left[:] = 0
            side, edge_left, open_legs = sign, 0, 0
        if depth >= edge_frac * side_levels:
            edge_left = hold_bars
        if depth < 1.0 and open_legs == 0:
            continue
        open_legs = 0
        for level in range(side_levels):
            left[level] -= 1
            if depth >= level + 1:
                left[level] = hold_bars
            elif depth <= level:
                left[level] = 0
            open_legs += left[level] > 0
        if edge_left > 0 and open_legs > 0:
            direction[i] = side
            score[i] = min(open_legs, max_legs, side_levels) / side_levels
    return direction, score
