"""Finer bars inside a bar: which of stop and target was touched first."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from crypto_bot.core.arrays import Index, PerBar
from crypto_bot.core.bars import Bars
from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import timeframe_ns


class FinerPrices(NamedTuple):
    """Highs and lows of finer bars; those inside bar t are first[t] .. first[t + 1] - 1."""

    high: PerBar
    low: PerBar
    first: Index  # (bars + 1,)


def finer_prices(bars: Bars, finer: Bars | None) -> FinerPrices:
    """The finer bars that lie inside each bar; none where there are none.

    Raises
    ------
    DataError    if they are of another symbol, or their timeframe is not a smaller divisor
    """
    if finer is None:
        return FinerPrices(np.empty(0), np.empty(0), np.zeros(len(bars) + 1, np.int64))
    if finer.symbol != bars.symbol:
        raise DataError(f"finer bars must be of {bars.symbol}, were of {finer.symbol}")
    inside = timeframe_ns(finer.timeframe)
    if inside >= bars.interval_ns or bars.interval_ns % inside:
        raise DataError(
            f"finer bars must have a timeframe that divides {bars.timeframe}, had {finer.timeframe}"
        )
    edges = np.append(bars.open_time, bars.close_time[-1:])
    first = np.searchsorted(finer.open_time, edges).astype(np.int64)
    # A bar before an outage ends at its own close, not at the next bar's open.
    last = np.searchsorted(finer.open_time, bars.close_time).astype(np.int64)
    if np.array_equal(last, first[1:]):
        return FinerPrices(finer.high, finer.low, first)
    return _without_gaps(finer, first[:-1], last)


def _without_gaps(finer: Bars, first: Index, last: Index) -> FinerPrices:
    """Finer bars between two bars belong to neither and are left out."""
    counts = last - first
    starts = np.concatenate(([0], np.cumsum(counts)))
    rows = np.repeat(first - starts[:-1], counts) + np.arange(starts[-1])
    return FinerPrices(finer.high[rows], finer.low[rows], starts.astype(np.int64))


TARGET_FIRST, STOP_FIRST, UNDECIDED = 1, 0, -1


@njit(cache=True, nogil=True)
def first_touched(finer: FinerPrices, bar: int, side: int, stop: float, target: float) -> int:
    """TARGET_FIRST, STOP_FIRST, or UNDECIDED where no finer bar touches just one of the two."""
    for place in range(finer.first[bar], finer.first[bar + 1]):
        high, low = finer.high[place], finer.low[place]
        best, worst = (high, low) if side > 0 else (low, high)
        is_stopped = (worst - stop) * side <= 0.0
        is_reached = (best - target) * side >= 0.0
        if is_stopped and is_reached:
            return UNDECIDED
        if is_stopped:
            return STOP_FIRST
        if is_reached:
            return TARGET_FIRST
    return UNDECIDED
