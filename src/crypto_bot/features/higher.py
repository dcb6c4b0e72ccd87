"""Steps between timeframes: longer bars made of the bars as they close, and values held until the next.

A longer bar is made exactly as `market.resample` makes it: of the bars that open in its bucket of the
UTC grid, from the first bucket that the data do not enter in the middle. It is known at the close of
the bar that reaches the bucket's end; where an outage took that bar, at the close of the next one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crypto_bot.core.arrays import PerBar, PerBarFeature
from crypto_bot.features.compiling import inner_njit

WEEK_S = 7 * 86_400
MONDAY_S = 4 * 86_400
"""Weeks open on Mondays; the epoch was a Thursday."""
COLUMNS = 7
"""Rows a timeframe takes on the board: its bars' open, high, low, close, volume, open time, and how many
of them had closed at each bar."""
STEPS = (1.0, 1e2, 1e4, 1e6, 1e8)
_EXACT = 2.0**53
_PASSED_OVER = -1


class BucketState(NamedTuple):
    """The bucket's number, the bars in it (0: given out, -1: entered in the middle), its bar so far."""

    number: int
    seen: int
    open: float
    high: float
    low: float
    close: float
    volume: float


BUCKET_MEMORY = 7 + 2 * len(STEPS)
"""The state, then the volume counted in each decimal step and how many volumes were no multiple."""


@inner_njit
def _count_volume(counted: PerBar, volume: float) -> None:
    """Add a volume in whole multiples of each decimal step; count it as odd where it is none."""
    for k, step in enumerate(STEPS):
        multiples = np.rint(volume * step)
        counted[k] += multiples
        if multiples / step != volume:
            counted[len(STEPS) + k] += 1.0


@inner_njit
def _whole_volume(counted: PerBar, total: float) -> float:
    """The decimal sum where every volume is a multiple of a step, else the binary one."""
    value = total
    for k, step in enumerate(STEPS):
        if counted[len(STEPS) + k] == 0.0 and counted[k] < _EXACT:
            value = counted[k] / step
    return value


@inner_njit
def _give_out(
    state: BucketState, counted: PerBar, board: PerBarFeature, row: int, place: int, opened: int
) -> None:
    """Write the bucket's bar to the board."""
    board[row, place], board[row + 1, place] = state.open, state.high
    board[row + 2, place], board[row + 3, place] = state.low, state.close
    board[row + 4, place] = _whole_volume(counted, state.volume)
    board[row + 5, place] = opened


@inner_njit
def bucket_history(
    memory: PerBar,
    board: PerBarFeature,
    bars: int,
    every: int,
    interval: int,
    reads_volume: bool,
    row: int,
) -> int:
    """Longer bars that close during `bars` bars, to the board's rows from `row` on; how many.

    Board rows 0-5 hold the bars and their open times; times and lengths in seconds.
    """
    offset = MONDAY_S if every % WEEK_S == 0 else 0
    state = BucketState(
        int(memory[0]), int(memory[1]), memory[2], memory[3], memory[4], memory[5], memory[6]
    )
    counted = memory[7:]
    is_first = np.isnan(memory[0])
    closed = 0
    for i in range(bars):
        time = int(board[5, i]) - offset
        number = time // every
        if state.number != number or state.seen == 0:
            if state.seen > 0:
                _give_out(state, counted, board, row, closed, state.number * every + offset)
                closed += 1
            seen = _PASSED_OVER if is_first and time % every != 0 else 0
            is_first = False
            state = BucketState(number, seen, board[0, i], -np.inf, np.inf, 0.0, 0.0)
            counted[:] = 0.0
        if state.seen == _PASSED_OVER:
            board[row + 6, i] = closed
            continue
        volume = board[4, i]
        if reads_volume:
            _count_volume(counted, volume)
        high, low = max(state.high, board[1, i]), min(state.low, board[2, i])
        state = BucketState(
            number, state.seen + 1, state.open, high, low, board[3, i], state.volume + volume
        )
        if time + interval >= (number + 1) * every:
            _give_out(state, counted, board, row, closed, number * every + offset)
            closed += 1
            state = BucketState(number, 0, state.open, high, low, board[3, i], 0.0)
        board[row + 6, i] = closed
    if bars > 0:
        memory[0], memory[1], memory[2], memory[3] = (
            state.number,
            state.seen,
            state.open,
            state.high,
        )
        memory[4], memory[5], memory[6] = state.low, state.close, state.volume
    return closed


@inner_njit
def hold_history(memory: PerBar, x: PerBar, closed: PerBar, out: PerBar) -> None:
    """At every bar the value of the last longer bar closed by then; NaN before the first."""
    held = memory[0]
    for i in range(out.size):
        count = int(closed[i])
        out[i] = x[count - 1] if count > 0 else held
    if out.size > 0:
        memory[0] = out[out.size - 1]
