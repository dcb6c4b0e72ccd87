"""Prices summed up in blocks: what lets the event kernels pass over bars unseen.

A block of 16 bars is known by its extremes, a wide block of 512 by those of its blocks. Sums of
closes before each bar are built block by block, so that no addition waits for all before it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crypto_bot.core.arrays import Index, PerBar
from crypto_bot.core.bars import Bars
from crypto_bot.engine.metrics import day_ends
from crypto_bot.engine.uncounted import inlined, uncounted

BLOCK_BITS = 4
"""A block is 16 bars: as many as are looked at one by one where its extremes do not settle it."""
_BLOCK = 1 << BLOCK_BITS
WIDE_BITS = 9
"""A wide block is 512 bars: most positions lie in one or two."""


class Market(NamedTuple):
    """Prices of one symbol and what finding positions asks of them again and again."""

    open: PerBar
    high: PerBar
    low: PerBar
    close: PerBar
    block_high: PerBar  # (blocks,): highest high of each block; empty where no exit asks
    block_low: PerBar
    block_close_high: PerBar
    block_close_low: PerBar
    wide_close_high: PerBar  # (wide blocks,)
    wide_close_low: PerBar


class Marks(NamedTuple):
    """What valuing positions asks besides."""

    close_sums: PerBar  # (bars + 1,): sum of the closes before each bar
    day_ends: Index  # (days + 1,): the last lies past all bars
    day_closes: PerBar  # (days,): the closes there


def prepare_market(bars: Bars, *, with_levels: bool = True) -> Market:
    """What the kernels read of the bars, at least one; `with_levels`: also for exits at prices."""
    block_high, block_low = np.empty(0), np.empty(0)
    if with_levels:
        block_high, block_low = _extremes(bars.high, bars.low)
    close_high, close_low = _extremes(bars.close, bars.close)
    wide = np.arange(0, len(close_high), 1 << (WIDE_BITS - BLOCK_BITS))
    return Market(
        bars.open,
        bars.high,
        bars.low,
        bars.close,
        block_high,
        block_low,
        close_high,
        close_low,
        np.maximum.reduceat(close_high, wide),
        np.minimum.reduceat(close_low, wide),
    )


def prepare_marks(bars: Bars) -> Marks:
    """What the tally reads of the bars, at least one."""
    sums = np.empty(len(bars) + 1)
    sum_blocks(bars.close, sums)
    ends = day_ends(bars.close_time)
    return Marks(sums, np.append(ends, np.iinfo(np.int64).max), bars.close[ends])


def _extremes(high: PerBar, low: PerBar) -> tuple[PerBar, PerBar]:
    blocks = -(-len(high) >> BLOCK_BITS)
    highest, lowest = np.empty(blocks), np.empty(blocks)
    block_extremes(high, low, highest, lowest)
    return highest, lowest


@uncounted
def block_extremes(high: PerBar, low: PerBar, highest: PerBar, lowest: PerBar) -> None:
    """Write each block's highest high and lowest low; the last block may be short."""
    whole = len(high) >> BLOCK_BITS
    for block in range(whole):
        values = high[block << BLOCK_BITS : (block + 1) << BLOCK_BITS]
        highest[block] = _larger(
            _larger(_largest_of_4(values, 0), _largest_of_4(values, 4)),
            _larger(_largest_of_4(values, 8), _largest_of_4(values, 12)),
        )
        values = low[block << BLOCK_BITS : (block + 1) << BLOCK_BITS]
        lowest[block] = -_larger(
            _larger(-_smallest_of_4(values, 0), -_smallest_of_4(values, 4)),
            _larger(-_smallest_of_4(values, 8), -_smallest_of_4(values, 12)),
        )
    for block in range(whole, len(highest)):
        highest[block], lowest[block] = high[-1], low[-1]
        for bar in range(block << BLOCK_BITS, len(high)):
            highest[block] = max(highest[block], high[bar])
            lowest[block] = min(lowest[block], low[bar])


@inlined
def _larger(a: float, b: float) -> float:
    return a if a > b else b


@inlined
def _largest_of_4(values: PerBar, place: int) -> float:
    return _larger(
        _larger(values[place], values[place + 1]), _larger(values[place + 2], values[place + 3])
    )


@inlined
def _smallest_of_4(values: PerBar, place: int) -> float:
    return -_larger(
        _larger(-values[place], -values[place + 1]), _larger(-values[place + 2], -values[place + 3])
    )


@uncounted
def sum_blocks(values: PerBar, sums: PerBar) -> None:
    """Write the sum of the values before each place, (values + 1,)."""
    before = 0.0
    sums[0] = 0.0
    for block in range((len(values) + _BLOCK - 1) >> BLOCK_BITS):
        inside = 0.0
        for place in range(block << BLOCK_BITS, min((block + 1) << BLOCK_BITS, len(values))):
            inside += values[place]
            sums[place + 1] = before + inside
        before += inside
