"""Longer candles from shorter ones, to the last digit as the exchange makes them."""

from __future__ import annotations

import numpy as np

from crypto_bot.core.arrays import Index, PerBar, PerBarTime
from crypto_bot.core.bars import Bars
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.timeframes import DAY_NS, timeframe_ns

_WEEK_NS = 7 * DAY_NS
_MONDAY_NS = 4 * DAY_NS
_EXACT = 2.0**53
_STEPS = (1.0, 1e2, 1e4, 1e6, 1e8)


def resample(bars: Bars, timeframe: str) -> Bars:
    """Aggregate bars into a longer timeframe.

    Parameters
    ----------
    bars : Bars
    timeframe : str    a whole multiple of the bars' own, such as '1h' from '5m'

    Returns
    -------
    Bars    on the UTC grid (weeks from Monday), possibly none

    Raises
    ------
    ConfigError    if the timeframe is no multiple of the bars' own
    DataError      if not one bucket is complete

    Notes
    -----
    A bucket is given once its last possible bar has closed, so the result never changes when more
    bars arrive; the bucket still open at the end is dropped, and so is a first bucket the data
    enter in the middle, whose open is unknown. Where an outage took bars inside a bucket it is
    made from those that exist, as exchanges do; a bucket without any bar stays missing.
    """
    source_ns, target_ns = bars.interval_ns, timeframe_ns(timeframe)
    if target_ns % source_ns:
        raise ConfigError(
            f"timeframe must be a multiple of the bars' {bars.timeframe}, was {timeframe}"
        )
    if target_ns == source_ns:
        return bars
    bucket = _bucket_opens(bars.open_time, target_ns)
    bars, bucket = _complete(bars, bucket, target_ns)
    if not len(bars):
        raise DataError(
            f"{bars.symbol} {bars.timeframe} must cover one whole {timeframe} bar, did not"
        )
    first = np.flatnonzero(np.diff(bucket, prepend=bucket[0] - 1))
    last = np.append(first[1:], len(bars)) - 1
    return Bars(
        symbol=bars.symbol,
        timeframe=timeframe,
        open_time=bucket[first],
        open=bars.open[first],
        high=np.maximum.reduceat(bars.high, first),
        low=np.minimum.reduceat(bars.low, first),
        close=bars.close[last],
        volume=_sum_volume(bars.volume, first),
        is_simulated=bars.is_simulated,
    )


def _bucket_opens(open_time: PerBarTime, target_ns: int) -> PerBarTime:
    offset_ns = _MONDAY_NS if target_ns % _WEEK_NS == 0 else 0
    opens: PerBarTime = open_time - (open_time - offset_ns) % target_ns
    return opens


def _complete(bars: Bars, bucket: PerBarTime, target_ns: int) -> tuple[Bars, PerBarTime]:
    if not len(bars):
        return bars, bucket
    start, stop = 0, len(bars)
    if bucket[0] != bars.open_time[0]:
        start = int(np.searchsorted(bucket, bucket[0], side="right"))
    if bars.close_time[-1] < bucket[-1] + target_ns:
        stop = int(np.searchsorted(bucket, bucket[-1], side="left"))
    stop = max(start, stop)
    return bars[start:stop], bucket[start:stop]


def _sum_volume(volume: PerBar, first: Index) -> PerBar:
    """Sums as if by hand: exchanges add decimal quantities, and binary sums drift in the last digit.

    Where all volumes of a bucket are whole multiples of a decimal step, the multiples are added,
    exactly, and divided once; else (simulated volumes) the binary sum stands, added bar after bar as
    a feature of longer bars does live.
    """
    bucket = np.repeat(np.arange(len(first)), np.diff(first, append=len(volume)))
    total: PerBar = np.bincount(bucket, weights=volume).astype(np.float64, copy=False)
    for step in _STEPS:
        multiples = np.rint(volume * step)
        is_decimal = np.logical_and.reduceat(multiples / step == volume, first)
        whole = np.add.reduceat(multiples, first)
        exact = is_decimal & (whole < _EXACT)
        total[exact] = whole[exact] / step
    return total
