"""Opens and closes of many markets in the order in which they happen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crypto_bot.core.arrays import Index, PerBarTime
from crypto_bot.core.bars import Bars

CLOSE, OPEN = 0, 1


class Timeline(NamedTuple):
    """Every open and close: in order of time, closes before opens, then in the order of markets.

    time_ns : int64 (events,)
    kind : int8 (events,)     CLOSE or OPEN
    market : int64 (events,)
    bar : int64 (events,)     of that market
    group : int64 (groups + 1,)    first event of each time and kind; the events of one group happen
                              at once
    """

    time_ns: PerBarTime
    kind: npt.NDArray[np.int8]
    market: Index
    bar: Index
    group: Index


def timeline_of(markets: Sequence[Bars]) -> Timeline:
    """The events of these markets.

    Notes
    -----
    What closes at a moment is known to what opens at it: an exit inside the last bar frees cash
    for the next open.
    """
    lengths = [len(bars) for bars in markets]
    market = np.repeat(np.arange(len(markets)), lengths)
    bar = np.concatenate([np.arange(length) for length in lengths])
    times = np.concatenate(
        [*(bars.close_time for bars in markets), *(bars.open_time for bars in markets)]
    )
    kind = np.repeat(np.array([CLOSE, OPEN], np.int8), len(bar))
    market, bar = np.tile(market, 2), np.tile(bar, 2)
    order = np.lexsort((market, kind, times))
    times, kind = times[order], kind[order]
    starts = np.flatnonzero((np.diff(times) != 0) | (np.diff(kind) != 0)) + 1
    group = np.concatenate(([0], starts, [len(times)])).astype(np.int64)
    return Timeline(times, kind, market[order].astype(np.int64), bar[order].astype(np.int64), group)
