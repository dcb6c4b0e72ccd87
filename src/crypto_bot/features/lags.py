"""Steps that look back by time: a value k bars ago, where every bar between then and now exists.

How many bars in a row closed without one missing is counted once; every lag reads that count. A
ring keeps the last k values between calls; within a call the values are simply moved.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crypto_bot.core.arrays import PerBar, PerBarFeature
from crypto_bot.features.compiling import inner_njit


class UnbrokenState(NamedTuple):
    """When the last bar opened (s; NaN before the first) and how many led to it in a row."""

    open_time: float
    bars: float


@inner_njit
def unbroken_step(
    state: UnbrokenState, open_time: float, interval: float
) -> tuple[UnbrokenState, float]:
    """Bars before this one that lead to it, each directly after the last; 0 after an outage."""
    bars = state.bars + 1.0 if open_time - state.open_time == interval else 0.0
    return UnbrokenState(open_time, bars), bars


@inner_njit
def unbroken_history(memory: PerBar, open_time: PerBar, interval: float, out: PerBar) -> None:
    """Every bar's `unbroken_step`; the state is read from and left in `memory`."""
    state = UnbrokenState(memory[0], memory[1])
    for i in range(out.size):
        state, out[i] = unbroken_step(state, open_time[i], interval)
    memory[0], memory[1] = state.open_time, state.bars


@inner_njit
def past_history(
    memory: PerBar,
    start: int,
    board: PerBarFeature,
    read: int,
    unbroken: int,
    out: int,
    window: int,
    bars: int,
) -> None:
    """Board row `read` of `window` bars ago to row `out`; NaN where a bar since then is missing.

    Memory holds from `start` on where the oldest value lies, then the ring of `window` values. Rows
    are given by number: a hundred lags of one live bar would spend their time on making views.
    """
    oldest = int(memory[start])
    ring = start + 1
    for i in range(min(window, bars)):
        place = oldest + i
        value = memory[ring + (place if place < window else place - window)]
        board[out, i] = value if board[unbroken, i] >= window else np.nan
    for i in range(window, bars):
        board[out, i] = board[read, i - window] if board[unbroken, i] >= window else np.nan
    if bars >= window:
        for i in range(window):
            memory[ring + i] = board[read, bars - window + i]
        memory[start] = 0.0
        return
    for i in range(bars):
        place = oldest + i
        memory[ring + (place if place < window else place - window)] = board[read, i]
    following = oldest + bars
    memory[start] = following if following < window else following - window
