"""Steps over a candle and the two before it: patterns that turn, and patterns that go on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crypto_bot.core.arrays import PerBar
from crypto_bot.features.compiling import inner_njit

REVERSAL, OUTSIDE, SOLDIERS = 0, 1, 2


class Candle(NamedTuple):
    """One candle; NaN where there was none yet."""

    open: float
    high: float
    low: float
    close: float


@inner_njit
def _reversal(first: Candle, second: Candle, third: Candle) -> float:
    """1 where the second reached lowest and the third closes above both before; -1 the reverse."""
    if second.low < min(first.low, third.low) and third.close > max(first.high, second.high):
        return 1.0
    if second.high > max(first.high, third.high) and third.close < min(first.low, second.low):
        return -1.0
    return 0.0


@inner_njit
def _outside(first: Candle, second: Candle, third: Candle) -> float:
    """1 where a rising body lies beyond both ends of a falling one and the close goes on rising."""
    fell, rose = first.close < first.open, first.close > first.open
    if fell and second.close > first.open and second.open < first.close:
        return 1.0 if third.close > second.close else 0.0
    if rose and second.open > first.close and second.close < first.open:
        return -1.0 if third.close < second.close else 0.0
    return 0.0


@inner_njit
def _follows(before: Candle, now: Candle, sign: float) -> bool:
    """Whether it opens within the body before and closes beyond it."""
    opened, closed = sign * now.open, sign * now.close
    return sign * before.open <= opened <= sign * before.close and closed > sign * before.close


@inner_njit
def _soldiers(first: Candle, second: Candle, third: Candle) -> float:
    """1 where three bodies rise, each opened within the one before and closed above it."""
    if first.close > first.open and _follows(first, second, 1.0) and _follows(second, third, 1.0):
        return 1.0
    if first.close < first.open and _follows(first, second, -1.0) and _follows(second, third, -1.0):
        return -1.0
    return 0.0


@inner_njit
def triple_step(first: Candle, second: Candle, third: Candle, which: int) -> float:
    """A pattern of three candles, 1 or -1, 0 none; NaN at the first two."""
    if np.isnan(first.close):
        return np.nan
    if which == REVERSAL:
        return _reversal(first, second, third)
    if which == OUTSIDE:
        return _outside(first, second, third)
    return _soldiers(first, second, third)


@inner_njit
def triple_history(
    memory: PerBar,
    opened: PerBar,
    high: PerBar,
    low: PerBar,
    close: PerBar,
    which: int,
    out: PerBar,
) -> None:
    """Every bar's `triple_step`; the two candles before are read from and left in `memory`."""
    first = Candle(memory[0], memory[1], memory[2], memory[3])
    second = Candle(memory[4], memory[5], memory[6], memory[7])
    for i in range(out.size):
        third = Candle(opened[i], high[i], low[i], close[i])
        out[i] = triple_step(first, second, third, which)
        first, second = second, third
    memory[0], memory[1], memory[2], memory[3] = first.open, first.high, first.low, first.close
    memory[4], memory[5], memory[6], memory[7] = second.open, second.high, second.low, second.close
