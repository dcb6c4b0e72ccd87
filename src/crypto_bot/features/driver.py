"""The one compiled driver: runs a plan's steps over a stretch of bars, a million of history or one live.

A plan is rows of integers and a scalar each; states live in one float64 memory, values in rows of
one board. History calls `advance` for stretch after stretch, live once a bar: the same machine
code, state and order of operations, so both give the same bits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from crypto_bot.core.arrays import PerBar, PerBarFeature
from crypto_bot.features.higher import bucket_history, hold_history
from crypto_bot.features.recursions import (
    balance_history,
    direction_history,
    rsi_history,
    signed_volume_history,
    smooth_history,
    true_range_history,
)
from crypto_bot.features.windows import (
    deviation_history,
    highest_history,
    lag_history,
    mean_history,
)

MEAN, DEVIATION, HIGHEST, LAG, SMOOTH, RSI, TRUE_RANGE = 0, 1, 2, 3, 4, 5, 6
SIGNED_VOLUME, BALANCE, DIRECTION = 7, 8, 9
RATIO, CHANGE, BAND, SPREAD, PLACE, PRODUCT, MINUS, SCALED, TYPICAL = (
    10,
    11,
    12,
    13,
    14,
    15,
    16,
    17,
    18,
)
BUCKET, HOLD = 19, 20
KIND, OUT, A, B, C, WINDOW, START, END, CLOCK = 0, 1, 2, 3, 4, 5, 6, 7, 8
"""Columns of a plan: what to do, rows to write and read, the window, the state's place in memory, and
the clock it runs by: 0 the bars, others longer bars. A BUCKET makes its clock's bars and reads rows 0-5;
its B is 1 where volume is read."""
FIELDS = 9


@njit(cache=True, nogil=True, error_model="numpy")
def ratio_step(a: float, b: float) -> float:
    """a / b; NaN where b is 0."""
    return a / b if b != 0.0 else np.nan


@njit(cache=True, nogil=True, error_model="numpy")
def change_step(a: float, b: float) -> float:
    """a / b - 1; NaN where b is 0."""
    return ratio_step(a, b) - 1.0


@njit(cache=True, nogil=True, error_model="numpy")
def band_step(a: float, b: float, scale: float) -> float:
    """a + scale * b."""
    return a + scale * b


@njit(cache=True, nogil=True, error_model="numpy")
def spread_step(a: float, b: float, c: float) -> float:
    """(a - b) / c; NaN where c is 0."""
    return ratio_step(a - b, c)


@njit(cache=True, nogil=True, error_model="numpy")
def place_step(a: float, low: float, high: float, scale: float) -> float:
    """Where a lies between low (0) and high (scale); NaN where they meet."""
    return scale * ratio_step(a - low, high - low)


@njit(cache=True, nogil=True, error_model="numpy")
def typical_step(a: float, b: float, c: float) -> float:
    """(a + b + c) / 3."""
    return (a + b + c) / 3.0


@njit(cache=True, nogil=True, error_model="numpy")
def _formula(kind: int, a: PerBar, b: PerBar, c: PerBar, scale: float, out: PerBar) -> None:
    """Every bar's formula step: no state, so no order matters."""
    for i in range(out.size):
        if kind == RATIO:
            out[i] = ratio_step(a[i], b[i])
        elif kind == CHANGE:
            out[i] = change_step(a[i], b[i])
        elif kind == BAND:
            out[i] = band_step(a[i], b[i], scale)
        elif kind == SPREAD:
            out[i] = spread_step(a[i], b[i], c[i])
        elif kind == PLACE:
            out[i] = place_step(a[i], b[i], c[i], scale)
        elif kind == PRODUCT:
            out[i] = a[i] * b[i]
        elif kind == MINUS:
            out[i] = a[i] - b[i]
        elif kind == SCALED:
            out[i] = scale * a[i]
        else:
            out[i] = typical_step(a[i], b[i], c[i])


@njit(cache=True, nogil=True, error_model="numpy")
def advance(
    plan: npt.NDArray[np.int64],
    scalars: PerBar,
    memory: PerBar,
    board: PerBarFeature,
    counts: npt.NDArray[np.int64],
) -> None:
    """Carry every state of `memory` over `counts[0]` more bars.

    plan int64 (nodes, FIELDS) and scalars float64 (nodes,): what to do, inputs before users;
    board float64 (rows, more than counts[0]): rows 0-5 hold open, high, low, close, volume and open
    time (s, only if read) on entry, the others the nodes' values on return;
    counts int64 (clocks,): bars of each clock, those of longer bars are written here.
    """
    for node in range(len(plan)):
        kind, window, scalar = plan[node, KIND], plan[node, WINDOW], scalars[node]
        state = memory[plan[node, START] : plan[node, END]]
        clock = plan[node, CLOCK]
        if kind == BUCKET:
            reads_volume, row = plan[node, B] == 1, plan[node, OUT]
            counts[clock] = bucket_history(
                state, board, counts[0], window, int(scalar), reads_volume, row
            )
            continue
        out = board[plan[node, OUT], : counts[clock]]
        a, b, c = board[plan[node, A]], board[plan[node, B]], board[plan[node, C]]
        if kind == MEAN:
            mean_history(state, a, window, out)
        elif kind == DEVIATION:
            deviation_history(state, a, window, int(scalar), out)
        elif kind == HIGHEST:
            highest_history(state, a, window, scalar, out)
        elif kind == LAG:
            lag_history(state, a, window, out)
        elif kind == SMOOTH:
            smooth_history(state, a, window, scalar, out)
        elif kind == RSI:
            rsi_history(state, a, window, scalar, out)
        elif kind == TRUE_RANGE:
            true_range_history(state, a, b, c, out)
        elif kind == SIGNED_VOLUME:
            signed_volume_history(state, a, b, out)
        elif kind == BALANCE:
            balance_history(state, a, b, out)
        elif kind == DIRECTION:
            direction_history(state, a, b, c, window, int(scalar), out)
        elif kind == HOLD:
            hold_history(state, a, b, out)
        else:
            _formula(kind, a, b, c, scalar, out)
